"""Reductions over dimensions."""

from __future__ import annotations

from paddle_tvm.targets.onnx_export.context import ExportContext
from paddle_tvm.targets.onnx_export.registry import register

_SAME = {
    "sum": "ReduceSum",
    "mean": "ReduceMean",
    "max": "ReduceMax",
    "min": "ReduceMin",
    "prod": "ReduceProd",
}


def _axes(ctx: ExportContext) -> list[str]:
    """The axes as an operand; none where all are meant."""
    axes = ctx.attrs.axis
    if axes is None:
        return []
    rank = ctx.rank(0)
    return [ctx.ints([int(axis) % rank for axis in axes])]


@register(*_SAME)
def _reduce(ctx: ExportContext) -> str:
    op_type = _SAME[str(ctx.call.op.name).removeprefix("relax.")]
    return ctx.add(op_type, ctx.input(0), *_axes(ctx), keepdims=int(ctx.attrs.keepdims))


@register("variance", "std")
def _variance(ctx: ExportContext) -> str:
    axes = _axes(ctx)
    mean = ctx.add("ReduceMean", ctx.input(0), *axes, keepdims=1)
    difference = ctx.add("Sub", ctx.input(0), mean)
    squares = ctx.add("Mul", difference, difference)
    result = ctx.add("ReduceMean", squares, *axes, keepdims=int(ctx.attrs.keepdims))
    return ctx.add("Sqrt", result) if str(ctx.call.op.name) == "relax.std" else result
