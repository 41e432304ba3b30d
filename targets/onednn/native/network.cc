/*
 * Makes oneDNN primitives of the steps of a subgraph.
 */
#include "network.h"

#include "plan.h"

namespace paddle_tvm {
namespace {

/* Asks for a primitive with as many of the operations after it as it can take, and does the others after it. */
class Fusing {
 public:
  Fusing(Network &network, Plan &plan, std::string name, Dims result, const PostOps &post_ops)
      : network_(network), plan_(plan), name_(std::move(name)), result_(std::move(result)), post_ops_(post_ops) {}

  /* `ask` makes a description of attributes and the result's layout; whether it may be one that is slow. */
  template <class Ask>
  bool choose(const Ask &ask, bool take_reference, const Layout &preferred = nullptr) {
    size_t least = take_reference ? 0 : post_ops_.size();
    for (size_t count = post_ops_.size() + 1; count-- > least;) {
      Layout layout = preferred ? preferred : any(result_);
      for (size_t i = 0; i < count; ++i)
        if (post_ops_[i].kind == PostOp::SUM) layout = plan_[post_ops_[i].other].layout;
      Description found = asked_with(count, layout, ask);
      if (found.handle && (!found.is_reference() || (take_reference && count == 0))) {
        description_ = std::move(found);
        fused_ = count;
        return true;
      }
    }
    return false;
  }

  /* Has sums written over tensors of a layout. */
  void prefer(const Layout &layout) {
    for (PostOp &post_op : post_ops_)
      if (post_op.kind == PostOp::SUM) post_op.other = plan_.convert(post_op.other, layout);
  }

  const Description &description() const { return description_; }

  Tensor finish(std::vector<std::pair<int, Tensor>> arguments) {
    Tensor result;
    for (size_t i = 0; i < fused_; ++i) {
      const PostOp &post_op = post_ops_[i];
      if (post_op.kind == PostOp::SUM)
        result = plan_.add(description_.layout(dnnl_query_dst_md), plan_[post_op.other].storage);
      if (post_op.kind == PostOp::BINARY) {
        int index = DNNL_ARG_ATTR_MULTIPLE_POST_OP(int(i)) | DNNL_ARG_SRC_1;
        Layout layout = description_.layout(dnnl_query_exec_arg_md, index);
        arguments.push_back({index, plan_.convert(post_op.other, layout)});
      }
      constexpr const char *kinds[] = {"+eltwise", "+binary", "+sum"};
      name_ += kinds[post_op.kind];
    }
    if (result.number < 0) result = plan_.add_result(description_.layout(dnnl_query_dst_md));
    arguments.push_back({DNNL_ARG_DST, result});
    plan_.act(name_, description_, arguments);
    for (size_t i = fused_; i < post_ops_.size(); ++i) {
      const PostOp &post_op = post_ops_[i];
      if (post_op.kind == PostOp::ELTWISE) {
        result = network_.apply(result, {post_op});
      } else {
        PostOps rest(post_ops_.begin() + i + 1, post_ops_.end());
        return network_.apply(post_op.algorithm, result, post_op.other, rest);
      }
    }
    return result;
  }

 private:
  template <class Ask>
  Description asked_with(size_t count, const Layout &layout, const Ask &ask) {
    const OneDnn &lib = onednn();
    dnnl_post_ops_t chain;
    Attributes attributes;
    Description found;
    check(lib.dnnl_post_ops_create(&chain), "post-ops");
    bool possible = true;
    for (size_t i = 0; i < count && possible; ++i) possible = append(chain, post_ops_[i]);
    if (possible) {
      lib.dnnl_primitive_attr_set_post_ops(attributes.handle, chain);
      if (ask(&found.handle, layout, attributes.handle) != dnnl_success) found.handle = nullptr;
    }
    lib.dnnl_post_ops_destroy(chain);
    return found;
  }

  bool append(dnnl_post_ops_t chain, const PostOp &post_op) {
    const OneDnn &lib = onednn();
    if (post_op.kind == PostOp::ELTWISE)
      return lib.dnnl_post_ops_append_eltwise(chain, post_op.algorithm, post_op.alpha, post_op.beta) == dnnl_success;
    if (post_op.kind == PostOp::SUM)
      return lib.dnnl_post_ops_append_sum(chain, 1.0f, 0, dnnl_data_type_undef) == dnnl_success;
    Dims dims = dims_of(plan_[post_op.other].layout);
    if (dims.size() != result_.size()) return false;
    /* What is as large as the result should lie as it does. */
    Layout layout = dims == result_ ? any(dims) : plain(dims);
    return lib.dnnl_post_ops_append_binary(chain, post_op.algorithm, layout.get()) == dnnl_success;
  }

  Network &network_;
  Plan &plan_;
  std::string name_;
  Dims result_;
  PostOps post_ops_;
  Description description_;
  size_t fused_ = 0;
};

/* oneDNN counts what lies between the taps of a window. */
Dims gaps(const Dims &dilation) {
  Dims result(dilation);
  for (int64_t &dim : result) --dim;
  return result;
}

}  // namespace

Tensor Network::input(int32_t number, Dims dims) {
  return plan_.add(plain(dims), plan_.add_storage(Storage::INPUT, number));
}

Tensor Network::constant(int32_t number, uint64_t content, Dims dims) {
  int32_t storage = plan_.add_storage(Storage::CONSTANT, number);
  plan_.storages[storage].content = content;
  plan_.storages[storage].data = plan_.constant_data(number);
  return plan_.add(plain(dims), storage);
}

void Network::output(int32_t number, Tensor source) {
  Tensor result = plan_.to_plain(source, "reorder of a result");
  Storage &storage = plan_.storages[plan_[result].storage];
  if (storage.kind != Storage::INTERMEDIATE || storage.bytes != bytes_of(plan_[result].layout)) {
    /* An input, another output, or a part of something: oneDNN copies it. */
    int32_t target = plan_.add_storage(Storage::OUTPUT, number);
    Layout layout = plan_[result].layout;
    plan_.act("copy", reorder(layout, layout), {{DNNL_ARG_FROM, result}, {DNNL_ARG_TO, plan_.add(layout, target)}});
    return;
  }
  storage.kind = Storage::OUTPUT;
  storage.number = number;
}

Tensor Network::convolution(Tensor source, Tensor weights, Tensor bias, int64_t groups, const Window &window,
                            Dims result, const PostOps &post_ops) {
  const OneDnn &lib = onednn();
  Dims weight_dims = dims_of(plan_[weights].layout);
  if (groups > 1) {
    weight_dims[0] /= groups;
    weight_dims.insert(weight_dims.begin(), groups);
    weights = reshape(weights, weight_dims);
  }
  Dims dilates = gaps(window.dilation);
  const_dnnl_memory_desc_t bias_layout = bias.number < 0 ? nullptr : plan_[bias].layout.get();
  Layout any_weights = any(weight_dims);
  Fusing fusing(*this, plan_, groups > 1 ? "group convolution" : "convolution", result, post_ops);
  auto with_source = [&](Layout layout) {
    return [&, layout](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
      return lib.dnnl_convolution_forward_primitive_desc_create(
          made, lib.engine, dnnl_forward_inference, dnnl_convolution_auto, layout.get(), any_weights.get(),
          bias_layout, target.get(), window.strides.data(), dilates.data(), window.before.data(),
          window.after.data(), attributes);
    };
  };
  /* oneDNN says "gemm" of those that first make a matrix of the source. */
  auto is_fast = [&] { return fusing.description().implementation().compare(0, 4, "gemm") != 0; };
  Dims source_dims = dims_of(plan_[source].layout);
  auto as_it_lies = with_source(plan_[source].layout), free = with_source(any(source_dims));
  bool chosen = false;
  if (plan_.purpose == Plan::SURVEY) {
    chosen = fusing.choose(free, true);
    double taps = double(product(weight_dims)) / weight_dims[groups > 1 ? 1 : 0] / (groups > 1 ? groups : 1);
    if (chosen) plan_.vote(fusing.description().layout(dnnl_query_src_md), taps * product(result));
  }
  if (!chosen && plan_.channels_last) {
    fusing.prefer(channels_last(result));
    auto like_the_others = with_source(channels_last(source_dims));
    chosen = fusing.choose(like_the_others, false, channels_last(result)) && is_fast();
  }
  if (!chosen && !plan_[source].is_view && !plan_.is_plain(source))
    chosen = fusing.choose(as_it_lies, false) && is_fast();
  if (!chosen && !fusing.choose(free, false) && !fusing.choose(free, true)) fail("no convolution like this");
  std::vector<std::pair<int, Tensor>> arguments = {
      {DNNL_ARG_SRC, plan_.convert(source, fusing.description().layout(dnnl_query_src_md))},
      {DNNL_ARG_WEIGHTS, plan_.convert(weights, fusing.description().layout(dnnl_query_weights_md))}};
  if (bias.number >= 0) arguments.push_back({DNNL_ARG_BIAS, bias});
  return fusing.finish(arguments);
}

Tensor Network::deconvolution(Tensor source, Tensor weights, Tensor bias, int64_t groups, const Window &window,
                              Dims result, const PostOps &post_ops) {
  const OneDnn &lib = onednn();
  /* [groups * inputs, outputs, kernel] becomes groups, outputs, inputs, kernel. */
  Dims weight_dims = dims_of(plan_[weights].layout);
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
  Dims dilates = gaps(window.dilation);
  const_dnnl_memory_desc_t bias_layout = bias.number < 0 ? nullptr : plan_[bias].layout.get();
  Layout any_weights = any(weight_dims), any_source = any(dims_of(plan_[source].layout));
  Fusing fusing(*this, plan_, "deconvolution", result, post_ops);
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
    return lib.dnnl_deconvolution_forward_primitive_desc_create(
        made, lib.engine, dnnl_forward_inference, dnnl_deconvolution_direct, any_source.get(), any_weights.get(),
        bias_layout, target.get(), window.strides.data(), dilates.data(), window.before.data(),
        window.after.data(), attributes);
  };
  if (!fusing.choose(ask, false) && !fusing.choose(ask, true)) fail("no transposed convolution like this");
  std::vector<std::pair<int, Tensor>> arguments = {
      {DNNL_ARG_SRC, plan_.convert(source, fusing.description().layout(dnnl_query_src_md))},
      {DNNL_ARG_WEIGHTS, plan_.convert(weights, fusing.description().layout(dnnl_query_weights_md))}};
  if (bias.number >= 0) arguments.push_back({DNNL_ARG_BIAS, bias});
  return fusing.finish(arguments);
}

Tensor Network::matmul(Tensor source, Tensor weights, Tensor bias, Dims result, const PostOps &post_ops) {
  const OneDnn &lib = onednn();
  bool constant = plan_.storages[plan_[weights].storage].kind == Storage::CONSTANT;
  Layout plain_result = plain(result);
  const_dnnl_memory_desc_t bias_layout = bias.number < 0 ? nullptr : plan_[bias].layout.get();
  Fusing fusing(*this, plan_, "matmul", result, post_ops);
  auto with = [&](Layout left, Layout right) {
    return [&, left, right](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
      return lib.dnnl_matmul_primitive_desc_create(made, lib.engine, left.get(), right.get(), bias_layout,
                                                   target.get(), attributes);
    };
  };
  auto right_layout = [&] {
    return constant ? any(dims_of(plan_[weights].layout)) : plan_[weights].layout;
  };
  auto as_they_lie = with(plan_[source].layout, right_layout());
  if (!fusing.choose(as_they_lie, false, plain_result)) {
    source = plan_.to_plain(source);
    if (!constant) weights = plan_.to_plain(weights);
    auto as_matrices = with(plan_[source].layout, right_layout());
    if (!fusing.choose(as_matrices, false, plain_result) && !fusing.choose(as_matrices, true, plain_result))
      fail("no matrix product like this");
  }
  std::vector<std::pair<int, Tensor>> arguments = {
      {DNNL_ARG_SRC, source},
      {DNNL_ARG_WEIGHTS, plan_.convert(weights, fusing.description().layout(dnnl_query_weights_md))}};
  if (bias.number >= 0) arguments.push_back({DNNL_ARG_BIAS, bias});
  return fusing.finish(arguments);
}

Tensor Network::pool(dnnl_alg_kind_t algorithm, Tensor source, Dims kernel, const Window &window, Dims result,
                     const PostOps &post_ops) {
  const OneDnn &lib = onednn();
  Dims dilates = gaps(window.dilation);
  if (plan_[source].is_view) source = plan_.to_plain(source);
  Fusing fusing(*this, plan_, "pooling", result, post_ops);
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
    return lib.dnnl_pooling_forward_primitive_desc_create(
        made, lib.engine, dnnl_forward_inference, algorithm, plan_[source].layout.get(), target.get(),
        window.strides.data(), kernel.data(), dilates.data(), window.before.data(), window.after.data(),
        attributes);
  };
  if (!fusing.choose(ask, false) && !fusing.choose(ask, true)) fail("no pooling like this");
  return fusing.finish({{DNNL_ARG_SRC, source}});
}

Tensor Network::softmax(Tensor source, int32_t axis) {
  const OneDnn &lib = onednn();
  source = plan_.to_plain(source);
  Dims dims = dims_of(plan_[source].layout);
  PostOps none;
  Fusing fusing(*this, plan_, "softmax", dims, none);
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
    return lib.dnnl_softmax_forward_primitive_desc_create(made, lib.engine, dnnl_forward_inference,
                                                          dnnl_softmax_accurate, plan_[source].layout.get(),
                                                          target.get(), axis, attributes);
  };
  if (!fusing.choose(ask, true, plan_[source].layout)) fail("no softmax like this");
  return fusing.finish({{DNNL_ARG_SRC, source}});
}

Tensor Network::layer_norm(Tensor source, Tensor scale, Tensor shift, float epsilon) {
  const OneDnn &lib = onednn();
  source = plan_.to_plain(source);
  PostOps none;
  Fusing fusing(*this, plan_, "layer normalization", dims_of(plan_[source].layout), none);
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
    return lib.dnnl_layer_normalization_forward_primitive_desc_create(
        made, lib.engine, dnnl_forward_inference, plan_[source].layout.get(), target.get(), nullptr, epsilon,
        dnnl_use_scale | dnnl_use_shift, attributes);
  };
  if (!fusing.choose(ask, true, plan_[source].layout)) fail("no layer normalization like this");
  return fusing.finish({{DNNL_ARG_SRC, source}, {DNNL_ARG_SCALE, scale}, {DNNL_ARG_SHIFT, shift}});
}

Tensor Network::resample(dnnl_alg_kind_t algorithm, Tensor source, Dims result, const PostOps &post_ops) {
  const OneDnn &lib = onednn();
  if (plan_[source].is_view) source = plan_.to_plain(source);
  Fusing fusing(*this, plan_, "resampling", result, post_ops);
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
    return lib.dnnl_resampling_forward_primitive_desc_create(made, lib.engine, dnnl_forward_inference, algorithm,
                                                             nullptr, plan_[source].layout.get(), target.get(),
                                                             attributes);
  };
  if (!fusing.choose(ask, false) && !fusing.choose(ask, true)) fail("no resampling like this");
  return fusing.finish({{DNNL_ARG_SRC, source}});
}

Tensor Network::apply(dnnl_alg_kind_t algorithm, Tensor source, Tensor other, const PostOps &post_ops) {
  const OneDnn &lib = onednn();
  if (plan_[source].is_view) source = plan_.to_plain(source);
  Dims dims = dims_of(plan_[source].layout);
  if (dims_of(plan_[other].layout) != dims) {
    other = plan_.convert(other, blocked_like(plan_[source].layout, dims_of(plan_[other].layout)));
  } else {
    if (plan_.is_plain(source) && !plan_[other].is_view) source = plan_.convert(source, plan_[other].layout);
    other = plan_.convert(other, plan_[source].layout);
  }
  Fusing fusing(*this, plan_, "binary", dims, post_ops);
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
    return lib.dnnl_binary_primitive_desc_create(made, lib.engine, algorithm, plan_[source].layout.get(),
                                                 plan_[other].layout.get(), target.get(), attributes);
  };
  Layout layout = plan_[source].layout;
  if (!fusing.choose(ask, false, layout) && !fusing.choose(ask, true, layout)) fail("no arithmetic like this");
  return fusing.finish({{DNNL_ARG_SRC_0, source}, {DNNL_ARG_SRC_1, other}});
}

Tensor Network::apply(Tensor source, const PostOps &post_ops) {
  const OneDnn &lib = onednn();
  if (plan_[source].is_view) source = plan_.to_plain(source);
  const PostOp first = post_ops[0];
  PostOps rest(post_ops.begin() + 1, post_ops.end());
  Fusing fusing(*this, plan_, "eltwise", dims_of(plan_[source].layout), rest);
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
    return lib.dnnl_eltwise_forward_primitive_desc_create(made, lib.engine, dnnl_forward_inference, first.algorithm,
                                                          plan_[source].layout.get(), target.get(), first.alpha,
                                                          first.beta, attributes);
  };
  Layout layout = plan_[source].layout;
  if (!fusing.choose(ask, false, layout) && !fusing.choose(ask, true, layout)) fail("no activation like this");
  return fusing.finish({{DNNL_ARG_SRC, source}});
}

Tensor Network::concat(const std::vector<Tensor> &sources, int32_t axis) {
  const OneDnn &lib = onednn();
  /* The first that is not plain says how all should lie: converting plain ones is what is needed anyway. */
  std::vector<Tensor> blocked, flat;
  bool all_plain = true;
  for (Tensor source : sources) all_plain = all_plain && plan_.is_plain(source);
  Description description;
  Attributes attributes;
  std::vector<Tensor> taken;
  std::vector<const_dnnl_memory_desc_t> layouts;
  for (bool as_they_lie : {true, false}) {
    if (as_they_lie && all_plain) continue;
    taken.clear();
    layouts.clear();
    for (Tensor source : sources) {
      bool keeps = as_they_lie && !plan_[source].is_view;
      taken.push_back(keeps ? source : plan_.to_plain(source));
    }
    for (Tensor source : taken) layouts.push_back(plan_[source].layout.get());
    dnnl_status_t status = lib.dnnl_concat_primitive_desc_create(
        &description.handle, lib.engine, nullptr, int(taken.size()), axis, layouts.data(), attributes.handle);
    if (status == dnnl_success && (!as_they_lie || !description.is_reference())) break;
    description = Description();
  }
  if (description.handle == nullptr) fail("no concatenation like this");
  std::vector<std::pair<int, Tensor>> arguments;
  for (size_t i = 0; i < taken.size(); ++i) arguments.push_back({DNNL_ARG_MULTIPLE_SRC + int(i), taken[i]});
  Tensor result = plan_.add_result(description.layout(dnnl_query_dst_md));
  arguments.push_back({DNNL_ARG_DST, result});
  plan_.act("concat", description, arguments);
  return result;
}

Tensor Network::shuffle(Tensor source, int32_t axis, int64_t groups) {
  const OneDnn &lib = onednn();
  if (plan_[source].is_view) source = plan_.to_plain(source);
  PostOps none;
  Fusing fusing(*this, plan_, "shuffle", dims_of(plan_[source].layout), none);
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, dnnl_primitive_attr_t attributes) {
    return lib.dnnl_shuffle_forward_primitive_desc_create(made, lib.engine, dnnl_forward_inference,
                                                          plan_[source].layout.get(), target.get(), axis,
                                                          dims_of(plan_[source].layout)[axis] / groups, attributes);
  };
  if (!fusing.choose(ask, true, plan_[source].layout)) fail("no shuffle like this");
  return fusing.finish({{DNNL_ARG_SRC, source}});
}

Tensor Network::reshape(Tensor source, Dims dims) {
  const OneDnn &lib = onednn();
  Value value = plan_[source];
  dnnl_memory_desc_t layout;
  if (!value.is_view && lib.dnnl_memory_desc_reshape(&layout, value.layout.get(), int(dims.size()),
                                                     dims.data()) == dnnl_success)
    return plan_.add(owned(layout), value.storage);
  source = plan_.to_plain(source);
  return plan_.add(plain(dims), plan_[source].storage);
}

Tensor Network::transpose(Tensor source, const std::vector<int> &axes) {
  const OneDnn &lib = onednn();
  /* oneDNN's permutation says where each axis goes, ours where it comes from. */
  std::vector<int> to(axes.size());
  for (size_t i = 0; i < axes.size(); ++i) to[axes[i]] = int(i);
  dnnl_memory_desc_t layout;
  if (lib.dnnl_memory_desc_permute_axes(&layout, plan_[source].layout.get(), to.data()) != dnnl_success) {
    source = plan_.to_plain(source);
    check(lib.dnnl_memory_desc_permute_axes(&layout, plan_[source].layout.get(), to.data()), "transpose");
  }
  return plan_.add(owned(layout), plan_[source].storage, true);
}

Tensor Network::slice(Tensor source, Dims begin, Dims dims) {
  const OneDnn &lib = onednn();
  dnnl_memory_desc_t layout;
  auto cut = [&] {
    const_dnnl_memory_desc_t whole = plan_[source].layout.get();
    return lib.dnnl_memory_desc_create_submemory(&layout, whole, dims.data(), begin.data());
  };
  if (cut() != dnnl_success) {
    source = plan_.to_plain(source);
    check(cut(), "slice");
  }
  return plan_.add(owned(layout), plan_[source].storage, true);
}

namespace {

template <class Do>
int guarded(const Do &what) {
  try {
    what();
    return 0;
  } catch (const std::bad_alloc &) {
    TVMFFIErrorSetRaisedFromCStr("MemoryError", "oneDNN: out of memory");
  } catch (const std::exception &error) {
    TVMFFIErrorSetRaisedFromCStr("RuntimeError", error.what());
  }
  return -1;
}

}  // namespace

int Subgraph::load(const TVMFFIAny *constants, int32_t count) {
  return guarded([&] {
    std::lock_guard<std::mutex> lock(mutex_);
    int32_t threads = paddle_tvm_pool->threads();
    onednn();
    for (Plan *plan : *plans_)
      if (plan->threads == threads) return;
    Plan survey(Plan::SURVEY, threads, false, constants, count);
    Network surveyed(survey);
    build_(surveyed);
    auto plan = std::make_unique<Plan>(Plan::RUN, threads, survey.prefers_channels_last(), constants, count);
    Network network(*plan);
    build_(network);
    plan->finish();
    plans_->push_back(plan.release());
  });
}

int Subgraph::run(const TVMFFIAny *arguments, int32_t count) {
  return guarded([&] {
    int32_t threads = paddle_tvm_pool->threads();
    Plan *chosen = nullptr;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      for (Plan *plan : *plans_)
        if (chosen == nullptr || plan->threads == threads) chosen = plan;
    }
    if (chosen == nullptr) fail("the model was not loaded by paddle_tvm.runtime");
    chosen->run(arguments);
  });
}

int Subgraph::describe(TVMFFIAny *result) {
  return guarded([&] {
    std::lock_guard<std::mutex> lock(mutex_);
    std::string text = plans_->empty() ? "[]" : plans_->front()->describe();
    TVMFFIByteArray bytes = {text.data(), text.size()};
    if (TVMFFIStringFromByteArray(&bytes, result) != 0) fail("no memory for a description");
  });
}

}  // namespace paddle_tvm
