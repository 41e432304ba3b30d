"""Cumulative sums. What TVM's importer makes of them has no CPU kernel: its schedules are for GPUs."""

from __future__ import annotations

from tvm import relax

from paddle_tvm.compiler.frontends.onnx.context import NodeContext
from paddle_tvm.compiler.frontends.onnx.registry import register
from paddle_tvm.compiler.frontends.paddle.ops.scan import running_sum


@register("CumSum")
def _cumsum(ctx: NodeContext) -> relax.Expr:
    ndim = ctx.ndim(0)
    axes = ctx.ints(1)
    if len(axes) != 1 or not -ndim <= axes[0] < ndim:
        raise ctx.unsupported(f"axis {axes} is not one axis of an input of rank {ndim}")
    exclusive, reverse = bool(ctx.attr("exclusive", 0)), bool(ctx.attr("reverse", 0))
    return running_sum(ctx, ctx.input(0), axes[0], exclusive=exclusive, reverse=reverse)
