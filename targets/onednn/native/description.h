/*
 * Descriptions of primitives, and the attributes that they are asked for with.
 */
#ifndef PADDLE_TVM_ONEDNN_DESCRIPTION_H
#define PADDLE_TVM_ONEDNN_DESCRIPTION_H

#include <string>
#include <utility>

#include "layout.h"

namespace paddle_tvm {

/* A dnnl_primitive_attr_t with which primitives are given their scratchpad in each call: those that keep one
   of their own cannot run in several threads at once. */
struct Attributes {
  dnnl_primitive_attr_t handle;
  Attributes() {
    check(onednn().dnnl_primitive_attr_create(&handle), "attributes");
    check(onednn().dnnl_primitive_attr_set_scratchpad_mode(handle, dnnl_scratchpad_mode_user), "attributes");
  }
  ~Attributes() { onednn().dnnl_primitive_attr_destroy(handle); }
  Attributes(const Attributes &) = delete;
  Attributes &operator=(const Attributes &) = delete;
};

/* A dnnl_primitive_desc_t that may be none, where oneDNN has no primitive. */
struct Description {
  dnnl_primitive_desc_t handle = nullptr;
  Description() = default;
  Description(Description &&other) : handle(other.handle) { other.handle = nullptr; }
  Description &operator=(Description &&other) {
    std::swap(handle, other.handle);
    return *this;
  }
  ~Description() {
    if (handle) onednn().dnnl_primitive_desc_destroy(handle);
  }
  Layout layout(dnnl_query_t what, int argument = 0) const {
    return clone(onednn().dnnl_primitive_desc_query_md(handle, what, argument));
  }
  std::string implementation() const {
    const char *name = "";
    onednn().dnnl_primitive_desc_query(handle, dnnl_query_impl_info_str, 0, &name);
    return name;
  }
  /* One that is there for completeness, slower than any other. */
  bool is_reference() const { return implementation().compare(0, 3, "ref") == 0; }
};

}  // namespace paddle_tvm

#endif
