/*
 * What a subgraph reads and gives out, and tensors seen or copied in another order.
 */
#include "fusing.h"

namespace paddle_tvm {

Tensor Network::input(int32_t number, Dims dims, Type type) {
  return plan_.add(plain(dims, type), plan_.add_storage(Storage::INPUT, number));
}

Tensor Network::constant(int32_t number, uint64_t content, Dims dims, Type type) {
  int32_t storage = plan_.add_storage(Storage::CONSTANT, number);
  plan_.storages[storage].content = content;
  plan_.storages[storage].data = plan_.constant_data(number);
  return plan_.add(plain(dims, type), storage);
}

void Network::output(int32_t number, Tensor source, Type type) {
  Tensor result = plan_.convert(source, plain(plan_.dims(source), type), "reorder of a result");
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

Tensor Network::concat(const std::vector<Tensor> &sources, int32_t axis) {
  const OneDnn &lib = onednn();
  bool all_plain = true, same_type = true;
  for (Tensor source : sources) {
    all_plain = all_plain && plan_.is_plain(source);
    same_type = same_type && plan_.type(source) == plan_.type(sources[0]);
  }
  Type type = same_type ? plan_.type(sources[0]) : type_;
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
      taken.push_back(plan_.convert(source, keeps ? plan_.layout_in(source, type) : plain(plan_.dims(source), type)));
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
  source = plan_.without_gaps(source);
  Dims dims = plan_.dims(source);
  Fusing fusing(*this, plan_, "shuffle", {dims, plan_.type(source), {}});
  auto ask = [&](dnnl_primitive_desc_t *made, const Layout &target, const_dnnl_primitive_attr_t attributes) {
    return lib.dnnl_shuffle_forward_primitive_desc_create(made, lib.engine, dnnl_forward_inference,
                                                          plan_[source].layout.get(), target.get(), axis,
                                                          dims[axis] / groups, attributes);
  };
  auto in_float32 = [&] { source = plan_.in_type(source, dnnl_f32); };
  fusing.settle(ask, in_float32, [&](Type type) { return retyped(plan_[source].layout, type); });
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
  return plan_.add(plain(dims, plan_.type(source)), plan_[source].storage);
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

}  // namespace paddle_tvm
