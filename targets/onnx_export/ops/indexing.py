"""Elements by their places."""

from __future__ import annotations

from tvm import relax

from paddle_tvm.targets.onnx_export.context import ExportContext, number
from paddle_tvm.targets.onnx_export.registry import register


def _refuse_take(call: relax.Call) -> str | None:
    if call.attrs.axis is None:
        return "it takes elements of the flattened tensor"
    if str(call.attrs.mode) != "fast":
        return f"places outside of the tensor are treated by the mode {call.attrs.mode}"
    return None


@register("take", operands=2, refuse=_refuse_take)
def _take(ctx: ExportContext) -> str:
    return ctx.add("Gather", ctx.input(0), ctx.input(1), axis=int(ctx.attrs.axis))


@register("gather_elements", operands=2)
def _gather_elements(ctx: ExportContext) -> str:
    return ctx.add("GatherElements", ctx.input(0), ctx.input(1), axis=int(ctx.attrs.axis))


@register("gather_nd", operands=2)
def _gather_nd(ctx: ExportContext) -> str:
    return ctx.add("GatherND", ctx.input(0), ctx.input(1), batch_dims=int(ctx.attrs.batch_dims))


_REDUCTIONS = {"update": "none", "add": "add", "mul": "mul", "max": "max", "min": "min"}


def _refuse_scatter(call: relax.Call) -> str | None:
    if str(call.attrs.reduction) not in _REDUCTIONS:
        return f"it joins values by {call.attrs.reduction}"
    return None


@register("scatter_elements", operands=3, refuse=_refuse_scatter)
def _scatter_elements(ctx: ExportContext) -> str:
    operands = [ctx.input(index) for index in range(3)]
    reduction = _REDUCTIONS[str(ctx.attrs.reduction)]
    return ctx.add("ScatterElements", *operands, axis=int(ctx.attrs.axis), reduction=reduction)


@register("scatter_nd", operands=3, refuse=_refuse_scatter)
def _scatter_nd(ctx: ExportContext) -> str:
    operands = [ctx.input(index) for index in range(3)]
    return ctx.add("ScatterND", *operands, reduction=_REDUCTIONS[str(ctx.attrs.reduction)])


def _refuse_one_hot(call: relax.Call) -> str | None:
    return "its values are not known" if None in map(number, call.args[1:]) else None


@register("one_hot", operands=3, refuse=_refuse_one_hot)
def _one_hot(ctx: ExportContext) -> str:
    on, off = (number(value) or 0 for value in ctx.call.args[1:])
    values = ctx.graph.constant([off, on], str(ctx.result.dtype))
    return ctx.add("OneHot", ctx.input(0), ctx.ints([int(ctx.attrs.depth)]), values, axis=int(ctx.attrs.axis))
