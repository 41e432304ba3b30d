/*
 * oneDNN's C API: its functions, found when a model is loaded.
 */
#ifndef PADDLE_TVM_ONEDNN_ONEDNN_H
#define PADDLE_TVM_ONEDNN_ONEDNN_H

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>

#include <stdexcept>
#include <string>

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
  X(dnnl_primitive_attr_set_post_ops) X(dnnl_primitive_attr_set_scales_mask)                              \
  X(dnnl_primitive_attr_set_scratchpad_mode) X(dnnl_primitive_attr_set_zero_points_mask)                  \
  X(dnnl_primitive_create) X(dnnl_primitive_desc_destroy) X(dnnl_primitive_desc_query)                    \
  X(dnnl_primitive_destroy)                                                                               \
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

}  // namespace paddle_tvm

#endif
