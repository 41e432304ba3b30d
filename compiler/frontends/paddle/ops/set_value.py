"""Assignment to a part of a tensor: ``x[1:3, ::2] = value``, and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax, te, tirx

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, as_exprs, shape_of
from paddle_tvm.compiler.frontends.paddle.ops.slicing import Span, one_position, span_of
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


@register("set_value", "set_value_")
def _set_value(ctx: OpContext) -> Converted:
    values = np.array(ctx.attr("values")).astype(ctx.dtype(0)).reshape(ctx.attr("shape"))
    return _assign_slice(ctx, relax.const(values, ctx.dtype(0)), 1)


@register("set_value_with_tensor", "set_value_with_tensor_")
def _set_value_with_tensor(ctx: OpContext) -> Converted:
    value = ctx.input(1)
    if str(value.ty.dtype) != ctx.dtype(0):
        value = ctx.emit(relax.op.astype(value, ctx.dtype(0)))
    return _assign_slice(ctx, value, 2)


def _assign_slice(ctx: OpContext, value: relax.Expr, first_bound: int) -> relax.Expr:
    shape = ctx.shape(0)
    axes = [axis % len(shape) for axis in ctx.attr("axes")]
    dropped = [axis % len(shape) for axis in ctx.attr("decrease_axes")]
    bounds = (ctx.dims(first_bound), ctx.dims(first_bound + 1), ctx.ints(first_bound + 2))
    spans = {}
    for axis, start, end, step in zip(axes, *bounds, strict=True):
        if axis in dropped:
            spans[axis] = Span(one_position(ctx, start, shape[axis]), 1, 1)
        else:
            spans[axis] = _ascending(ctx, span_of(start, end, step, shape[axis]))
    reverse = {axis for axis, step in zip(axes, bounds[2], strict=True) if step < 0}
    sizes = [spans[axis].size if axis in spans else dim for axis, dim in enumerate(shape)]
    value, value_axes = _fit_value(ctx, value, sizes, dropped)

    def compute(source: te.Tensor, new: te.Tensor, starts: list[Any], counts: list[Any]) -> te.Tensor:
        def element(*index: Any) -> Any:
            place: list[Any] = list(index)
            inside = []
            for axis, start, count in zip(spans, starts, counts, strict=True):
                step = spans[axis].step
                offset = index[axis] - start
                inside += [offset >= 0, offset < count * step]
                if step != 1:
                    inside.append(tirx.EQ(tirx.floormod(offset, step), tirx.IntImm("int64", 0)))
                place[axis] = tirx.floordiv(offset, step)
                if axis in reverse:
                    place[axis] = count - 1 - place[axis]
            at = [tirx.IntImm("int64", 0) if axis is None else place[axis] for axis in value_axes]
            taken = new(*at) if at else new()
            return tirx.if_then_else(tirx.all(*inside), taken, source(*index)) if inside else taken

        return te.compute(source.shape, element, name="set_value")

    starts = [span.start for span in spans.values()]
    counts = [span.size for span in spans.values()]
    return ctx.emit_te(compute, ctx.input(0), value, as_exprs(starts), as_exprs(counts), name="set_value")


def _ascending(ctx: OpContext, span: Span) -> Span:
    if span.step > 0:
        return span
    return Span(ctx.simplify(span.start + (span.size - 1) * span.step), -span.step, span.size)


def _fit_value(
    ctx: OpContext, value: relax.Expr, sizes: list[Dim], dropped: list[int]
) -> tuple[relax.Expr, list[int | None]]:
    """The value with its dimensions checked, and which axis each of them runs over (None: it is one)."""
    targets: list[int | None] = []
    new_axes = list(ctx.attr("none_axes"))
    for axis in range(len(sizes)):
        while new_axes and new_axes[0] <= axis:
            targets.append(None)
            new_axes.pop(0)
        if axis not in dropped:
            targets.append(axis)
    targets += [None] * len(new_axes)
    shape = shape_of(value)
    surplus = len(shape) - len(targets)
    if surplus > 0:
        value = ctx.emit(relax.op.squeeze(value, list(range(surplus))))
        shape = shape[surplus:]
    targets = targets[len(targets) - len(shape) :]
    wanted: list[Dim] = []
    value_axes: list[int | None] = []
    for dim, target in zip(shape, targets, strict=True):
        if target is None or (isinstance(dim, int) and dim == 1):
            wanted.append(1)
            value_axes.append(None)
        else:
            wanted.append(sizes[target])
            value_axes.append(target)
    return ctx.require_equal(value, wanted), value_axes


@register("masked_fill", "masked_fill_")
def _masked_fill(ctx: OpContext) -> Converted:
    data, mask, value = ctx.input(0), ctx.input(1), ctx.input(2)
    if str(value.ty.dtype) != ctx.dtype(0):
        value = ctx.emit(relax.op.astype(value, ctx.dtype(0)))
    data, mask, value = ctx.broadcast([data, mask, value])
    return relax.op.where(mask, value, data)
