"""Top-k. TVM's own sorts through a function of its compiler library, which an artifact cannot call."""

from __future__ import annotations

from tvm import relax

from paddle_tvm.compiler.frontends.onnx.context import NodeContext
from paddle_tvm.compiler.frontends.onnx.registry import register
from paddle_tvm.compiler.frontends.paddle.ops.sorting import first_of_order


@register("TopK")
def _topk(ctx: NodeContext) -> list[relax.Expr]:
    # An attribute before operator set 10.
    (count,) = ctx.dims(1) if ctx.has_input(1) else [int(ctx.attr("k"))]
    axis = ctx.axis("axis", ctx.ndim(0), -1)
    return first_of_order(ctx, ctx.input(0), axis, count, bool(ctx.attr("largest", 1)))
