"""Several tensors into one, and one into several."""

from __future__ import annotations

from tvm import relax

from paddle_tvm.targets.onnx_export.context import ExportContext, size
from paddle_tvm.targets.onnx_export.registry import register


@register("concat")
def _concat(ctx: ExportContext) -> str:
    return ctx.add("Concat", *ctx.inputs(0), axis=int(ctx.attrs.axis))


@register("stack")
def _stack(ctx: ExportContext) -> str:
    axis = int(ctx.attrs.axis) % len(ctx.result.shape)
    parts = [ctx.add("Unsqueeze", part, ctx.ints([axis])) for part in ctx.inputs(0)]
    return ctx.add("Concat", *parts, axis=axis)


def _split_axis(call: relax.Call) -> int:
    return int(call.attrs.axis) % len(call.args[0].ty.shape)


def _refuse_split(call: relax.Call) -> str | None:
    if any(size(part.shape[_split_axis(call)]) is None for part in call.ty.fields):
        return "the sizes of its parts are not known"
    return None


@register("split", refuse=_refuse_split)
def _split(ctx: ExportContext) -> list[str]:
    axis = _split_axis(ctx.call)
    sizes = [size(part.shape[axis]) or 0 for part in ctx.result.fields]
    inputs = [ctx.input(0), ctx.ints(sizes)]
    return ctx.graph.node("Split", inputs, len(sizes), attributes={"axis": axis})
