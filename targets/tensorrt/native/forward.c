#include "forward.h"

#include <stdlib.h>
#include <string.h>

__attribute__((visibility("hidden"))) int paddle_tvm_tensorrt(const char *name, const char *key,
                                                              const TVMFFIAny *arguments, int32_t count,
                                                              TVMFFIAny *result) {
  TVMFFIByteArray encoded = {name, strlen(name)};
  TVMFFIObjectHandle function = NULL;
  if (TVMFFIFunctionGetGlobal(&encoded, &function)) return -1;
  if (!function) {
    TVMFFIErrorSetRaisedFromCStr("RuntimeError",
                                 "this model has parts for TensorRT, which paddle_tvm.runtime has to load");
    return -1;
  }
  TVMFFIAny *given = malloc(sizeof(TVMFFIAny) * (size_t)(count + 1));
  if (!given) {
    TVMFFIObjectDecRef(function);
    TVMFFIErrorSetRaisedFromCStr("MemoryError", "no memory for the arguments of a TensorRT engine");
    return -1;
  }
  memset(given, 0, sizeof *given);
  given[0].type_index = kTVMFFIRawStr;
  given[0].v_c_str = key;
  memcpy(given + 1, arguments, sizeof(TVMFFIAny) * (size_t)count);
  int failed = TVMFFIFunctionCall(function, given, count + 1, result);
  free(given);
  TVMFFIObjectDecRef(function);
  return failed;
}
