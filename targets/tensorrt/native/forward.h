/* Hands calls of subgraphs to the runtime, whose Python calls TensorRT. */
#ifndef PADDLE_TVM_TENSORRT_FORWARD_H_
#define PADDLE_TVM_TENSORRT_FORWARD_H_

#include <tvm/ffi/c_api.h>

/* Calls the global function `name` with the engine's key and the arguments. */
int paddle_tvm_tensorrt(const char *name, const char *key, const TVMFFIAny *arguments, int32_t count,
                        TVMFFIAny *result);

#endif
