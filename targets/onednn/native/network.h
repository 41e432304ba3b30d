/*
 * The steps of a subgraph, made into oneDNN primitives when a model is loaded.
 *
 * The code that targets/onednn/code.py generates calls a Network's methods once for each step; tensors have
 * whatever layout oneDNN prefers, and keep it from one step to the next. primitives.cc and views.cc have what they do.
 */
#ifndef PADDLE_TVM_ONEDNN_NETWORK_H
#define PADDLE_TVM_ONEDNN_NETWORK_H

#include <oneapi/dnnl/dnnl_types.h>
#include <tvm/ffi/c_api.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace paddle_tvm {

using Dims = std::vector<int64_t>;
using Type = dnnl_data_type_t;

/* A value of the network; of -1 there is none. */
struct Tensor {
  int32_t number = -1;
};

/* What is done with each element of a result before it is written. */
struct PostOp {
  enum Kind { ELTWISE, BINARY, SUM } kind;
  dnnl_alg_kind_t algorithm;
  float alpha = 0, beta = 0;
  /* The other operand of BINARY and SUM. SUM writes over it: nobody else may read it later. */
  Tensor other = {};
};
using PostOps = std::vector<PostOp>;

inline PostOp eltwise(dnnl_alg_kind_t algorithm, float alpha = 0, float beta = 0) {
  return {PostOp::ELTWISE, algorithm, alpha, beta, {}};
}
inline PostOp binary(dnnl_alg_kind_t algorithm, Tensor other) {
  return {PostOp::BINARY, algorithm, 0, 0, other};
}
inline PostOp sum(Tensor other) { return {PostOp::SUM, dnnl_binary_add, 0, 0, other}; }

/* What a primitive gives: its sizes, what its elements are, and what is done with them before they are written.
   Where oneDNN has no primitive that writes such elements, float32 stays float32. */
struct Result {
  Dims dims;
  Type type;
  PostOps post_ops;
};

/* Where a window is put: strides, dilation (1: none), padding before and after, in each spatial dimension. */
struct Window {
  Dims strides, dilation, before, after;
};

/* Of a product of integers: the numbers that one stands for, of each output or of all, and what stands for 0 in the
   source; there is no tensor for 0 itself. Weights are symmetric. */
struct Quantized {
  Tensor scales, zero_point;
};

class Plan;

class Network {
 public:
  /* `type` is what convolutions and products compute in: float32, or bfloat16 with sums in float32. */
  Network(Plan &plan, Type type) : plan_(plan), type_(type) {}

  /* The subgraph's input of that number, and an array that it is given when it is loaded; `content` is the same
     for arrays of the same bytes. */
  Tensor input(int32_t number, Dims dims, Type type);
  Tensor constant(int32_t number, uint64_t content, Dims dims, Type type);

  /* Weights are constants [groups *] outputs x inputs x kernel; for `deconvolution` inputs x outputs. */
  Tensor convolution(Tensor source, Tensor weights, Tensor bias, int64_t groups, const Window &window,
                     const Result &result, const Quantized &quantized = {});
  Tensor deconvolution(Tensor source, Tensor weights, Tensor bias, int64_t groups, const Window &window,
                       const Result &result, const Quantized &quantized = {});
  /* Batches of matrices; weights that are a constant matrix multiply all rows. */
  Tensor matmul(Tensor source, Tensor weights, Tensor bias, const Result &result, const Quantized &quantized = {});
  Tensor pool(dnnl_alg_kind_t algorithm, Tensor source, Dims kernel, const Window &window, const Result &result);
  Tensor softmax(Tensor source, int32_t axis, const Result &result);
  Tensor layer_norm(Tensor source, Tensor scale, Tensor shift, float epsilon, const Result &result);
  Tensor resample(dnnl_alg_kind_t algorithm, Tensor source, const Result &result);
  /* `other` has the rank of `source`, and its sizes or 1; integers are multiplied by their scales before. */
  Tensor apply(dnnl_alg_kind_t algorithm, Tensor source, Tensor other, const Result &result,
               Tensor source_scale = {}, Tensor other_scale = {});
  /* The post-ops alone: one at least, and an eltwise first. */
  Tensor apply(Tensor source, const Result &result);

  /* Numbers rounded to integers of a type, each for `scale` times its distance from `zero_point`; and back. */
  Tensor quantize(Tensor source, Tensor scale, Tensor zero_point, Type type);
  Tensor dequantize(Tensor source, Tensor scale, Tensor zero_point, Type type);

  /* Copies of elements in another order. */
  Tensor concat(const std::vector<Tensor> &sources, int32_t axis);
  Tensor shuffle(Tensor source, int32_t axis, int64_t groups);

  /* Other views of what is in memory, where its layout allows it. */
  Tensor reshape(Tensor source, Dims dims);
  Tensor transpose(Tensor source, const std::vector<int> &axes);
  Tensor slice(Tensor source, Dims begin, Dims dims);

  void output(int32_t number, Tensor source, Type type);

 private:
  Plan &plan_;
  const Type type_;
};

/* A subgraph's code. */
class Subgraph {
 public:
  Subgraph(void (*build)(Network &), Type type) : build_(build), type_(type) {}

  /* Makes the primitives for as many threads as the run on this thread may have, once for each number. */
  int load(const TVMFFIAny *constants, int32_t count);
  int run(const TVMFFIAny *arguments, int32_t count);
  /* What the first plan is made of, as JSON. */
  int describe(TVMFFIAny *result);

 private:
  void (*build_)(Network &);
  const Type type_;
  std::mutex mutex_;
  /* Never freed: at the end of the process oneDNN may be gone before them. */
  std::vector<Plan *> *plans_ = new std::vector<Plan *>;
};

}  // namespace paddle_tvm

#endif
