/*
 * Layouts: how tensors lie in memory, and what their elements are.
 */
#ifndef PADDLE_TVM_ONEDNN_LAYOUT_H
#define PADDLE_TVM_ONEDNN_LAYOUT_H

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "onednn.h"

namespace paddle_tvm {

/* dnnl_memory_desc_t: sizes, type, and how they lie in memory. */
using Layout = std::shared_ptr<const dnnl_memory_desc>;

inline Layout owned(dnnl_memory_desc_t layout) {
  return Layout(layout, [](const dnnl_memory_desc *p) {
    onednn().dnnl_memory_desc_destroy(const_cast<dnnl_memory_desc_t>(p));
  });
}

inline Layout clone(const_dnnl_memory_desc_t layout) {
  dnnl_memory_desc_t copy;
  check(onednn().dnnl_memory_desc_clone(&copy, layout), "layout");
  return owned(copy);
}

inline int64_t product(const Dims &dims) {
  int64_t size = 1;
  for (int64_t dim : dims) size *= dim;
  return size;
}

inline Layout strided(const Dims &dims, const Dims &strides, Type type) {
  dnnl_memory_desc_t layout;
  check(onednn().dnnl_memory_desc_create_with_strides(&layout, dims.size(), dims.data(), type, strides.data()),
        "layout");
  return owned(layout);
}

inline Layout tagged(const Dims &dims, Type type, dnnl_format_tag_t tag) {
  dnnl_memory_desc_t layout;
  check(onednn().dnnl_memory_desc_create_with_tag(&layout, dims.size(), dims.data(), type, tag), "layout");
  return owned(layout);
}

/* Row-major, without gaps. */
inline Layout plain(const Dims &dims, Type type) {
  Dims strides(dims.size(), 1);
  for (size_t i = dims.size() - 1; i-- > 0;) strides[i] = strides[i + 1] * std::max<int64_t>(dims[i + 1], 1);
  return strided(dims, strides, type);
}

/* Whichever oneDNN likes. */
inline Layout any(const Dims &dims, Type type) { return tagged(dims, type, dnnl_format_tag_any); }

inline Dims dims_of(const Layout &layout) {
  int32_t rank;
  const dnnl_dims_t *dims;
  check(onednn().dnnl_memory_desc_query(layout.get(), dnnl_query_ndims_s32, &rank), "rank");
  check(onednn().dnnl_memory_desc_query(layout.get(), dnnl_query_dims, &dims), "sizes");
  return Dims(*dims, *dims + rank);
}

inline Type type_of(const Layout &layout) {
  Type type;
  check(onednn().dnnl_memory_desc_query(layout.get(), dnnl_query_data_type, &type), "type");
  return type;
}

inline bool is_quantized(Type type) { return type == dnnl_s8 || type == dnnl_u8; }

inline bool same(const Layout &one, const Layout &other) {
  return onednn().dnnl_memory_desc_equal(one.get(), other.get());
}

inline size_t bytes_of(const Layout &layout) { return onednn().dnnl_memory_desc_get_size(layout.get()); }

/* Channels after the spatial dimensions, without blocks. */
inline Layout channels_last(const Dims &dims, Type type) {
  Dims strides(dims.size(), 1);
  strides[1] = 1;
  int64_t step = dims[1];
  for (size_t i = dims.size() - 1; i >= 2; --i) {
    strides[i] = step;
    step *= dims[i];
  }
  strides[0] = step;
  return strided(dims, strides, type);
}

inline bool is_channels_last(const Layout &layout) {
  Dims dims = dims_of(layout);
  return dims.size() > 2 && same(layout, channels_last(dims, type_of(layout)));
}

/* A layout of other sizes and elements in the blocks of `model`. */
inline Layout blocked_like(const Layout &model, const Dims &dims, Type type) {
  const OneDnn &lib = onednn();
  int32_t block_count = 0;
  const dnnl_dims_t *blocks, *block_dims;
  lib.dnnl_memory_desc_query(model.get(), dnnl_query_inner_nblks_s32, &block_count);
  lib.dnnl_memory_desc_query(model.get(), dnnl_query_inner_blks, &blocks);
  lib.dnnl_memory_desc_query(model.get(), dnnl_query_inner_idxs, &block_dims);
  if (block_count != 1 || (*block_dims)[0] != 1 || dims.size() < 3 || dims.size() > 5 || dims[1] == 1)
    return plain(dims, type);
  dnnl_format_tag_t tags[][3] = {{dnnl_aBc16b, dnnl_aBcd16b, dnnl_aBcde16b}, {dnnl_aBc8b, dnnl_aBcd8b, dnnl_aBcde8b}};
  if ((*blocks)[0] != 16 && (*blocks)[0] != 8) return plain(dims, type);
  return tagged(dims, type, tags[(*blocks)[0] == 8][dims.size() - 3]);
}

/* The same order, without gaps, of other elements. */
inline Layout retyped(const Layout &layout, Type type) {
  if (type_of(layout) == type) return layout;
  const OneDnn &lib = onednn();
  int32_t block_count = 0;
  const dnnl_dims_t *strides;
  lib.dnnl_memory_desc_query(layout.get(), dnnl_query_inner_nblks_s32, &block_count);
  Dims dims = dims_of(layout);
  if (block_count) return blocked_like(layout, dims, type);
  lib.dnnl_memory_desc_query(layout.get(), dnnl_query_strides, &strides);
  return strided(dims, Dims(*strides, *strides + dims.size()), type);
}

inline std::string name_of(Type type) {
  switch (type) {
    case dnnl_f32: return "f32";
    case dnnl_bf16: return "bf16";
    case dnnl_s8: return "s8";
    case dnnl_u8: return "u8";
    case dnnl_s32: return "s32";
    default: return "type " + std::to_string(int(type));
  }
}

/* How a layout is written, such as "aBcd16b" or "bf16 acdb": what the elements are unless they are float32, and
   letters of dimensions from the outermost on, large ones in blocks. */
inline std::string name_of(const Layout &layout) {
  const OneDnn &lib = onednn();
  Dims dims = dims_of(layout);
  const dnnl_dims_t *strides, *blocks, *block_dims;
  int32_t block_count;
  dnnl_format_kind_t kind;
  lib.dnnl_memory_desc_query(layout.get(), dnnl_query_format_kind, &kind);
  if (kind != dnnl_blocked) return name_of(type_of(layout)) + " opaque";
  lib.dnnl_memory_desc_query(layout.get(), dnnl_query_strides, &strides);
  lib.dnnl_memory_desc_query(layout.get(), dnnl_query_inner_nblks_s32, &block_count);
  lib.dnnl_memory_desc_query(layout.get(), dnnl_query_inner_blks, &blocks);
  lib.dnnl_memory_desc_query(layout.get(), dnnl_query_inner_idxs, &block_dims);
  std::vector<size_t> order(dims.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return (*strides)[a] > (*strides)[b]; });
  std::string name = type_of(layout) == dnnl_f32 ? "" : name_of(type_of(layout)) + " ";
  for (size_t dim : order) {
    bool blocked = std::find(*block_dims, *block_dims + block_count, int64_t(dim)) != *block_dims + block_count;
    name += char((blocked ? 'A' : 'a') + dim);
  }
  for (int32_t i = 0; i < block_count; ++i) name += std::to_string((*blocks)[i]) + char('a' + (*block_dims)[i]);
  return name;
}

}  // namespace paddle_tvm

#endif
