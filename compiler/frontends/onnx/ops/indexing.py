"""Gather."""

from __future__ import annotations

import numpy as np
from tvm import relax

from paddle_tvm.compiler.frontends.onnx.context import NodeContext
from paddle_tvm.compiler.frontends.onnx.registry import register
from paddle_tvm.compiler.frontends.paddle.registry import is_constant


@register("Gather")
def _gather(ctx: NodeContext) -> relax.Expr:
    data = ctx.input(0)
    axis = ctx.axis("axis", ctx.ndim(0), 0)
    size = ctx.shape(0)[axis]
    known = ctx.value(1).array
    dtype = ctx.dtype(1)
    if known is not None and is_constant(known) and (isinstance(size, int) or bool(np.all(known >= 0))):
        index = np.where(known < 0, known + size, known) if isinstance(size, int) else known
        if isinstance(size, int) and index.size and (index.min() < 0 or index.max() >= size):
            raise ctx.unsupported(f"an index lies outside of the {size} elements of axis {axis}")
        return relax.op.take(data, relax.const(index.astype(dtype), dtype), axis, mode="clip")
    indices = ctx.input(1)
    if isinstance(size, int):
        extent: relax.Expr = relax.const(np.array(size, dtype=dtype), dtype)
    else:
        extent = ctx.emit(relax.op.shape_to_tensor(relax.ShapeExpr([size])))
        extent = ctx.emit(relax.op.astype(ctx.emit(relax.op.reshape(extent, ())), dtype))
    # Negative indices count from the end.
    wrapped = ctx.emit(relax.op.add(indices, extent))
    negative = ctx.emit(relax.op.less(indices, relax.const(np.array(0, dtype=dtype), dtype)))
    # TVM's default mode reads whatever memory lies at an index outside of the tensor.
    return relax.op.take(data, ctx.emit(relax.op.where(negative, wrapped, indices)), axis, mode="clip")
