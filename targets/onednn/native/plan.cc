#include "plan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

namespace paddle_tvm {
namespace {

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

/* A layout in which the bytes lie as in the row-major one: all sizes but one are 1, and nothing is padded. */
bool lies_like_plain(const Layout &layout) {
  Dims dims = dims_of(layout);
  int64_t larger = std::count_if(dims.begin(), dims.end(), [](int64_t dim) { return dim > 1; });
  return larger <= 1 && bytes_of(layout) == bytes_of(plain(dims, type_of(layout)));
}

}  // namespace

Description reorder(const Layout &from, const Layout &to) {
  const OneDnn &lib = onednn();
  Description description;
  Attributes attributes;
  dnnl_status_t status = lib.dnnl_reorder_primitive_desc_create(&description.handle, from.get(), lib.engine,
                                                                to.get(), lib.engine, attributes.handle);
  check(status, "reorder");
  return description;
}

void *Plan::constant_data(int32_t number) const { return data_of(constants_.at(number)); }

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
  lib.dnnl_primitive_destroy(primitive);
}

Tensor Plan::convert(Tensor tensor, const Layout &layout, const char *name) {
  Value value = values[tensor.number];
  if (same(value.layout, layout)) return tensor;
  bool same_elements = type_of(value.layout) == type_of(layout);
  if (!value.is_view && same_elements && lies_like_plain(value.layout) && lies_like_plain(layout))
    return add(layout, value.storage);
  for (const auto &[from, to] : converted_)
    if (from == tensor.number && same(values[to.number].layout, layout)) return to;
  Tensor result;
  if (storages[value.storage].kind == Storage::CONSTANT) {
    int32_t storage = add_storage(Storage::CONSTANT, -1);
    result = add(layout, storage);
    if (purpose == RUN) {
      storages[storage].data = packed(storages[value.storage], value.layout, layout);
      /* Other bytes than those it was made of, as where these were seen transposed: it is known by its place. */
      storages[storage].content = reinterpret_cast<uintptr_t>(storages[storage].data);
    }
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
      bool overlap = storage->offset < other->offset + other->bytes && other->offset < storage->offset + storage->bytes;
      if (together && overlap) storage->offset = (other->offset + other->bytes + 63) / 64 * 64;
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
        bool moves = storages[argument.storage].kind != Storage::CONSTANT;
        if (moves) made->memories.push_back({memory, argument.storage});
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

}  // namespace paddle_tvm
