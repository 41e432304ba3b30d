/*
 * Primitives with the operations that follow them.
 */
#ifndef PADDLE_TVM_ONEDNN_FUSING_H
#define PADDLE_TVM_ONEDNN_FUSING_H

#include <functional>

#include "network.h"
#include "plan.h"

namespace paddle_tvm {

/* What a primitive may be like: one that takes all operations, one that takes some, or one that takes none and
   is there for completeness, slower than any other. */
enum class Accept { WHOLE, PART, SLOW };

/* The layout that a result of a type should have. */
using Place = std::function<Layout(Type)>;

/* Asks for a primitive with as many of the operations after it as it can take, and does the others after it. */
class Fusing {
 public:
  Fusing(Network &network, Plan &plan, std::string name, Result result)
      : network_(network), plan_(plan), name_(std::move(name)), result_(std::move(result)), type_(result_.type) {
    sum_over_same_type();
  }

  /* Has float32 written in place of the type that was asked for. */
  void write_float32() {
    type_ = dnnl_f32;
    sum_over_same_type();
  }

  /* Has the integers of an argument multiplied by float32 numbers, one or as many as `mask` says of its dimensions;
     has one number taken from them before. Without a tensor nothing is done. */
  void scale(int argument, Tensor scales, int mask) {
    if (scales.number < 0) return;
    scalings_.push_back({argument, product(plan_.dims(scales)) == 1 ? 0 : mask, scales});
  }
  void shift(int argument, Tensor zero_point) {
    if (zero_point.number >= 0) shifts_.push_back({argument, 0, zero_point});
  }

  /* Has sums written over tensors that lie there. */
  void prefer(const Place &place) {
    for (PostOp &post_op : result_.post_ops)
      if (post_op.kind == PostOp::SUM) post_op.other = plan_.convert(post_op.other, place(type_));
  }

  /* `ask` makes a description of the result's layout and attributes. */
  template <class Ask>
  bool choose(const Ask &ask, Accept accept, const Place &place = nullptr) {
    size_t most = result_.post_ops.size();
    for (size_t count = accept == Accept::SLOW ? 0 : most;; --count) {
      /* Integers are rounded last. */
      Type type = is_quantized(type_) && count < most ? dnnl_f32 : type_;
      Layout layout = place ? place(type) : any(result_.dims, type);
      for (size_t i = 0; i < count; ++i)
        if (result_.post_ops[i].kind == PostOp::SUM) layout = plan_[result_.post_ops[i].other].layout;
      Description found = asked_with(count, layout, ask);
      if (found.handle && (!found.is_reference() || accept == Accept::SLOW)) {
        description_ = std::move(found);
        fused_ = count;
        return true;
      }
      if (accept != Accept::PART || count == 0) return false;
    }
  }

  /* The best that there is for products of a type; of float32 where there is none. */
  template <class ChooseOf>
  bool choose_type(Type type, const ChooseOf &choose_of) {
    if (choose_of(type)) return true;
    if (type == dnnl_f32 || is_quantized(type)) return false;
    write_float32();
    return choose_of(dnnl_f32);
  }

  /* The best there is for sources as they are, or for those that `in_float32` makes of them. */
  template <class Ask, class InFloat32>
  void settle(const Ask &ask, const InFloat32 &in_float32, const Place &place = nullptr) {
    if (choose(ask, Accept::PART, place)) return;
    in_float32();
    write_float32();
    if (choose(ask, Accept::PART, place) || choose(ask, Accept::SLOW, place)) return;
    fail("no " + name_ + " like this");
  }

  /* A copy of a tensor whose elements are given another type, and lie in the same order. */
  Tensor copy(Tensor source) {
    const OneDnn &lib = onednn();
    source = plan_.without_gaps(source);
    auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, const_dnnl_primitive_attr_t attributes) {
      return lib.dnnl_reorder_primitive_desc_create(made, plan_[source].layout.get(), lib.engine, target.get(),
                                                    lib.engine, attributes);
    };
    Place place = [&](Type type) { return retyped(plan_[source].layout, type); };
    if (!choose(ask, Accept::PART, place) && !choose(ask, Accept::SLOW, place)) fail("no " + name_ + " like this");
    return finish({{DNNL_ARG_FROM, source}});
  }

  const Description &description() const { return description_; }

  Tensor finish(std::vector<std::pair<int, Tensor>> arguments) {
    Tensor result;
    for (size_t i = 0; i < fused_; ++i) {
      const PostOp &post_op = result_.post_ops[i];
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
    for (const Scaling &scaling : scalings_)
      arguments.push_back({DNNL_ARG_ATTR_SCALES | scaling.argument, scaling.values});
    for (const Scaling &shift : shifts_)
      arguments.push_back({DNNL_ARG_ATTR_ZERO_POINTS | shift.argument, shift.values});
    if (result.number < 0) result = plan_.add_result(description_.layout(dnnl_query_dst_md));
    arguments.push_back({DNNL_ARG_DST, result});
    plan_.act(name_, description_, arguments);
    if (fused_ == result_.post_ops.size()) {
      /* Where no primitive writes integers itself. */
      if (!is_quantized(result_.type)) return result;
      return plan_.convert(result, plan_.layout_in(result, result_.type));
    }
    const PostOp &next = result_.post_ops[fused_];
    Result rest = {result_.dims, result_.type, PostOps(result_.post_ops.begin() + fused_, result_.post_ops.end())};
    if (next.kind == PostOp::ELTWISE) return network_.apply(result, rest);
    rest.post_ops.erase(rest.post_ops.begin());
    return network_.apply(next.algorithm, result, next.other, rest);
  }

 private:
  /* What is written over has the type of what is written. */
  void sum_over_same_type() {
    for (PostOp &post_op : result_.post_ops)
      if (post_op.kind == PostOp::SUM && plan_.type(post_op.other) != type_) post_op.kind = PostOp::BINARY;
  }

  template <class Ask>
  Description asked_with(size_t count, const Layout &layout, const Ask &ask) {
    const OneDnn &lib = onednn();
    dnnl_post_ops_t chain;
    Attributes attributes;
    Description found;
    check(lib.dnnl_post_ops_create(&chain), "post-ops");
    bool possible = true;
    for (size_t i = 0; i < count && possible; ++i) possible = append(chain, result_.post_ops[i]);
    for (const Scaling &scaling : scalings_)
      possible &= lib.dnnl_primitive_attr_set_scales_mask(attributes.handle, scaling.argument, scaling.mask) == dnnl_success;
    for (const Scaling &shift : shifts_)
      possible &= lib.dnnl_primitive_attr_set_zero_points_mask(attributes.handle, shift.argument, 0) == dnnl_success;
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
    Dims dims = plan_.dims(post_op.other);
    Type type = plan_.type(post_op.other);
    if (dims.size() != result_.dims.size()) return false;
    /* What is as large as the result should lie as it does. */
    Layout layout = dims == result_.dims ? any(dims, type) : plain(dims, type);
    return lib.dnnl_post_ops_append_binary(chain, post_op.algorithm, layout.get()) == dnnl_success;
  }

  struct Scaling {
    int argument, mask;
    Tensor values;
  };

  Network &network_;
  Plan &plan_;
  std::vector<Scaling> scalings_, shifts_;
  std::string name_;
  Result result_;
  Type type_;
  Description description_;
  size_t fused_ = 0;
};

}  // namespace paddle_tvm

#endif
