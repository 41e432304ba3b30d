#include "session.h"

#include <dlfcn.h>
#include <string.h>
#include <tvm/ffi/c_api.h>

#include <new>
#include <string>
#include <vector>

#include "onnxruntime.h"
#include "thread_pool.h"

namespace paddle_tvm {
namespace {

/* Opened from beside the library that this code is in, so that no other copy in the process takes its place. */
OnnxRuntime *open_library() {
  Dl_info self;
  if (!dladdr(reinterpret_cast<void *>(&open_library), &self)) fail("the library that this code is in is not known");
  std::string path(self.dli_fname);
  path = path.substr(0, path.rfind('/') + 1) + "lib/" PADDLE_TVM_ORT_FILE;
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) fail(std::string("cannot be loaded: ") + dlerror());
  auto get_base = reinterpret_cast<const ApiBase *(*)()>(dlsym(library, "OrtGetApiBase"));
  if (get_base == nullptr) fail(path + " has no function OrtGetApiBase");
  const ApiBase *base = get_base();
  if (strcmp(base->GetVersionString(), PADDLE_TVM_ORT_VERSION) != 0)
    fail(path + " is version " + base->GetVersionString() +
         ", and the model was compiled for " PADDLE_TVM_ORT_VERSION "; compile it again");
  return new OnnxRuntime(*base);
}

/* Opened once; stays open. */
const OnnxRuntime &onnxruntime() {
  static const OnnxRuntime *library = open_library();
  return *library;
}

const DLTensor &tensor_of(const TVMFFIAny &argument) {
  char *object = reinterpret_cast<char *>(argument.v_ptr);
  return *reinterpret_cast<DLTensor *>(object + (argument.type_index == kTVMFFITensor ? sizeof(TVMFFIObject) : 0));
}

char *data_of(const DLTensor &tensor) { return static_cast<char *>(tensor.data) + tensor.byte_offset; }

size_t bytes_of(const DLTensor &tensor) {
  size_t size = (tensor.dtype.bits * tensor.dtype.lanes + 7) / 8;
  for (int32_t axis = 0; axis < tensor.ndim; ++axis) size *= tensor.shape[axis];
  return size;
}

ElementType type_of(DLDataType dtype) {
  struct Known {
    uint8_t code, bits;
    ElementType type;
  };
  static const Known known[] = {
      {kDLFloat, 16, FLOAT16}, {kDLFloat, 32, FLOAT32}, {kDLFloat, 64, FLOAT64}, {kDLInt, 8, INT8},
      {kDLInt, 16, INT16},     {kDLInt, 32, INT32},     {kDLInt, 64, INT64},     {kDLUInt, 8, UINT8},
      {kDLUInt, 16, UINT16},   {kDLUInt, 32, UINT32},   {kDLUInt, 64, UINT64},   {kDLBool, 8, BOOL},
  };
  for (const Known &one : known)
    if (one.code == dtype.code && one.bits == dtype.bits && dtype.lanes == 1) return one.type;
  fail("a tensor has elements of kind " + std::to_string(dtype.code) + " with " + std::to_string(dtype.bits) +
       " bits, which are not supported");
}

/* Tensors of ONNX Runtime over memory of others. */
class Values {
 public:
  explicit Values(size_t count) { values_.reserve(count); }
  ~Values() {
    for (OrtValue *value : values_) onnxruntime().ReleaseValue(value);
  }
  Values(const Values &) = delete;
  Values &operator=(const Values &) = delete;

  void add(const TVMFFIAny &argument) {
    const OnnxRuntime &lib = onnxruntime();
    const DLTensor &tensor = tensor_of(argument);
    OrtValue *value;
    lib.check(lib.CreateTensorWithDataAsOrtValue(lib.memory, data_of(tensor), bytes_of(tensor), tensor.shape, tensor.ndim,
                                                 type_of(tensor.dtype), &value));
    values_.push_back(value);
  }
  OrtValue **data() { return values_.data(); }

 private:
  std::vector<OrtValue *> values_;
};

struct Options {
  OrtSessionOptions *handle;
  Options() { onnxruntime().check(onnxruntime().CreateSessionOptions(&handle)); }
  ~Options() { onnxruntime().ReleaseSessionOptions(handle); }
  Options(const Options &) = delete;
  Options &operator=(const Options &) = delete;
};

OrtSession *make_session(const TVMFFIAny *constants, const Names &weights, int32_t threads) {
  const OnnxRuntime &lib = onnxruntime();
  Options options;
  lib.check(lib.SetSessionGraphOptimizationLevel(options.handle, OPTIMISE_ALL));
  lib.check(lib.SetIntraOpNumThreads(options.handle, threads));
  lib.check(lib.SetInterOpNumThreads(options.handle, 1));
  /* Threads that wait for work by spinning would keep those of the other kernels from theirs. */
  lib.check(lib.AddSessionConfigEntry(options.handle, "session.intra_op.allow_spinning", "0"));
  Values values(weights.count);
  for (size_t i = 0; i < weights.count; ++i) values.add(constants[1 + i]);
  /* They are copied into the session. */
  if (weights.count)
    lib.check(lib.AddExternalInitializers(options.handle, weights.names, values.data(), weights.count));
  const DLTensor &model = tensor_of(constants[0]);
  OrtSession *session;
  lib.check(lib.CreateSessionFromArray(lib.env, data_of(model), bytes_of(model), options.handle, &session));
  return session;
}

/* Errors become the caller's, not exceptions across C. */
template <class Do>
int guarded(const Do &what) {
  try {
    what();
    return 0;
  } catch (const std::bad_alloc &) {
    TVMFFIErrorSetRaisedFromCStr("MemoryError", "ONNX Runtime: out of memory");
  } catch (const std::exception &error) {
    TVMFFIErrorSetRaisedFromCStr("RuntimeError", error.what());
  }
  return -1;
}

}  // namespace

int Subgraph::load(const TVMFFIAny *constants, int32_t count) {
  return guarded([&] {
    if (size_t(count) != 1 + weights_.count) fail("a subgraph is loaded with the weights of another");
    std::lock_guard<std::mutex> lock(mutex_);
    if (sessions_ == nullptr) sessions_ = new std::map<int32_t, OrtSession *>;
    int32_t threads = paddle_tvm_pool->threads();
    if (!sessions_->count(threads)) (*sessions_)[threads] = make_session(constants, weights_, threads);
  });
}

int Subgraph::run(const TVMFFIAny *arguments, int32_t count) {
  return guarded([&] {
    if (size_t(count) != inputs_.count + outputs_.count) fail("a subgraph is called with the arguments of another");
    OrtSession *session = session_for(paddle_tvm_pool->threads());
    Values values(count);
    for (int32_t i = 0; i < count; ++i) values.add(arguments[i]);
    const OnnxRuntime &lib = onnxruntime();
    lib.check(lib.Run(session, nullptr, inputs_.names, values.data(), inputs_.count, outputs_.names, outputs_.count,
                      values.data() + inputs_.count));
  });
}

OrtSession *Subgraph::session_for(int32_t threads) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (sessions_ == nullptr || !sessions_->count(threads))
    fail("a subgraph runs with " + std::to_string(threads) + " threads, and was not loaded for that number");
  return sessions_->at(threads);
}

int describe(const char *text, TVMFFIAny *result) {
  TVMFFIByteArray bytes = {text, strlen(text)};
  return TVMFFIStringFromByteArray(&bytes, result);
}

}  // namespace paddle_tvm
