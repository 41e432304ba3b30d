/*
 * The part of ONNX Runtime's C API that is used here. Its functions are in a table that only grows, so that a place
 * in it means the same in all versions; the table is asked for by the version that had the last of these first.
 */
#ifndef PADDLE_TVM_ONNXRUNTIME_ONNXRUNTIME_H
#define PADDLE_TVM_ONNXRUNTIME_ONNXRUNTIME_H

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

struct OrtStatus;
struct OrtEnv;
struct OrtSession;
struct OrtSessionOptions;
struct OrtMemoryInfo;
struct OrtValue;

namespace paddle_tvm {

[[noreturn]] inline void fail(const std::string &message) { throw std::runtime_error("ONNX Runtime: " + message); }

/* ONNXTensorElementDataType: the numbers of ONNX itself. */
enum ElementType : int {
  FLOAT32 = 1, UINT8, INT8, UINT16, INT16, INT32, INT64, BOOL = 9, FLOAT16, FLOAT64, UINT32, UINT64
};

/* Errors are told by statuses, and need not be on stderr, too. */
enum { LOG_FATAL = 4, OPTIMISE_ALL = 99, ARENA_ALLOCATOR = 1, DEFAULT_MEMORY = 0 };

/* X(place in the table, name, result, parameters) */
#define PADDLE_TVM_ORT_FUNCTIONS(X)                                                                             \
  X(2, GetErrorMessage, const char *, (const OrtStatus *))                                                      \
  X(3, CreateEnv, OrtStatus *, (int severity, const char *name, OrtEnv **))                                     \
  X(6, DisableTelemetryEvents, OrtStatus *, (const OrtEnv *))                                                   \
  X(8, CreateSessionFromArray, OrtStatus *,                                                                     \
    (const OrtEnv *, const void *model, size_t bytes, const OrtSessionOptions *, OrtSession **))                \
  X(9, Run, OrtStatus *,                                                                                        \
    (OrtSession *, const void *options, const char *const *input_names, const OrtValue *const *inputs,          \
     size_t input_count, const char *const *output_names, size_t output_count, OrtValue **outputs))             \
  X(10, CreateSessionOptions, OrtStatus *, (OrtSessionOptions **))                                              \
  X(23, SetSessionGraphOptimizationLevel, OrtStatus *, (OrtSessionOptions *, int level))                        \
  X(24, SetIntraOpNumThreads, OrtStatus *, (OrtSessionOptions *, int threads))                                  \
  X(25, SetInterOpNumThreads, OrtStatus *, (OrtSessionOptions *, int threads))                                  \
  X(49, CreateTensorWithDataAsOrtValue, OrtStatus *,                                                            \
    (const OrtMemoryInfo *, void *data, size_t bytes, const int64_t *shape, size_t rank, int type, OrtValue **)) \
  X(69, CreateCpuMemoryInfo, OrtStatus *, (int allocator, int memory, OrtMemoryInfo **))                        \
  X(93, ReleaseStatus, void, (OrtStatus *))                                                                     \
  X(96, ReleaseValue, void, (OrtValue *))                                                                       \
  X(100, ReleaseSessionOptions, void, (OrtSessionOptions *))                                                    \
  X(130, AddSessionConfigEntry, OrtStatus *, (OrtSessionOptions *, const char *key, const char *value))         \
  X(210, AddExternalInitializers, OrtStatus *,                                                                  \
    (OrtSessionOptions *, const char *const *names, const OrtValue *const *values, size_t count))

/* AddExternalInitializers came with 1.12. */
constexpr uint32_t API_VERSION = 12;

/* What OrtGetApiBase returns. */
struct ApiBase {
  const void *const *(*GetApi)(uint32_t version);
  const char *(*GetVersionString)();
};

struct OnnxRuntime {
#define DECLARE(place, name, result, parameters) result(*name) parameters;
  PADDLE_TVM_ORT_FUNCTIONS(DECLARE)
#undef DECLARE
  OrtEnv *env;
  OrtMemoryInfo *memory;

  explicit OnnxRuntime(const ApiBase &base) {
    const void *const *table = base.GetApi(API_VERSION);
    if (table == nullptr) fail(std::string(base.GetVersionString()) + " does not have version 12 of its API");
#define FIND(place, name, result, parameters) name = reinterpret_cast<decltype(name)>(const_cast<void *>(table[place]));
    PADDLE_TVM_ORT_FUNCTIONS(FIND)
#undef FIND
    check(CreateEnv(LOG_FATAL, "paddle-tvm", &env));
    check(DisableTelemetryEvents(env));
    check(CreateCpuMemoryInfo(ARENA_ALLOCATOR, DEFAULT_MEMORY, &memory));
  }

  void check(OrtStatus *status) const {
    if (status == nullptr) return;
    std::string message(GetErrorMessage(status));
    ReleaseStatus(status);
    fail(message);
  }
};

}  // namespace paddle_tvm

#endif
