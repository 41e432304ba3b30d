"""Tensors that are filled with one number."""

from __future__ import annotations

from paddle_tvm.targets.onnx_export.context import ExportContext
from paddle_tvm.targets.onnx_export.registry import register


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
