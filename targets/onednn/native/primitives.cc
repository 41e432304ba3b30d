/*
 * Makes oneDNN primitives of the steps of a subgraph.
 */
#include "fusing.h"

namespace paddle_tvm {
namespace {

/* What products of integers are computed in is given by their source, what others are by the network. */
Type product_type(Type source, Type network) { return is_quantized(source) ? source : network; }

/* Integers of weights are signed, whatever those of the source are. */
Type weights_type(Type source) { return is_quantized(source) ? dnnl_s8 : source; }

/* oneDNN counts what lies between the taps of a window. */
Dims gaps(const Dims &dilation) {
  Dims result(dilation);
  for (int64_t &dim : result) --dim;
  return result;
}

using Made = dnnl_primitive_desc_t *;
using Attribute = const_dnnl_primitive_attr_t;

}  // namespace

Tensor Network::convolution(Tensor source, Tensor weights, Tensor bias, int64_t groups, const Window &window,
                            const Result &result, const Quantized &quantized) {
  const OneDnn &lib = onednn();
  Dims weight_dims = plan_.dims(weights);
  if (groups > 1) {
    weight_dims[0] /= groups;
    weight_dims.insert(weight_dims.begin(), groups);
    weights = reshape(weights, weight_dims);
  }
  Dims dilates = gaps(window.dilation), source_dims = plan_.dims(source);
  const_dnnl_memory_desc_t bias_layout = bias.number < 0 ? nullptr : plan_[bias].layout.get();
  Fusing fusing(*this, plan_, groups > 1 ? "group convolution" : "convolution", result);
  fusing.scale(DNNL_ARG_WEIGHTS, quantized.scales, groups > 1 ? 3 : 1);
  fusing.shift(DNNL_ARG_SRC, quantized.zero_point);
  auto with_source = [&](Layout layout) {
    return [&, layout, any_weights = any(weight_dims, weights_type(type_of(layout)))](Made made, const Layout &target,
                                                                       Attribute attributes) {
      return lib.dnnl_convolution_forward_primitive_desc_create(
          made, lib.engine, dnnl_forward_inference, dnnl_convolution_auto, layout.get(), any_weights.get(),
          bias_layout, target.get(), window.strides.data(), dilates.data(), window.before.data(),
          window.after.data(), attributes);
    };
  };
  /* oneDNN says "gemm" of those that first make a matrix of the source. */
  auto is_fast = [&] { return fusing.description().implementation().compare(0, 4, "gemm") != 0; };
  auto channels_last_result = [&](Type type) { return channels_last(result.dims, type); };
  auto choose = [&](Type type) {
    auto free = with_source(any(source_dims, type));
    if (plan_.purpose == Plan::SURVEY) {
      if (!fusing.choose(free, Accept::PART)) return false;
      double taps = double(product(weight_dims)) / weight_dims[groups > 1 ? 1 : 0] / (groups > 1 ? groups : 1);
      plan_.vote(fusing.description().layout(dnnl_query_src_md), taps * product(result.dims));
      return true;
    }
    if (plan_.channels_last) {
      fusing.prefer(channels_last_result);
      auto like_the_others = with_source(channels_last(source_dims, type));
      if (fusing.choose(like_the_others, Accept::WHOLE, channels_last_result) && is_fast()) return true;
    }
    if (!plan_[source].is_view && !plan_.is_plain(source) && plan_.type(source) == type &&
        fusing.choose(with_source(plan_[source].layout), Accept::WHOLE) && is_fast())
      return true;
    return fusing.choose(free, Accept::PART);
  };
  Type type = product_type(plan_.type(source), type_), last = is_quantized(type) ? type : dnnl_f32;
  if (!fusing.choose_type(type, choose) && !fusing.choose(with_source(any(source_dims, last)), Accept::SLOW))
    fail("no convolution like this");
  std::vector<std::pair<int, Tensor>> arguments = {
      {DNNL_ARG_SRC, plan_.convert(source, fusing.description().layout(dnnl_query_src_md))},
      {DNNL_ARG_WEIGHTS, plan_.convert(weights, fusing.description().layout(dnnl_query_weights_md))}};
  if (bias.number >= 0) arguments.push_back({DNNL_ARG_BIAS, bias});
  return fusing.finish(arguments);
}

Tensor Network::deconvolution(Tensor source, Tensor weights, Tensor bias, int64_t groups, const Window &window,
                              const Result &result, const Quantized &quantized) {
  const OneDnn &lib = onednn();
  /* [groups * inputs, outputs, kernel] becomes groups, outputs, inputs, kernel. */
  Dims weight_dims = plan_.dims(weights);
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
  Dims dilates = gaps(window.dilation), source_dims = plan_.dims(source);
  const_dnnl_memory_desc_t bias_layout = bias.number < 0 ? nullptr : plan_[bias].layout.get();
  Fusing fusing(*this, plan_, "deconvolution", result);
  fusing.scale(DNNL_ARG_WEIGHTS, quantized.scales, groups > 1 ? 3 : 1);
  fusing.shift(DNNL_ARG_SRC, quantized.zero_point);
  auto of_type = [&](Type type) {
    return [&, any_source = any(source_dims, type), any_weights = any(weight_dims, weights_type(type))](
               Made made, const Layout &target, Attribute attributes) {
      return lib.dnnl_deconvolution_forward_primitive_desc_create(
          made, lib.engine, dnnl_forward_inference, dnnl_deconvolution_direct, any_source.get(), any_weights.get(),
          bias_layout, target.get(), window.strides.data(), dilates.data(), window.before.data(),
          window.after.data(), attributes);
    };
  };
  auto choose = [&](Type type) { return fusing.choose(of_type(type), Accept::PART); };
  Type type = product_type(plan_.type(source), type_), last = is_quantized(type) ? type : dnnl_f32;
  if (!fusing.choose_type(type, choose) && !fusing.choose(of_type(last), Accept::SLOW))
    fail("no transposed convolution like this");
  std::vector<std::pair<int, Tensor>> arguments = {
      {DNNL_ARG_SRC, plan_.convert(source, fusing.description().layout(dnnl_query_src_md))},
      {DNNL_ARG_WEIGHTS, plan_.convert(weights, fusing.description().layout(dnnl_query_weights_md))}};
  if (bias.number >= 0) arguments.push_back({DNNL_ARG_BIAS, bias});
  return fusing.finish(arguments);
}

Tensor Network::matmul(Tensor source, Tensor weights, Tensor bias, const Result &result,
                       const Quantized &quantized) {
  const OneDnn &lib = onednn();
  const_dnnl_memory_desc_t bias_layout = bias.number < 0 ? nullptr : plan_[bias].layout.get();
  Fusing fusing(*this, plan_, "matmul", result);
  fusing.scale(DNNL_ARG_WEIGHTS, quantized.scales, 1 << (result.dims.size() - 1));
  fusing.shift(DNNL_ARG_SRC, quantized.zero_point);
  auto with = [&](Layout left, Layout right) {
    return [&, left, right](Made made, const Layout &target, Attribute attributes) {
      return lib.dnnl_matmul_primitive_desc_create(made, lib.engine, left.get(), right.get(), bias_layout,
                                                   target.get(), attributes);
    };
  };
  auto as_they_lie = [&](Type type) {
    Layout right = plan_.is_constant(weights) ? any(plan_.dims(weights), weights_type(type))
                                             : plan_.layout_in(weights, type);
    return with(plan_.layout_in(source, type), right);
  };
  auto as_matrices = [&](Type type) {
    Layout right = plan_.is_constant(weights) ? any(plan_.dims(weights), weights_type(type))
                                             : plain(plan_.dims(weights), type);
    return with(plain(plan_.dims(source), type), right);
  };
  auto plain_result = [&](Type type) { return plain(result.dims, type); };
  auto choose = [&](Type type) {
    return fusing.choose(as_they_lie(type), Accept::WHOLE, plain_result) ||
           fusing.choose(as_matrices(type), Accept::PART, plain_result);
  };
  Type type = product_type(plan_.type(source), type_), last = is_quantized(type) ? type : dnnl_f32;
  if (!fusing.choose_type(type, choose) && !fusing.choose(as_matrices(last), Accept::SLOW, plain_result))
    fail("no matrix product like this");
  std::vector<std::pair<int, Tensor>> arguments = {
      {DNNL_ARG_SRC, plan_.convert(source, fusing.description().layout(dnnl_query_src_md))},
      {DNNL_ARG_WEIGHTS, plan_.convert(weights, fusing.description().layout(dnnl_query_weights_md))}};
  if (bias.number >= 0) arguments.push_back({DNNL_ARG_BIAS, bias});
  return fusing.finish(arguments);
}

Tensor Network::pool(dnnl_alg_kind_t algorithm, Tensor source, Dims kernel, const Window &window,
                     const Result &result) {
  const OneDnn &lib = onednn();
  Dims dilates = gaps(window.dilation);
  source = plan_.without_gaps(source);
  /* oneDNN pools integers with channels last alone. */
  Type type = plan_.type(source);
  if (is_quantized(type)) source = plan_.convert(source, channels_last(plan_.dims(source), type));
  Fusing fusing(*this, plan_, "pooling", result);
  auto ask = [&](Made made, const Layout &target, Attribute attributes) {
    return lib.dnnl_pooling_forward_primitive_desc_create(
        made, lib.engine, dnnl_forward_inference, algorithm, plan_[source].layout.get(), target.get(),
        window.strides.data(), kernel.data(), dilates.data(), window.before.data(), window.after.data(),
        attributes);
  };
  fusing.settle(ask, [&] { source = plan_.in_type(source, dnnl_f32); });
  return fusing.finish({{DNNL_ARG_SRC, source}});
}

Tensor Network::softmax(Tensor source, int32_t axis, const Result &result) {
  const OneDnn &lib = onednn();
  source = plan_.to_plain(source);
  Fusing fusing(*this, plan_, "softmax", result);
  auto ask = [&](Made made, const Layout &target, Attribute attributes) {
    return lib.dnnl_softmax_forward_primitive_desc_create(made, lib.engine, dnnl_forward_inference,
                                                          dnnl_softmax_accurate, plan_[source].layout.get(),
                                                          target.get(), axis, attributes);
  };
  auto plain_result = [&](Type type) { return plain(result.dims, type); };
  fusing.settle(ask, [&] { source = plan_.in_type(source, dnnl_f32); }, plain_result);
  return fusing.finish({{DNNL_ARG_SRC, source}});
}

Tensor Network::layer_norm(Tensor source, Tensor scale, Tensor shift, float epsilon, const Result &result) {
  const OneDnn &lib = onednn();
  source = plan_.to_plain(source);
  Fusing fusing(*this, plan_, "layer normalization", result);
  auto ask = [&](Made made, const Layout &target, Attribute attributes) {
    return lib.dnnl_layer_normalization_forward_primitive_desc_create(
        made, lib.engine, dnnl_forward_inference, plan_[source].layout.get(), target.get(), nullptr, epsilon,
        dnnl_use_scale | dnnl_use_shift, attributes);
  };
  auto plain_result = [&](Type type) { return plain(result.dims, type); };
  fusing.settle(ask, [&] { source = plan_.in_type(source, dnnl_f32); }, plain_result);
  return fusing.finish({{DNNL_ARG_SRC, source}, {DNNL_ARG_SCALE, scale}, {DNNL_ARG_SHIFT, shift}});
}

Tensor Network::resample(dnnl_alg_kind_t algorithm, Tensor source, const Result &result) {
  const OneDnn &lib = onednn();
  source = plan_.without_gaps(source);
  Fusing fusing(*this, plan_, "resampling", result);
  auto ask = [&](Made made, const Layout &target, Attribute attributes) {
    return lib.dnnl_resampling_forward_primitive_desc_create(made, lib.engine, dnnl_forward_inference, algorithm,
                                                             nullptr, plan_[source].layout.get(), target.get(),
                                                             attributes);
  };
  fusing.settle(ask, [&] { source = plan_.in_type(source, dnnl_f32); });
  return fusing.finish({{DNNL_ARG_SRC, source}});
}

Tensor Network::apply(dnnl_alg_kind_t algorithm, Tensor source, Tensor other, const Result &result,
                      Tensor source_scale, Tensor other_scale) {
  const OneDnn &lib = onednn();
  source = plan_.without_gaps(source);
  Dims dims = plan_.dims(source), other_dims = plan_.dims(other);
  Type type = plan_.type(source), other_type = plan_.type(other);
  if (other_dims != dims) {
    other = plan_.convert(other, blocked_like(plan_[source].layout, other_dims, other_type));
  } else {
    if (plan_.is_plain(source) && !plan_[other].is_view)
      source = plan_.convert(source, retyped(plan_[other].layout, type));
    other = plan_.convert(other, retyped(plan_[source].layout, other_type));
  }
  Fusing fusing(*this, plan_, "binary", result);
  fusing.scale(DNNL_ARG_SRC_0, source_scale, 0);
  fusing.scale(DNNL_ARG_SRC_1, other_scale, 0);
  auto ask = [&](Made made, const Layout &target, Attribute attributes) {
    return lib.dnnl_binary_primitive_desc_create(made, lib.engine, algorithm, plan_[source].layout.get(),
                                                 plan_[other].layout.get(), target.get(), attributes);
  };
  auto in_float32 = [&] {
    source = plan_.in_type(source, dnnl_f32);
    other = plan_.in_type(other, dnnl_f32);
  };
  fusing.settle(ask, in_float32, [&](Type type) { return retyped(plan_[source].layout, type); });
  return fusing.finish({{DNNL_ARG_SRC_0, source}, {DNNL_ARG_SRC_1, other}});
}

Tensor Network::apply(Tensor source, const Result &result) {
  const OneDnn &lib = onednn();
  source = plan_.without_gaps(source);
  const PostOp first = result.post_ops[0];
  Result rest = {result.dims, result.type, PostOps(result.post_ops.begin() + 1, result.post_ops.end())};
  Fusing fusing(*this, plan_, "eltwise", rest);
  auto ask = [&](Made made, const Layout &target, Attribute attributes) {
    return lib.dnnl_eltwise_forward_primitive_desc_create(made, lib.engine, dnnl_forward_inference, first.algorithm,
                                                          plan_[source].layout.get(), target.get(), first.alpha,
                                                          first.beta, attributes);
  };
  auto in_float32 = [&] { source = plan_.in_type(source, dnnl_f32); };
  fusing.settle(ask, in_float32, [&](Type type) { return retyped(plan_[source].layout, type); });
  return fusing.finish({{DNNL_ARG_SRC, source}});
}

Tensor Network::quantize(Tensor source, Tensor scale, Tensor zero_point, Type type) {
  Fusing fusing(*this, plan_, "quantization", {plan_.dims(source), type, {}});
  fusing.scale(DNNL_ARG_DST, scale, 0);
  fusing.shift(DNNL_ARG_DST, zero_point);
  return fusing.copy(source);
}

Tensor Network::dequantize(Tensor source, Tensor scale, Tensor zero_point, Type type) {
  Fusing fusing(*this, plan_, "dequantization", {plan_.dims(source), type, {}});
  fusing.scale(DNNL_ARG_SRC, scale, 0);
  fusing.shift(DNNL_ARG_SRC, zero_point);
  return fusing.copy(source);
}

}  // namespace paddle_tvm
