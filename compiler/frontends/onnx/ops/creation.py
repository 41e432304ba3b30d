"""Operators that make a tensor out of a shape."""

from __future__ import annotations

import numpy as np
from tvm import relax, tirx

from paddle_tvm.compiler.frontends.onnx.context import NodeContext
from paddle_tvm.compiler.frontends.onnx.registry import register


@register("ConstantOfShape")
def _constant_of_shape(ctx: NodeContext) -> relax.Expr:
    value = ctx.attr("value", np.zeros(1, dtype="float32"))
    dtype = str(value.dtype)
    return relax.op.full(relax.ShapeExpr(ctx.dims(0)), relax.const(value.reshape(()), dtype), dtype)


@register("Range")
def _range(ctx: NodeContext) -> relax.Expr:
    if ctx.dtype(0) not in ("int32", "int64"):
        raise ctx.unsupported(
            f"its limits are {ctx.dtype(0)} and depend on the input; fix its shape with --shape"
        )
    (start,), (limit,), (step,) = ctx.dims(0), ctx.dims(1), ctx.ints(2)
    if step <= 0:
        raise ctx.unsupported(f"the step {step} over a symbolic range is not supported; use a positive one")
    size = ctx.simplify(limit - start)
    if not isinstance(size, int) and not ctx.analyzer.can_prove(size >= 0):
        limit = ctx.simplify(start + tirx.max(size, tirx.IntImm("int64", 0)))
    return relax.op.arange(start, limit, step, ctx.dtype(0))
