"""Tensors that are filled with one number, or counted up."""

from __future__ import annotations

from tvm import relax

from paddle_tvm.targets.onnx_export.context import ExportContext, number
from paddle_tvm.targets.onnx_export.registry import register


def _refuse_range(call: relax.Call) -> str | None:
    bounds = [number(bound) for bound in call.args]
    if None in bounds:
        return "its bounds are not known"
    # TVM 0.27 has another idea of how many numbers there are downwards.
    return "it counts downwards" if (bounds[2] or 0) <= 0 else None


@register("arange", operands=3, refuse=_refuse_range)
def _arange(ctx: ExportContext) -> str:
    dtype = str(ctx.result.dtype)
    start, end, step = (ctx.scalar(number(bound) or 0, dtype) for bound in ctx.call.args)
    return ctx.add("Range", start, end, step)


@register("full", operands=2)
def _full(ctx: ExportContext) -> str:
    return ctx.add("Expand", ctx.input(1), ctx.graph.shape(list(ctx.result.shape)))


@register("full_like", operands=2)
def _full_like(ctx: ExportContext) -> str:
    return ctx.add("Expand", ctx.input(1), ctx.add("Shape", ctx.input(0)))


@register("zeros_like", "ones_like")
def _like(ctx: ExportContext) -> str:
    value = int(str(ctx.call.op.name) == "relax.ones_like")
    return ctx.add("Expand", ctx.scalar(value, str(ctx.result.dtype)), ctx.add("Shape", ctx.input(0)))
