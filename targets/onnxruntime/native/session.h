/*
 * A subgraph as a model of ONNX Runtime: a session for each number of threads, made when a model is loaded.
 */
#ifndef PADDLE_TVM_ONNXRUNTIME_SESSION_H
#define PADDLE_TVM_ONNXRUNTIME_SESSION_H

#include <tvm/ffi/c_api.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

struct OrtSession;

namespace paddle_tvm {

struct Names {
  const char *const *names;
  size_t count;
};

class Subgraph {
 public:
  constexpr Subgraph(Names inputs, Names outputs, Names weights)
      : inputs_(inputs), outputs_(outputs), weights_(weights) {}

  /* Makes the session for as many threads as the run on this thread may have, once for each number. The first
     constant is the ONNX model, the others are weights. */
  int load(const TVMFFIAny *constants, int32_t count);
  /* The arguments are inputs, then outputs. */
  int run(const TVMFFIAny *arguments, int32_t count);

 private:
  OrtSession *session_for(int32_t threads);

  Names inputs_, outputs_, weights_;
  std::mutex mutex_;
  /* By number of threads. Never freed: at the end of the process ONNX Runtime may be gone before them. */
  std::map<int32_t, OrtSession *> *sessions_ = nullptr;
};

/* Gives a text out. */
int describe(const char *text, TVMFFIAny *result);

}  // namespace paddle_tvm

#endif
