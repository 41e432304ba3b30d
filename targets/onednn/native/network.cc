/*
 * Makes oneDNN primitives of the steps of a subgraph, and runs them.
 *
 * A Plan is what loading makes: primitives with the layouts that oneDNN prefers on this machine, weights in
 * those layouts, and the place of every intermediate tensor in one block of memory. An Instance is what one
 * call of a plan needs besides: oneDNN's handles of that memory.
 */
#include "network.h"

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "thread_pool.h"

namespace paddle_tvm {
namespace {

/* The functions of oneDNN that are called; the library is in the artifact, and opened when a model is loaded. */
#define FUNCTIONS(X)                                                                                      \
  X(dnnl_binary_primitive_desc_create) X(dnnl_concat_primitive_desc_create)                               \
  X(dnnl_convolution_forward_primitive_desc_create) X(dnnl_deconvolution_forward_primitive_desc_create)   \
  X(dnnl_eltwise_forward_primitive_desc_create) X(dnnl_engine_create)                                     \
  X(dnnl_layer_normalization_forward_primitive_desc_create) X(dnnl_matmul_primitive_desc_create)          \
  X(dnnl_memory_create) X(dnnl_memory_desc_clone) X(dnnl_memory_desc_create_submemory)                    \
  X(dnnl_memory_desc_create_with_strides) X(dnnl_memory_desc_create_with_tag) X(dnnl_memory_desc_destroy) \
  X(dnnl_memory_desc_equal) X(dnnl_memory_desc_get_size) X(dnnl_memory_desc_permute_axes)                 \
  X(dnnl_memory_desc_query) X(dnnl_memory_desc_reshape) X(dnnl_memory_destroy)                            \
  X(dnnl_memory_set_data_handle)                                                                          \
  X(dnnl_pooling_forward_primitive_desc_create) X(dnnl_post_ops_append_binary)                            \
  X(dnnl_post_ops_append_eltwise) X(dnnl_post_ops_append_sum) X(dnnl_post_ops_create)                     \
  X(dnnl_post_ops_destroy) X(dnnl_primitive_attr_create) X(dnnl_primitive_attr_destroy)                   \
  X(dnnl_primitive_attr_set_post_ops) X(dnnl_primitive_attr_set_scratchpad_mode)                          \
  X(dnnl_primitive_create) X(dnnl_primitive_desc_destroy) X(dnnl_primitive_desc_query)                    \
  X(dnnl_primitive_desc_query_md) X(dnnl_primitive_execute) X(dnnl_reorder_primitive_desc_create)         \
  X(dnnl_resampling_forward_primitive_desc_create) X(dnnl_shuffle_forward_primitive_desc_create)          \
  X(dnnl_softmax_forward_primitive_desc_create) X(dnnl_stream_create) X(dnnl_stream_wait) X(dnnl_version)

[[noreturn]] void fail(const std::string &message) { throw std::runtime_error("oneDNN: " + message); }

void check(dnnl_status_t status, const char *what) {
  if (status == dnnl_success) return;
  fail(std::string(what) + (status == dnnl_out_of_memory ? ": out of memory"
                            : status == dnnl_unimplemented ? ": not implemented on this CPU"
                                                           : ": status " + std::to_string(status)));
}

struct OneDnn {
#define DECLARE(name) decltype(&::name) name;
  FUNCTIONS(DECLARE)
#undef DECLARE
  dnnl_engine_t engine;
  dnnl_stream_t stream;

  OneDnn() {
    Dl_info self;
    if (!dladdr(reinterpret_cast<void *>(&check), &self)) fail("the library that this code is in is not known");
    std::string folder(self.dli_fname);
    folder = folder.substr(0, folder.rfind('/') + 1) + "lib/";
    /* By their paths, so that other copies of the same names in the process do not take their place. */
    open(folder + "libpdomp.so");
    void *library = open(folder + "libdnnl.so.3");
    auto use = reinterpret_cast<void (*)(const PaddleTvmPool *)>(find(library, "paddle_tvm_openmp_use"));
    use(paddle_tvm_pool);
#define FIND(name) name = reinterpret_cast<decltype(name)>(find(library, #name));
    FUNCTIONS(FIND)
#undef FIND
    const dnnl_version_t *version = dnnl_version();
    if (version->major != DNNL_VERSION_MAJOR || version->minor < DNNL_VERSION_MINOR)
      fail(folder + "libdnnl.so.3 is version " + std::to_string(version->major) + "." +
           std::to_string(version->minor) + ", and the model needs " + std::to_string(DNNL_VERSION_MAJOR) +
           "." + std::to_string(DNNL_VERSION_MINOR) + " or a later one of the same major version");
    check(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
    check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
  }

 private:
  static void *open(const std::string &path) {
    void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) fail(std::string("cannot be loaded: ") + dlerror());
    return library;
  }
  static void *find(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (found == nullptr) fail(std::string(name) + " is not in the library");
    return found;
  }
};

/* Opened once; stays open. */
const OneDnn &onednn() {
  static const OneDnn *library = new OneDnn;
  return *library;
}

/* dnnl_memory_desc_t: sizes, type, and how they lie in memory. */
using Layout = std::shared_ptr<const dnnl_memory_desc>;

Layout owned(dnnl_memory_desc_t layout) {
  return Layout(layout, [](const dnnl_memory_desc *p) {
    onednn().dnnl_memory_desc_destroy(const_cast<dnnl_memory_desc_t>(p));
  });
}

Layout clone(const_dnnl_memory_desc_t layout) {
  dnnl_memory_desc_t copy;
  check(onednn().dnnl_memory_desc_clone(&copy, layout), "layout");
  return owned(copy);
}

int64_t product(const Dims &dims) {
  int64_t size = 1;
  for (int64_t dim : dims) size *= dim;
  return size;
}

Layout strided(const Dims &dims, const Dims &strides) {
  dnnl_memory_desc_t layout;
  check(onednn().dnnl_memory_desc_create_with_strides(&layout, dims.size(), dims.data(), dnnl_f32, strides.data()),
        "layout");
  return owned(layout);
}

/* Row-major, without gaps. */
Layout plain(const Dims &dims) {
  Dims strides(dims.size(), 1);
  for (size_t i = dims.size() - 1; i-- > 0;) strides[i] = strides[i + 1] * std::max<int64_t>(dims[i + 1], 1);
  return strided(dims, strides);
}

/* Whichever oneDNN likes. */
Layout any(const Dims &dims) {
  dnnl_memory_desc_t layout;
  check(onednn().dnnl_memory_desc_create_with_tag(&layout, dims.size(), dims.data(), dnnl_f32, dnnl_format_tag_any),
        "layout");
  return owned(layout);
}

Dims dims_of(const Layout &layout) {
  int32_t rank;
  const dnnl_dims_t *dims;
  check(onednn().dnnl_memory_desc_query(layout.get(), dnnl_query_ndims_s32, &rank), "rank");
  check(onednn().dnnl_memory_desc_query(layout.get(), dnnl_query_dims, &dims), "sizes");
  return Dims(*dims, *dims + rank);
}

bool same(const Layout &one, const Layout &other) {
  return onednn().dnnl_memory_desc_equal(one.get(), other.get());
}

size_t bytes_of(const Layout &layout) { return onednn().dnnl_memory_desc_get_size(layout.get()); }

/* Channels after the spatial dimensions, without blocks. */
Layout channels_last(const Dims &dims) {
  Dims strides(dims.size(), 1);
  strides[1] = 1;
  int64_t step = dims[1];
  for (size_t i = dims.size() - 1; i >= 2; --i) {
    strides[i] = step;
    step *= dims[i];
  }
  strides[0] = step;
  return strided(dims, strides);
}

bool is_channels_last(const Layout &layout) {
  Dims dims = dims_of(layout);
  return dims.size() > 2 && same(layout, channels_last(dims));
}

/* A layout of other sizes in the blocks of `model`. */
Layout blocked_like(const Layout &model, const Dims &dims) {
  const OneDnn &lib = onednn();
  int32_t block_count = 0;
  const dnnl_dims_t *blocks, *block_dims;
  lib.dnnl_memory_desc_query(model.get(), dnnl_query_inner_nblks_s32, &block_count);
  lib.dnnl_memory_desc_query(model.get(), dnnl_query_inner_blks, &blocks);
  lib.dnnl_memory_desc_query(model.get(), dnnl_query_inner_idxs, &block_dims);
  if (block_count != 1 || (*block_dims)[0] != 1 || dims.size() < 3 || dims.size() > 5 || dims[1] == 1)
    return plain(dims);
  dnnl_format_tag_t tags[][3] = {{dnnl_aBc16b, dnnl_aBcd16b, dnnl_aBcde16b}, {dnnl_aBc8b, dnnl_aBcd8b, dnnl_aBcde8b}};
  if ((*blocks)[0] != 16 && (*blocks)[0] != 8) return plain(dims);
  dnnl_memory_desc_t layout;
  check(lib.dnnl_memory_desc_create_with_tag(&layout, dims.size(), dims.data(), dnnl_f32,
                                             tags[(*blocks)[0] == 8][dims.size() - 3]),
        "layout");
  return owned(layout);
}

/* How a layout is written, such as aBcd16b: letters of dimensions from the outermost on, large ones in blocks. */
std::string name_of(const Layout &layout) {
  const OneDnn &lib = onednn();
  Dims dims = dims_of(layout);
  const dnnl_dims_t *strides, *blocks, *block_dims;
  int32_t block_count;
  dnnl_format_kind_t kind;
  lib.dnnl_memory_desc_query(layout.get(), dnnl_query_format_kind, &kind);
  if (kind != dnnl_blocked) return "opaque";
  lib.dnnl_memory_desc_query(layout.get(), dnnl_query_strides, &strides);
  lib.dnnl_memory_desc_query(layout.get(), dnnl_query_inner_nblks_s32, &block_count);
  lib.dnnl_memory_desc_query(layout.get(), dnnl_query_inner_blks, &blocks);
  lib.dnnl_memory_desc_query(layout.get(), dnnl_query_inner_idxs, &block_dims);
  std::vector<size_t> order(dims.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return (*strides)[a] > (*strides)[b]; });
  std::string name;
  for (size_t dim : order) {
    bool blocked = std::find(*block_dims, *block_dims + block_count, int64_t(dim)) != *block_dims + block_count;
    name += char((blocked ? 'A' : 'a') + dim);
  }
  for (int32_t i = 0; i < block_count; ++i) name += std::to_string((*blocks)[i]) + char('a' + (*block_dims)[i]);
  return name;
}

/* A dnnl_primitive_desc_t that may be none, where oneDNN has no primitive. */
struct Description {
  dnnl_primitive_desc_t handle = nullptr;
  Description() = default;
  Description(Description &&other) : handle(other.handle) { other.handle = nullptr; }
  Description &operator=(Description &&other) {
    std::swap(handle, other.handle);
    return *this;
  }
  ~Description() {
    if (handle) onednn().dnnl_primitive_desc_destroy(handle);
  }
  Layout layout(dnnl_query_t what, int argument = 0) const {
    return clone(onednn().dnnl_primitive_desc_query_md(handle, what, argument));
  }
  std::string implementation() const {
    const char *name = "";
    onednn().dnnl_primitive_desc_query(handle, dnnl_query_impl_info_str, 0, &name);
    return name;
  }
  /* One that is there for completeness, slower than any other. */
  bool is_reference() const { return implementation().compare(0, 3, "ref") == 0; }
};

/* Memory that tensors are in. */
struct Storage {
  enum Kind { INPUT, OUTPUT, INTERMEDIATE, CONSTANT } kind;
  int32_t number; /* of INPUT and OUTPUT, and of a CONSTANT that is not ours; -1 of others */
  uint64_t content = 0;       /* of a CONSTANT that is not ours */
  size_t bytes = 0;           /* what an INTERMEDIATE takes */
  size_t offset = 0;          /* where it lies in the arena */
  int32_t first = -1, last = -1; /* the actions between which it is needed */
  void *data = nullptr;       /* of CONSTANT */
};

struct Value {
  Layout layout;
  int32_t storage;
  /* A view may leave gaps, which primitives do not like. */
  bool is_view = false;
};

struct Argument {
  int index;
  Layout layout;
  int32_t storage;
};

struct Action {
  dnnl_primitive_t primitive;
  std::vector<Argument> arguments;
  std::string name, implementation, layouts;
};

/* Memory in pages of 2 MB, if the system has them: weights are read once in a run, and small pages cost a look
   into the page table each. */
void *allocate(size_t &bytes, const char *what) {
  size_t huge = size_t(2) << 20, page = bytes < huge ? 4096 : huge;
  bytes = (bytes + page - 1) / page * page;
  void *data = ::aligned_alloc(page, bytes);
  if (data == nullptr) fail(std::string("no memory for ") + what + ": " + std::to_string(bytes) + " bytes");
  ::madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

/* Constants are put together into memory of this size. */
constexpr size_t CHUNK = size_t(8) << 20;

/* Memory for intermediate tensors, of one call at a time. */
struct Arena {
  char *data = nullptr;
  size_t bytes = 0;
};

class Arenas {
 public:
  /* What the largest plan needs. */
  void reserve(size_t bytes) {
    std::lock_guard<std::mutex> lock(mutex_);
    needed_ = std::max(needed_, bytes);
  }
  size_t acquire(char **data) {
    std::lock_guard<std::mutex> lock(mutex_);
    size_t number;
    if (free_.empty()) {
      number = arenas_.size();
      arenas_.emplace_back();
    } else {
      number = free_.back();
      free_.pop_back();
    }
    Arena &arena = arenas_[number];
    if (arena.bytes < needed_) {
      ::free(arena.data);
      arena = Arena();
      size_t bytes = needed_;
      try {
        arena.data = static_cast<char *>(allocate(bytes, "intermediate tensors"));
      } catch (...) {
        free_.push_back(number);
        throw;
      }
      arena.bytes = bytes;
    }
    *data = arena.data;
    return number;
  }
  void release(size_t number) {
    std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(number);
  }

 private:
  std::mutex mutex_;
  size_t needed_ = 0;
  std::vector<Arena> arenas_;
  std::vector<size_t> free_;
};

/* One for all subgraphs of the library: of a run, one is under way at a time. */
Arenas &arenas() {
  static Arenas *all = new Arenas;
  return *all;
}

const DLTensor *tensor_of(const TVMFFIAny &argument) {
  char *object = reinterpret_cast<char *>(argument.v_ptr);
  return reinterpret_cast<DLTensor *>(object + (argument.type_index == kTVMFFITensor ? sizeof(TVMFFIObject) : 0));
}

void *data_of(const TVMFFIAny &argument) {
  const DLTensor *tensor = tensor_of(argument);
  return static_cast<char *>(tensor->data) + tensor->byte_offset;
}

/* Constants as primitives want them, of all plans: those of several shapes and numbers of threads share them. */
struct Packed {
  uint64_t content;
  Layout from, to;
  void *data;
};

std::vector<Packed> &all_packed() {
  static auto *all = new std::vector<Packed>;
  return *all;
}

}  // namespace

class Plan {
 public:
  /* A survey asks for primitives and makes none: to learn which layout the heavier convolutions prefer. */
  enum Purpose { SURVEY, RUN };
  Plan(Purpose purpose, int32_t threads, bool channels_last, const TVMFFIAny *constants, int32_t constant_count)
      : purpose(purpose),
        threads(threads),
        channels_last(channels_last),
        constants_(constants, constants + constant_count) {}

  /* After the steps: places tensors in memory. */
  void finish();
  void run(const TVMFFIAny *arguments);
  std::string describe() const;

  Tensor add(Layout layout, int32_t storage, bool is_view = false) {
    values.push_back({std::move(layout), storage, is_view});
    return {int32_t(values.size()) - 1};
  }
  int32_t add_storage(Storage::Kind kind, int32_t number) {
    storages.push_back({kind, number});
    return int32_t(storages.size()) - 1;
  }
  /* A tensor that the next action writes. */
  Tensor add_result(Layout layout) {
    int32_t storage = add_storage(Storage::INTERMEDIATE, 0);
    storages[storage].bytes = bytes_of(layout);
    return add(std::move(layout), storage);
  }
  Value &operator[](Tensor tensor) { return values[tensor.number]; }
  void *constant_data(int32_t number) { return data_of(constants_.at(number)); }

  void act(const std::string &name, const Description &description,
           std::vector<std::pair<int, Tensor>> arguments);
  /* The tensor in another layout. */
  Tensor convert(Tensor tensor, const Layout &layout, const char *name = "reorder");
  Tensor to_plain(Tensor tensor, const char *name = "reorder") {
    return convert(tensor, plain(dims_of(values[tensor.number].layout)), name);
  }
  bool is_plain(Tensor tensor) {
    const Layout &layout = values[tensor.number].layout;
    return same(layout, plain(dims_of(layout)));
  }

  /* A convolution of so many multiplications prefers a layout. */
  void vote(const Layout &layout, double multiplications) {
    votes_[is_channels_last(layout)] += multiplications;
  }
  bool prefers_channels_last() const { return votes_[1] > votes_[0]; }

  const Purpose purpose;
  const int32_t threads;
  /* Whether convolutions should read and write channels last; else as oneDNN likes it for each. */
  const bool channels_last;
  std::vector<Value> values;
  std::vector<Storage> storages;
  std::vector<Action> actions;

 private:
  struct Instance {
    dnnl_stream_t stream;
    char *arena = nullptr;
    struct Memory {
      dnnl_memory_t handle;
      int32_t storage;
    };
    std::vector<Memory> memories;
    std::vector<std::vector<dnnl_exec_arg_t>> arguments;
  };
  Instance &instance(size_t number);
  void *new_constant(size_t bytes);
  /* A constant in a layout, in memory of ours: what was given to `load` may be gone afterwards. */
  void *packed(const Storage &constant, const Layout &from, const Layout &to);
  void execute_now(const Description &description, const Layout &from, void *source, const Layout &to, void *target);

  std::vector<TVMFFIAny> constants_;
  double votes_[2] = {0, 0};
  std::vector<std::pair<int32_t, Tensor>> converted_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Instance>> instances_;
  size_t arena_bytes_ = 0;
};

namespace {

Description reorder(const Layout &from, const Layout &to) {
  const OneDnn &lib = onednn();
  Description description;
  dnnl_primitive_attr_t attributes;
  check(lib.dnnl_primitive_attr_create(&attributes), "attributes");
  lib.dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
  dnnl_status_t status = lib.dnnl_reorder_primitive_desc_create(&description.handle, from.get(), lib.engine,
                                                                to.get(), lib.engine, attributes);
  lib.dnnl_primitive_attr_destroy(attributes);
  check(status, "reorder");
  return description;
}

/* A layout in which the bytes lie as in the row-major one: all sizes but one are 1, and nothing is padded. */
bool lies_like_plain(const Layout &layout) {
  Dims dims = dims_of(layout);
  int64_t larger = std::count_if(dims.begin(), dims.end(), [](int64_t dim) { return dim > 1; });
  return larger <= 1 && bytes_of(layout) == size_t(product(dims)) * sizeof(float);
}

}  // namespace

void *Plan::new_constant(size_t bytes) {
  static char *chunk = nullptr, *end = nullptr;
  bytes = (bytes + 63) / 64 * 64;
  if (size_t(end - chunk) < bytes) {
    /* What is left of the last chunk is lost, unless this one is larger than a chunk is. */
    size_t size = std::max(bytes, CHUNK);
    char *data = static_cast<char *>(allocate(size, "weights"));
    if (bytes > CHUNK / 2) return data;
    chunk = data;
    end = data + size;
  }
  chunk += bytes;
  return chunk - bytes;
}

void *Plan::packed(const Storage &constant, const Layout &from, const Layout &to) {
  for (const Packed &known : all_packed())
    if (known.content == constant.content && same(known.from, from) && same(known.to, to)) return known.data;
  void *data = new_constant(bytes_of(to));
  if (same(from, to))
    ::memcpy(data, constant.data, bytes_of(to));
  else
    execute_now(reorder(from, to), from, constant.data, to, data);
  all_packed().push_back({constant.content, from, to, data});
  return data;
}

void Plan::execute_now(const Description &description, const Layout &from, void *source, const Layout &to,
                       void *target) {
  const OneDnn &lib = onednn();
  Layout scratch_layout = description.layout(dnnl_query_scratchpad_md);
  size_t scratch_bytes = bytes_of(scratch_layout);
  std::unique_ptr<void, decltype(&::free)> scratch(scratch_bytes ? allocate(scratch_bytes, "packing") : nullptr,
                                                   &::free);
  dnnl_primitive_t primitive;
  dnnl_memory_t memories[3];
  check(lib.dnnl_primitive_create(&primitive, description.handle), "reorder of weights");
  check(lib.dnnl_memory_create(&memories[0], from.get(), lib.engine, source), "memory");
  check(lib.dnnl_memory_create(&memories[1], to.get(), lib.engine, target), "memory");
  check(lib.dnnl_memory_create(&memories[2], scratch_layout.get(), lib.engine, scratch.get()), "memory");
  dnnl_exec_arg_t arguments[] = {
      {DNNL_ARG_FROM, memories[0]}, {DNNL_ARG_TO, memories[1]}, {DNNL_ARG_SCRATCHPAD, memories[2]}};
  check(lib.dnnl_primitive_execute(primitive, lib.stream, 3, arguments), "reorder of weights");
  check(lib.dnnl_stream_wait(lib.stream), "reorder of weights");
  for (dnnl_memory_t memory : memories) lib.dnnl_memory_destroy(memory);
}

Tensor Plan::convert(Tensor tensor, const Layout &layout, const char *name) {
  Value value = values[tensor.number];
  if (same(value.layout, layout)) return tensor;
  if (!value.is_view && lies_like_plain(value.layout) && lies_like_plain(layout))
    return add(layout, value.storage);
  for (const auto &[from, to] : converted_)
    if (from == tensor.number && same(values[to.number].layout, layout)) return to;
  Tensor result;
  if (storages[value.storage].kind == Storage::CONSTANT) {
    int32_t storage = add_storage(Storage::CONSTANT, -1);
    result = add(layout, storage);
    storages[storage].content = storages[value.storage].content;
    if (purpose == RUN) storages[storage].data = packed(storages[value.storage], value.layout, layout);
  } else {
    result = add_result(layout);
    if (storages[value.storage].kind == Storage::INPUT) name = "reorder of an input";
    act(name, reorder(value.layout, layout), {{DNNL_ARG_FROM, tensor}, {DNNL_ARG_TO, result}});
  }
  converted_.push_back({tensor.number, result});
  return result;
}

void Plan::act(const std::string &name, const Description &description,
               std::vector<std::pair<int, Tensor>> arguments) {
  if (purpose == SURVEY) return;
  Action action;
  action.name = name;
  action.implementation = description.implementation();
  Layout scratch = description.layout(dnnl_query_scratchpad_md);
  if (bytes_of(scratch)) arguments.push_back({DNNL_ARG_SCRATCHPAD, add_result(scratch)});
  check(onednn().dnnl_primitive_create(&action.primitive, description.handle), name.c_str());
  int32_t now = int32_t(actions.size());
  for (const auto &[index, tensor] : arguments) {
    const Value &value = values[tensor.number];
    Storage &storage = storages[value.storage];
    if (storage.kind == Storage::CONSTANT && storage.number >= 0) {
      storage.data = packed(storage, value.layout, value.layout);
      storage.number = -1;
    }
    if (storage.first < 0) storage.first = now;
    storage.last = now;
    action.arguments.push_back({index, value.layout, value.storage});
    if (index == DNNL_ARG_SRC || index == DNNL_ARG_MULTIPLE_SRC || index == DNNL_ARG_DST)
      action.layouts += (action.layouts.empty() ? "" : " -> ") + name_of(value.layout);
  }
  actions.push_back(std::move(action));
}

void Plan::finish() {
  /* Largest first, each at the lowest place where nothing is that is needed at the same time. */
  std::vector<Storage *> open, placed;
  for (Storage &storage : storages)
    if (storage.kind == Storage::INTERMEDIATE) open.push_back(&storage);
  std::stable_sort(open.begin(), open.end(), [](Storage *a, Storage *b) { return a->bytes > b->bytes; });
  for (Storage *storage : open) {
    for (Storage *other : placed) {
      bool together = storage->first <= other->last && other->first <= storage->last;
      if (together && storage->offset < other->offset + other->bytes && other->offset < storage->offset + storage->bytes)
        storage->offset = (other->offset + other->bytes + 63) / 64 * 64;
    }
    auto place = std::upper_bound(placed.begin(), placed.end(), storage,
                                  [](Storage *a, Storage *b) { return a->offset < b->offset; });
    placed.insert(place, storage);
    arena_bytes_ = std::max(arena_bytes_, storage->offset + storage->bytes);
  }
  /* Once more than they have: vector code may read to the end of a cache line. */
  arena_bytes_ += 64;
  arenas().reserve(arena_bytes_);
  constants_.clear();
  converted_.clear();
}

Plan::Instance &Plan::instance(size_t number) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (instances_.size() <= number) instances_.resize(number + 1);
  if (instances_[number] == nullptr) {
    const OneDnn &lib = onednn();
    auto made = std::make_unique<Instance>();
    check(lib.dnnl_stream_create(&made->stream, lib.engine, dnnl_stream_default_flags), "stream");
    for (const Action &action : actions) {
      std::vector<dnnl_exec_arg_t> arguments;
      for (const Argument &argument : action.arguments) {
        dnnl_memory_t memory;
        void *data = storages[argument.storage].data;
        check(lib.dnnl_memory_create(&memory, argument.layout.get(), lib.engine, data), "memory");
        if (storages[argument.storage].kind != Storage::CONSTANT) made->memories.push_back({memory, argument.storage});
        arguments.push_back({argument.index, memory});
      }
      made->arguments.push_back(std::move(arguments));
    }
    instances_[number] = std::move(made);
  }
  return *instances_[number];
}

void Plan::run(const TVMFFIAny *arguments) {
  const OneDnn &lib = onednn();
  struct Lease {
    char *data;
    size_t number = arenas().acquire(&data);
    ~Lease() { arenas().release(number); }
  } lease;
  Instance &used = instance(lease.number);
  bool moved = used.arena != lease.data;
  for (const Instance::Memory &memory : used.memories) {
    const Storage &storage = storages[memory.storage];
    if (storage.kind != Storage::INTERMEDIATE)
      lib.dnnl_memory_set_data_handle(memory.handle, data_of(arguments[storage.number]));
    else if (moved)
      lib.dnnl_memory_set_data_handle(memory.handle, lease.data + storage.offset);
  }
  used.arena = lease.data;
  for (size_t i = 0; i < actions.size(); ++i)
    check(lib.dnnl_primitive_execute(actions[i].primitive, used.stream, used.arguments[i].size(),
                                     used.arguments[i].data()),
          actions[i].name.c_str());
}

std::string Plan::describe() const {
  std::string text = "[";
  for (const Action &action : actions)
    text += (text.size() > 1 ? "," : "") + ("[\"" + action.name) + "\",\"" + action.implementation + "\",\"" +
            action.layouts + "\"]";
  return text + "]";
}

namespace {

/* Asks for a primitive with as many of the operations after it as it can take, and does the others after it. */
class Fusing {
 public:
  Fusing(Network &network, Plan &plan, std::string name, Dims result, const PostOps &post_ops)
      : network_(network), plan_(plan), name_(std::move(name)), result_(std::move(result)), post_ops_(post_ops) {}

  /* `ask` makes a description of attributes and the result's layout; whether it may be one that is slow. */
  template <class Ask>
  bool choose(const Ask &ask, bool take_reference, const Layout &preferred = nullptr) {
    size_t least = take_reference ? 0 : post_ops_.size();
    for (size_t count = post_ops_.size() + 1; count-- > least;) {
      Layout layout = preferred ? preferred : any(result_);
      for (size_t i = 0; i < count; ++i)
        if (post_ops_[i].kind == PostOp::SUM) layout = plan_[post_ops_[i].other].layout;
      Description found = asked_with(count, layout, ask);
      if (found.handle && (!found.is_reference() || (take_reference && count == 0))) {
        description_ = std::move(found);
        fused_ = count;
        return true;
      }
    }
    return false;
  }

  /* Has sums written over tensors of a layout. */
  void prefer(const Layout &layout) {
    for (PostOp &post_op : post_ops_)
      if (post_op.kind == PostOp::SUM) post_op.other = plan_.convert(post_op.other, layout);
  }

  const Description &description() const { return description_; }

  Tensor finish(std::vector<std::pair<int, Tensor>> arguments) {
    Tensor result;
    for (size_t i = 0; i < fused_; ++i) {
      const PostOp &post_op = post_ops_[i];
      if (post_op.kind == PostOp::SUM) result = plan_.add(description_.layout(dnnl_query_dst_md), plan_[post_op.other].storage);
      if (post_op.kind == PostOp::BINARY) {
        int index = DNNL_ARG_ATTR_MULTIPLE_POST_OP(int(i)) | DNNL_ARG_SRC_1;
        Layout layout = description_.layout(dnnl_query_exec_arg_md, index);
        arguments.push_back({index, plan_.convert(post_op.other, layout)});
      }
      name_ += std::string("+") + (post_op.kind == PostOp::SUM ? "sum" : post_op.kind == PostOp::BINARY ? "binary" : "eltwise");
    }
    if (result.number < 0) result = plan_.add_result(description_.layout(dnnl_query_dst_md));
    arguments.push_back({DNNL_ARG_DST, result});
    plan_.act(name_, description_, arguments);
    for (size_t i = fused_; i < post_ops_.size(); ++i) {
      const PostOp &post_op = post_ops_[i];
      if (post_op.kind == PostOp::ELTWISE) {
        result = network_.apply(result, {post_op});
      } else {
        PostOps rest(post_ops_.begin() + i + 1, post_ops_.end());
        return network_.apply(post_op.algorithm, result, post_op.other, rest);
      }
    }
    return result;
  }

 private:
  template <class Ask>
  Description asked_with(size_t count, const Layout &layout, const Ask &ask) {
    const OneDnn &lib = onednn();
    dnnl_primitive_attr_t attributes;
    dnnl_post_ops_t chain;
    Description found;
    check(lib.dnnl_primitive_attr_create(&attributes), "attributes");
    lib.dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    check(lib.dnnl_post_ops_create(&chain), "post-ops");
    bool possible = true;
    for (size_t i = 0; i < count && possible; ++i) possible = append(chain, post_ops_[i]);
    if (possible) {
      lib.dnnl_primitive_attr_set_post_ops(attributes, chain);
      if (ask(&found.handle, layout, attributes) != dnnl_success) found.handle = nullptr;
    }
    lib.dnnl_post_ops_destroy(chain);
    lib.dnnl_primitive_attr_destroy(attributes);
    return found;
  }

  bool append(dnnl_post_ops_t chain, const PostOp &post_op) {
    const OneDnn &lib = onednn();
    if (post_op.kind == PostOp::ELTWISE)
      return lib.dnnl_post_ops_append_eltwise(chain, post_op.algorithm, post_op.alpha, post_op.beta) == dnnl_success;
    if (post_op.kind == PostOp::SUM)
      return lib.dnnl_post_ops_append_sum(chain, 1.0f, 0, dnnl_data_type_undef) == dnnl_success;
    Dims dims = dims_of(plan_[post_op.other].layout);
    if (dims.size() != result_.size()) return false;
    /* What is as large as the result should lie as it does. */
    Layout layout = dims == result_ ? any(dims) : plain(dims);
    return lib.dnnl_post_ops_append_binary(chain, post_op.algorithm, layout.get()) == dnnl_success;
  }

  Network &network_;
  Plan &plan_;
  std::string name_;
  Dims result_;
  PostOps post_ops_;
  Description description_;
  size_t fused_ = 0;
};

/* oneDNN counts what lies between the taps of a window. */
Dims gaps(const Dims &dilation) {
  Dims result(dilation);
  for (int64_t &dim : result) --dim;
  return result;
}

}  // namespace

Tensor Network::input(int32_t number, Dims dims) {
  return plan_.add(plain(dims), plan_.add_storage(Storage::INPUT, number));
}

Tensor Network::constant(int32_t number, uint64_t content, Dims dims) {
  int32_t storage = plan_.add_storage(Storage::CONSTANT, number);
  plan_.storages[storage].content = content;
  plan_.storages[storage].data = plan_.constant_data(number);
  return plan_.add(plain(dims), storage);
}

void Network::output(int32_t number, Tensor source) {
  Tensor result = plan_.to_plain(source, "reorder of a result");
  Storage &storage = plan_.storages[plan_[result].storage];
  if (storage.kind != Storage::INTERMEDIATE || storage.bytes != bytes_of(plan_[result].layout)) {
    /* An input, another output, or a part of something: oneDNN copies it. */
    int32_t target = plan_.add_storage(Storage::OUTPUT, number);
    Layout layout = plan_[result].layout;
    plan_.act("copy", reorder(layout, layout), {{DNNL_ARG_FROM, result}, {DNNL_ARG_TO, plan_.add(layout, target)}});
    return;
  }
  storage.kind = Storage::OUTPUT;
  storage.number = number;
}

Tensor Network::convolution(Tensor source, Tensor weights, Tensor bias, int64_t groups, const Window &window,
                            Dims result, const PostOps &post_ops) {
  const OneDnn &lib = onednn();
  Dims weight_dims = dims_of(plan_[weights].layout);
  if (groups > 1) {
    weight_dims[0] /= groups;
    weight_dims.insert(weight_dims.begin(), groups);
    weights = reshape(weights, weight_dims);
  }
  Dims dilates = gaps(window.dilation);
  const_dnnl_memory_desc_t bias_layout = bias.number < 0 ? nullptr : plan_[bias].layout.get();
  Layout any_weights = any(weight_dims);
  Fusing fusing(*this, plan_, groups > 1 ? "group convolution" : "convolution", result, post_ops);
  auto with_source = [&](Layout layout) {
    return [&, layout](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
      return lib.dnnl_convolution_forward_primitive_desc_create(
          made, lib.engine, dnnl_forward_inference, dnnl_convolution_auto, layout.get(), any_weights.get(),
          bias_layout, target.get(), window.strides.data(), dilates.data(), window.before.data(),
          window.after.data(), attributes);
    };
  };
  /* oneDNN says "gemm" of those that first make a matrix of the source. */
  auto is_fast = [&] { return fusing.description().implementation().compare(0, 4, "gemm") != 0; };
  Dims source_dims = dims_of(plan_[source].layout);
  auto as_it_lies = with_source(plan_[source].layout), free = with_source(any(source_dims));
  bool chosen = false;
  if (plan_.purpose == Plan::SURVEY) {
    chosen = fusing.choose(free, true);
    double taps = double(product(weight_dims)) / weight_dims[groups > 1 ? 1 : 0] / (groups > 1 ? groups : 1);
    if (chosen) plan_.vote(fusing.description().layout(dnnl_query_src_md), taps * product(result));
  }
  if (!chosen && plan_.channels_last) {
    fusing.prefer(channels_last(result));
    auto like_the_others = with_source(channels_last(source_dims));
    chosen = fusing.choose(like_the_others, false, channels_last(result)) && is_fast();
  }
  if (!chosen && !plan_[source].is_view && !plan_.is_plain(source))
    chosen = fusing.choose(as_it_lies, false) && is_fast();
  if (!chosen && !fusing.choose(free, false) && !fusing.choose(free, true)) fail("no convolution like this");
  std::vector<std::pair<int, Tensor>> arguments = {
      {DNNL_ARG_SRC, plan_.convert(source, fusing.description().layout(dnnl_query_src_md))},
      {DNNL_ARG_WEIGHTS, plan_.convert(weights, fusing.description().layout(dnnl_query_weights_md))}};
  if (bias.number >= 0) arguments.push_back({DNNL_ARG_BIAS, bias});
  return fusing.finish(arguments);
}

Tensor Network::deconvolution(Tensor source, Tensor weights, Tensor bias, int64_t groups, const Window &window,
                              Dims result, const PostOps &post_ops) {
  const OneDnn &lib = onednn();
  /* [groups * inputs, outputs, kernel] becomes groups, outputs, inputs, kernel. */
  Dims weight_dims = dims_of(plan_[weights].layout);
  std::vector<int> axes(weight_dims.size());
  for (size_t i = 0; i < axes.size(); ++i) axes[i] = int(i);
  size_t inputs = 0;
  if (groups > 1) {
    weight_dims[0] /= groups;
    weight_dims.insert(weight_dims.begin(), groups);
    weights = reshape(weights, weight_dims);
    axes.push_back(int(axes.size()));
    inputs = 1;
  }
  std::swap(axes[inputs], axes[inputs + 1]);
  std::swap(weight_dims[inputs], weight_dims[inputs + 1]);
  weights = transpose(weights, axes);
  Dims dilates = gaps(window.dilation);
  const_dnnl_memory_desc_t bias_layout = bias.number < 0 ? nullptr : plan_[bias].layout.get();
  Layout any_weights = any(weight_dims), any_source = any(dims_of(plan_[source].layout));
  Fusing fusing(*this, plan_, "deconvolution", result, post_ops);
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
    return lib.dnnl_deconvolution_forward_primitive_desc_create(
        made, lib.engine, dnnl_forward_inference, dnnl_deconvolution_direct, any_source.get(), any_weights.get(),
        bias_layout, target.get(), window.strides.data(), dilates.data(), window.before.data(),
        window.after.data(), attributes);
  };
  if (!fusing.choose(ask, false) && !fusing.choose(ask, true)) fail("no transposed convolution like this");
  std::vector<std::pair<int, Tensor>> arguments = {
      {DNNL_ARG_SRC, plan_.convert(source, fusing.description().layout(dnnl_query_src_md))},
      {DNNL_ARG_WEIGHTS, plan_.convert(weights, fusing.description().layout(dnnl_query_weights_md))}};
  if (bias.number >= 0) arguments.push_back({DNNL_ARG_BIAS, bias});
  return fusing.finish(arguments);
}

Tensor Network::matmul(Tensor source, Tensor weights, Tensor bias, Dims result, const PostOps &post_ops) {
  const OneDnn &lib = onednn();
  bool constant = plan_.storages[plan_[weights].storage].kind == Storage::CONSTANT;
  Layout plain_result = plain(result);
  const_dnnl_memory_desc_t bias_layout = bias.number < 0 ? nullptr : plan_[bias].layout.get();
  Fusing fusing(*this, plan_, "matmul", result, post_ops);
  auto with = [&](Layout left, Layout right) {
    return [&, left, right](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
      return lib.dnnl_matmul_primitive_desc_create(made, lib.engine, left.get(), right.get(), bias_layout,
                                                   target.get(), attributes);
    };
  };
  auto right_layout = [&] {
    return constant ? any(dims_of(plan_[weights].layout)) : plan_[weights].layout;
  };
  auto as_they_lie = with(plan_[source].layout, right_layout());
  if (!fusing.choose(as_they_lie, false, plain_result)) {
    source = plan_.to_plain(source);
    if (!constant) weights = plan_.to_plain(weights);
    auto as_matrices = with(plan_[source].layout, right_layout());
    if (!fusing.choose(as_matrices, false, plain_result) && !fusing.choose(as_matrices, true, plain_result))
      fail("no matrix product like this");
  }
  std::vector<std::pair<int, Tensor>> arguments = {
      {DNNL_ARG_SRC, source},
      {DNNL_ARG_WEIGHTS, plan_.convert(weights, fusing.description().layout(dnnl_query_weights_md))}};
  if (bias.number >= 0) arguments.push_back({DNNL_ARG_BIAS, bias});
  return fusing.finish(arguments);
}

Tensor Network::pool(dnnl_alg_kind_t algorithm, Tensor source, Dims kernel, const Window &window, Dims result,
                     const PostOps &post_ops) {
  const OneDnn &lib = onednn();
  Dims dilates = gaps(window.dilation);
  if (plan_[source].is_view) source = plan_.to_plain(source);
  Fusing fusing(*this, plan_, "pooling", result, post_ops);
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
    return lib.dnnl_pooling_forward_primitive_desc_create(
        made, lib.engine, dnnl_forward_inference, algorithm, plan_[source].layout.get(), target.get(),
        window.strides.data(), kernel.data(), dilates.data(), window.before.data(), window.after.data(),
        attributes);
  };
  if (!fusing.choose(ask, false) && !fusing.choose(ask, true)) fail("no pooling like this");
  return fusing.finish({{DNNL_ARG_SRC, source}});
}

Tensor Network::softmax(Tensor source, int32_t axis) {
  const OneDnn &lib = onednn();
  source = plan_.to_plain(source);
  Dims dims = dims_of(plan_[source].layout);
  PostOps none;
  Fusing fusing(*this, plan_, "softmax", dims, none);
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
    return lib.dnnl_softmax_forward_primitive_desc_create(made, lib.engine, dnnl_forward_inference,
                                                          dnnl_softmax_accurate, plan_[source].layout.get(),
                                                          target.get(), axis, attributes);
  };
  if (!fusing.choose(ask, true, plan_[source].layout)) fail("no softmax like this");
  return fusing.finish({{DNNL_ARG_SRC, source}});
}

Tensor Network::layer_norm(Tensor source, Tensor scale, Tensor shift, float epsilon) {
  const OneDnn &lib = onednn();
  source = plan_.to_plain(source);
  PostOps none;
  Fusing fusing(*this, plan_, "layer normalization", dims_of(plan_[source].layout), none);
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
    return lib.dnnl_layer_normalization_forward_primitive_desc_create(
        made, lib.engine, dnnl_forward_inference, plan_[source].layout.get(), target.get(), nullptr, epsilon,
        dnnl_use_scale | dnnl_use_shift, attributes);
  };
  if (!fusing.choose(ask, true, plan_[source].layout)) fail("no layer normalization like this");
  return fusing.finish({{DNNL_ARG_SRC, source}, {DNNL_ARG_SCALE, scale}, {DNNL_ARG_SHIFT, shift}});
}

Tensor Network::resample(dnnl_alg_kind_t algorithm, Tensor source, Dims result, const PostOps &post_ops) {
  const OneDnn &lib = onednn();
  if (plan_[source].is_view) source = plan_.to_plain(source);
  Fusing fusing(*this, plan_, "resampling", result, post_ops);
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
    return lib.dnnl_resampling_forward_primitive_desc_create(made, lib.engine, dnnl_forward_inference, algorithm,
                                                             nullptr, plan_[source].layout.get(), target.get(),
                                                             attributes);
  };
  if (!fusing.choose(ask, false) && !fusing.choose(ask, true)) fail("no resampling like this");
  return fusing.finish({{DNNL_ARG_SRC, source}});
}

Tensor Network::apply(dnnl_alg_kind_t algorithm, Tensor source, Tensor other, const PostOps &post_ops) {
  const OneDnn &lib = onednn();
  if (plan_[source].is_view) source = plan_.to_plain(source);
  Dims dims = dims_of(plan_[source].layout);
  if (dims_of(plan_[other].layout) != dims) {
    other = plan_.convert(other, blocked_like(plan_[source].layout, dims_of(plan_[other].layout)));
  } else {
    if (plan_.is_plain(source) && !plan_[other].is_view) source = plan_.convert(source, plan_[other].layout);
    other = plan_.convert(other, plan_[source].layout);
  }
  Fusing fusing(*this, plan_, "binary", dims, post_ops);
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
    return lib.dnnl_binary_primitive_desc_create(made, lib.engine, algorithm, plan_[source].layout.get(),
                                                 plan_[other].layout.get(), target.get(), attributes);
  };
  Layout layout = plan_[source].layout;
  if (!fusing.choose(ask, false, layout) && !fusing.choose(ask, true, layout)) fail("no arithmetic like this");
  return fusing.finish({{DNNL_ARG_SRC_0, source}, {DNNL_ARG_SRC_1, other}});
}

Tensor Network::apply(Tensor source, const PostOps &post_ops) {
  const OneDnn &lib = onednn();
  if (plan_[source].is_view) source = plan_.to_plain(source);
  const PostOp first = post_ops[0];
  PostOps rest(post_ops.begin() + 1, post_ops.end());
  Fusing fusing(*this, plan_, "eltwise", dims_of(plan_[source].layout), rest);
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
    return lib.dnnl_eltwise_forward_primitive_desc_create(made, lib.engine, dnnl_forward_inference, first.algorithm,
                                                          plan_[source].layout.get(), target.get(), first.alpha,
                                                          first.beta, attributes);
  };
  Layout layout = plan_[source].layout;
  if (!fusing.choose(ask, false, layout) && !fusing.choose(ask, true, layout)) fail("no activation like this");
  return fusing.finish({{DNNL_ARG_SRC, source}});
}

Tensor Network::concat(const std::vector<Tensor> &sources, int32_t axis) {
  const OneDnn &lib = onednn();
  /* The first that is not plain says how all should lie: converting plain ones is what is needed anyway. */
  std::vector<Tensor> blocked, flat;
  bool all_plain = true;
  for (Tensor source : sources) all_plain = all_plain && plan_.is_plain(source);
  Description description;
  std::vector<Tensor> taken;
  std::vector<const_dnnl_memory_desc_t> layouts;
  for (bool as_they_lie : {true, false}) {
    if (as_they_lie && all_plain) continue;
    taken.clear();
    layouts.clear();
    for (Tensor source : sources) taken.push_back(as_they_lie && !plan_[source].is_view ? source : plan_.to_plain(source));
    for (Tensor source : taken) layouts.push_back(plan_[source].layout.get());
    dnnl_status_t status = lib.dnnl_concat_primitive_desc_create(&description.handle, lib.engine, nullptr, int(taken.size()),
                                                                 axis, layouts.data(), nullptr);
    if (status == dnnl_success && (!as_they_lie || !description.is_reference())) break;
    description = Description();
  }
  if (description.handle == nullptr) fail("no concatenation like this");
  std::vector<std::pair<int, Tensor>> arguments;
  for (size_t i = 0; i < taken.size(); ++i) arguments.push_back({DNNL_ARG_MULTIPLE_SRC + int(i), taken[i]});
  Tensor result = plan_.add_result(description.layout(dnnl_query_dst_md));
  arguments.push_back({DNNL_ARG_DST, result});
  plan_.act("concat", description, arguments);
  return result;
}

Tensor Network::shuffle(Tensor source, int32_t axis, int64_t groups) {
  const OneDnn &lib = onednn();
  if (plan_[source].is_view) source = plan_.to_plain(source);
  PostOps none;
  Fusing fusing(*this, plan_, "shuffle", dims_of(plan_[source].layout), none);
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
    return lib.dnnl_shuffle_forward_primitive_desc_create(made, lib.engine, dnnl_forward_inference,
                                                          plan_[source].layout.get(), target.get(), axis,
                                                          dims_of(plan_[source].layout)[axis] / groups, attributes);
  };
  if (!fusing.choose(ask, true, plan_[source].layout)) fail("no shuffle like this");
  return fusing.finish({{DNNL_ARG_SRC, source}});
}

Tensor Network::reshape(Tensor source, Dims dims) {
  const OneDnn &lib = onednn();
  Value value = plan_[source];
  dnnl_memory_desc_t layout;
  bool possible = !value.is_view && lib.dnnl_memory_desc_reshape(&layout, value.layout.get(), int(dims.size()), dims.data()) == dnnl_success;
  if (possible) return plan_.add(owned(layout), value.storage);
  source = plan_.to_plain(source);
  return plan_.add(plain(dims), plan_[source].storage);
}

Tensor Network::transpose(Tensor source, const std::vector<int> &axes) {
  const OneDnn &lib = onednn();
  /* oneDNN's permutation says where each axis goes, ours where it comes from. */
  std::vector<int> to(axes.size());
  for (size_t i = 0; i < axes.size(); ++i) to[axes[i]] = int(i);
  dnnl_memory_desc_t layout;
  if (lib.dnnl_memory_desc_permute_axes(&layout, plan_[source].layout.get(), to.data()) != dnnl_success) {
    source = plan_.to_plain(source);
    check(lib.dnnl_memory_desc_permute_axes(&layout, plan_[source].layout.get(), to.data()), "transpose");
  }
  return plan_.add(owned(layout), plan_[source].storage, true);
}

Tensor Network::slice(Tensor source, Dims begin, Dims dims) {
  const OneDnn &lib = onednn();
  dnnl_memory_desc_t layout;
  if (lib.dnnl_memory_desc_create_submemory(&layout, plan_[source].layout.get(), dims.data(), begin.data()) != dnnl_success) {
    source = plan_.to_plain(source);
    check(lib.dnnl_memory_desc_create_submemory(&layout, plan_[source].layout.get(), dims.data(), begin.data()), "slice");
  }
  return plan_.add(owned(layout), plan_[source].storage, true);
}

namespace {

template <class Do>
int guarded(const Do &what) {
  try {
    what();
    return 0;
  } catch (const std::bad_alloc &) {
    TVMFFIErrorSetRaisedFromCStr("MemoryError", "oneDNN: out of memory");
  } catch (const std::exception &error) {
    TVMFFIErrorSetRaisedFromCStr("RuntimeError", error.what());
  }
  return -1;
}

}  // namespace

int Subgraph::load(const TVMFFIAny *constants, int32_t count) {
  return guarded([&] {
    std::lock_guard<std::mutex> lock(mutex_);
    int32_t threads = paddle_tvm_pool->threads();
    onednn();
    for (Plan *plan : *plans_)
      if (plan->threads == threads) return;
    Plan survey(Plan::SURVEY, threads, false, constants, count);
    Network surveyed(survey);
    build_(surveyed);
    auto plan = std::make_unique<Plan>(Plan::RUN, threads, survey.prefers_channels_last(), constants, count);
    Network network(*plan);
    build_(network);
    plan->finish();
    plans_->push_back(plan.release());
  });
}

int Subgraph::run(const TVMFFIAny *arguments, int32_t count) {
  return guarded([&] {
    int32_t threads = paddle_tvm_pool->threads();
    Plan *chosen = nullptr;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      for (Plan *plan : *plans_)
        if (chosen == nullptr || plan->threads == threads) chosen = plan;
    }
    if (chosen == nullptr) fail("the model was not loaded by paddle_tvm.runtime");
    chosen->run(arguments);
  });
}

int Subgraph::describe(TVMFFIAny *result) {
  return guarded([&] {
    std::lock_guard<std::mutex> lock(mutex_);
    std::string text = plans_->empty() ? "[]" : plans_->front()->describe();
    TVMFFIByteArray bytes = {text.data(), text.size()};
    if (TVMFFIStringFromByteArray(&bytes, result) != 0) fail("no memory for a description");
  });
}

}  // namespace paddle_tvm
