/*
 * oneDNN's C API: its functions, found when a model is loaded, and small types over what they give.
 */
#ifndef PADDLE_TVM_ONEDNN_ONEDNN_H
#define PADDLE_TVM_ONEDNN_ONEDNN_H

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "network.h"
#include "thread_pool.h"

namespace paddle_tvm {

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
  X(dnnl_primitive_create) X(dnnl_primitive_desc_destroy) X(dnnl_primitive_destroy) X(dnnl_primitive_desc_query)                    \
  X(dnnl_primitive_desc_query_md) X(dnnl_primitive_execute) X(dnnl_reorder_primitive_desc_create)         \
  X(dnnl_resampling_forward_primitive_desc_create) X(dnnl_shuffle_forward_primitive_desc_create)          \
  X(dnnl_softmax_forward_primitive_desc_create) X(dnnl_stream_create) X(dnnl_stream_wait) X(dnnl_version)

[[noreturn]] inline void fail(const std::string &message) { throw std::runtime_error("oneDNN: " + message); }

inline void check(dnnl_status_t status, const char *what) {
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
    /* By their paths and with names of their own: neither takes the place of another copy in the process, of
       Paddle's say, nor the other way round. */
    open(folder + PADDLE_TVM_OPENMP);
    const char *file = "libpddnnl.so";
    void *library = open(folder + file);
    auto use = reinterpret_cast<void (*)(const PaddleTvmPool *)>(find(library, "paddle_tvm_openmp_use"));
    use(paddle_tvm_pool);
#define FIND(name) name = reinterpret_cast<decltype(name)>(find(library, #name));
    FUNCTIONS(FIND)
#undef FIND
    const dnnl_version_t *version = dnnl_version();
    if (version->major != DNNL_VERSION_MAJOR || version->minor < DNNL_VERSION_MINOR)
      fail(folder + file + " is version " + std::to_string(version->major) + "." +
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
inline const OneDnn &onednn() {
  static const OneDnn *library = new OneDnn;
  return *library;
}

/* dnnl_memory_desc_t: sizes, type, and how they lie in memory. */
using Layout = std::shared_ptr<const dnnl_memory_desc>;

inline Layout owned(dnnl_memory_desc_t layout) {
  return Layout(layout, [](const dnnl_memory_desc *p) {
    onednn().dnnl_memory_desc_destroy(const_cast<dnnl_memory_desc_t>(p));
  });
}

inline Layout clone(const_dnnl_memory_desc_t layout) {
  dnnl_memory_desc_t copy;
  check(onednn().dnnl_memory_desc_clone(&copy, layout), "layout");
  return owned(copy);
}

inline int64_t product(const Dims &dims) {
  int64_t size = 1;
  for (int64_t dim : dims) size *= dim;
  return size;
}

inline Layout strided(const Dims &dims, const Dims &strides) {
  dnnl_memory_desc_t layout;
  check(onednn().dnnl_memory_desc_create_with_strides(&layout, dims.size(), dims.data(), dnnl_f32, strides.data()),
        "layout");
  return owned(layout);
}

/* Row-major, without gaps. */
inline Layout plain(const Dims &dims) {
  Dims strides(dims.size(), 1);
  for (size_t i = dims.size() - 1; i-- > 0;) strides[i] = strides[i + 1] * std::max<int64_t>(dims[i + 1], 1);
  return strided(dims, strides);
}

/* Whichever oneDNN likes. */
inline Layout any(const Dims &dims) {
  dnnl_memory_desc_t layout;
  check(onednn().dnnl_memory_desc_create_with_tag(&layout, dims.size(), dims.data(), dnnl_f32, dnnl_format_tag_any),
        "layout");
  return owned(layout);
}

inline Dims dims_of(const Layout &layout) {
  int32_t rank;
  const dnnl_dims_t *dims;
  check(onednn().dnnl_memory_desc_query(layout.get(), dnnl_query_ndims_s32, &rank), "rank");
  check(onednn().dnnl_memory_desc_query(layout.get(), dnnl_query_dims, &dims), "sizes");
  return Dims(*dims, *dims + rank);
}

inline bool same(const Layout &one, const Layout &other) {
  return onednn().dnnl_memory_desc_equal(one.get(), other.get());
}

inline size_t bytes_of(const Layout &layout) { return onednn().dnnl_memory_desc_get_size(layout.get()); }

/* Channels after the spatial dimensions, without blocks. */
inline Layout channels_last(const Dims &dims) {
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

inline bool is_channels_last(const Layout &layout) {
  Dims dims = dims_of(layout);
  return dims.size() > 2 && same(layout, channels_last(dims));
}

/* A layout of other sizes in the blocks of `model`. */
inline Layout blocked_like(const Layout &model, const Dims &dims) {
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
inline std::string name_of(const Layout &layout) {
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

/* A dnnl_primitive_attr_t with which primitives are given their scratchpad in each call: those that keep one
   of their own cannot run in several threads at once. */
struct Attributes {
  dnnl_primitive_attr_t handle;
  Attributes() {
    check(onednn().dnnl_primitive_attr_create(&handle), "attributes");
    check(onednn().dnnl_primitive_attr_set_scratchpad_mode(handle, dnnl_scratchpad_mode_user), "attributes");
  }
  ~Attributes() { onednn().dnnl_primitive_attr_destroy(handle); }
  Attributes(const Attributes &) = delete;
  Attributes &operator=(const Attributes &) = delete;
};

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

}  // namespace paddle_tvm

#endif
