"""Slices with a start, an end and a step on each axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tvm import ir, relax, te, tirx
from tvm.sym import Analyzer

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, as_dim, as_expr, as_exprs, shape_of
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register
from paddle_tvm.targets.meaning import means, vector

_INT32_MAX = (1 << 31) - 1


@dataclass(frozen=True)
class Span:
    """The elements ``start``, ``start + step``, ... of an axis, ``size`` of them."""

    start: Dim
    step: int
    size: Dim


class Bounds:
    """Compares expressions over dimensions, which are at least 1.

    A tensor without elements at run time meets the run-time checks of shapes instead; taking 0 into
    account here would leave a ``max`` in every dimension that comes out of a slice.
    """

    def __init__(self, *dims: Dim) -> None:
        self._analyzer = Analyzer()
        seen = set()
        for dim in dims:
            if isinstance(dim, int):
                continue
            for variable in tirx.analysis.undefined_vars(dim):
                if variable not in seen:
                    seen.add(variable)
                    limits = (tirx.IntImm("int64", 1), tirx.IntImm("int64", 1 << 40))
                    self._analyzer.bind(variable, ir.Range(*limits))

    def simplify(self, dim: Dim) -> Dim:
        return dim if isinstance(dim, int) else as_dim(self._analyzer.simplify(dim))

    def is_at_most(self, left: Dim, right: Dim) -> bool:
        if isinstance(left, int) and isinstance(right, int):
            return left <= right
        return bool(self._analyzer.can_prove(left <= right))

    def minimum(self, left: Dim, right: Dim) -> Dim:
        if self.is_at_most(left, right):
            return left
        if self.is_at_most(right, left):
            return right
        return self.simplify(tirx.min(as_expr(left), as_expr(right)))

    def maximum(self, left: Dim, right: Dim) -> Dim:
        if self.is_at_most(left, right):
            return right
        if self.is_at_most(right, left):
            return left
        return self.simplify(tirx.max(as_expr(left), as_expr(right)))

    def from_end(self, bound: Dim, size: Dim) -> Dim:
        """Count a negative bound from the end of the axis."""
        if self.is_at_most(0, bound):
            return bound
        wrapped = self.simplify(bound + size)
        if self.is_at_most(bound, -1):
            return wrapped
        return self.simplify(tirx.Select(as_expr(bound) < 0, as_expr(wrapped), as_expr(bound)))


def span_of(start: Dim, end: Dim, step: int, size: Dim) -> Span:
    """What ``start:end:step`` takes of an axis of ``size``; bounds past either end are clamped."""
    bounds = Bounds(start, end, size)
    # Exported programs write "to the end" as the largest int32, and with a negative step as the smallest.
    start, end = (size if isinstance(bound, int) and bound >= _INT32_MAX else bound for bound in (start, end))
    if step > 0:
        first = bounds.minimum(bounds.maximum(bounds.from_end(start, size), 0), size)
        last = bounds.minimum(bounds.maximum(bounds.from_end(end, size), 0), size)
        count = last - first
    else:
        first = bounds.minimum(bounds.maximum(bounds.from_end(start, size), 0), bounds.simplify(size - 1))
        # Paddle: an end of -1 with a negative step is "past the first element", not "the last element".
        if isinstance(end, int) and (end == -1 or end <= -_INT32_MAX):
            last = -1
        else:
            last = bounds.minimum(bounds.maximum(bounds.from_end(end, size), -1), bounds.simplify(size - 1))
        count = first - last
    length = abs(step)
    if length != 1:
        count = (count + length - 1) // length
    return Span(first, step, bounds.maximum(bounds.simplify(count), 0))


def slice_tensor(ctx: OpContext, data: relax.Expr, spans: Mapping[int, Span]) -> relax.Expr:
    """Take a span of some axes."""
    shape = shape_of(data)
    spans = {
        axis: span
        for axis, span in spans.items()
        if not (span.step == 1 and _is_zero(span.start) and ctx.is_equal(span.size, shape[axis]))
    }
    if not spans:
        return data
    if all(
        isinstance(dim, int) for axis, span in spans.items() for dim in (span.start, span.size, shape[axis])
    ) and all(span.step > 0 for span in spans.values()):
        return ctx.emit(
            relax.op.strided_slice(
                data,
                axes=list(spans),
                begin=[span.start for span in spans.values()],
                end=[span.start + (span.size - 1) * span.step + 1 for span in spans.values()],
                strides=[span.step for span in spans.values()],
            )
        )
    sizes = [spans[axis].size if axis in spans else dim for axis, dim in enumerate(shape)]
    axes = list(spans)

    def compute(source: te.Tensor, target: list[Any], starts: list[Any]) -> te.Tensor:
        def element(*index: Any) -> Any:
            position = list(index)
            for axis, start in zip(axes, starts, strict=True):
                position[axis] = index[axis] * spans[axis].step + start
            return source(*position)

        return te.compute(target, element, name="slice")

    starts = [spans[axis].start for axis in axes]
    return ctx.emit_te(
        compute, data, as_exprs(sizes), as_exprs(starts), name="slice", attributes=_meaning(spans)
    )


def _meaning(spans: Mapping[int, Span]) -> dict[str, str] | None:
    """A slice as ONNX has it, where it is known."""
    known = [
        (axis, span.start, span.start + (span.size - 1) * span.step + 1, span.step)
        for axis, span in spans.items()
        if isinstance(span.start, int) and isinstance(span.size, int) and span.step > 0 and span.size > 0
    ]
    if len(known) < len(spans):
        return None
    axes, starts, ends, steps = map(vector, zip(*known, strict=True))
    return means("Slice", 0, starts, ends, axes, steps)


def _is_zero(dim: Dim) -> bool:
    return isinstance(dim, int) and dim == 0


def drop_axes(ctx: OpContext, data: relax.Expr, axes: Sequence[int]) -> relax.Expr:
    """Drop axes of one element."""
    return ctx.emit(relax.op.squeeze(data, list(axes))) if axes else data


@register("slice")
def _slice(ctx: OpContext) -> Converted:
    data, shape = ctx.input(0), ctx.shape(0)
    dropped = [axis % len(shape) for axis in ctx.attr("decrease_axis", [])]
    axes = [axis % len(shape) for axis in ctx.attr("axes")]
    if not ctx.is_known(1):
        return _select(ctx, axes, dropped)
    spans = {}
    for axis, start, end in zip(axes, ctx.dims(1), ctx.dims(2), strict=True):
        if axis in dropped:
            spans[axis] = Span(one_position(ctx, start, shape[axis]), 1, 1)
        else:
            spans[axis] = span_of(start, end, 1, shape[axis])
    return drop_axes(ctx, slice_tensor(ctx, data, spans), dropped)


def one_position(ctx: OpContext, start: Dim, size: Dim) -> Dim:
    """Where ``x[start]`` lies. Paddle refuses what lies outside; clamp, so that nothing else is read."""
    bounds = Bounds(start, size)
    position = bounds.from_end(start, size)
    if isinstance(position, int) and isinstance(size, int) and not 0 <= position < size:
        raise ctx.unsupported(f"index {start} lies outside of a dimension of {size}")
    return bounds.maximum(bounds.minimum(position, bounds.simplify(size - 1)), 0)


def _select(ctx: OpContext, axes: list[int], dropped: list[int]) -> Converted:
    """``x[i]`` where ``i`` is computed from the model's input."""
    if set(axes) != set(dropped):
        raise ctx.unsupported(
            "a start or end depends on the values of the model's input, so the size of the result does too"
        )
    starts = ctx.input(1)
    kept = [axis for axis in range(ctx.ndim(0)) if axis not in dropped]
    sizes = [ctx.shape(0)[axis] for axis in kept]

    def compute(source: te.Tensor, positions: te.Tensor, target: list[Any]) -> te.Tensor:
        def element(*index: Any) -> Any:
            where = dict(zip(kept, index, strict=True))
            for number, axis in enumerate(axes):
                where[axis] = clamped_index(positions[number], source.shape[axis])
            return source(*[where[axis] for axis in range(len(where))])

        return te.compute(target, element, name="select")

    return ctx.emit_te(compute, ctx.input(0), starts, as_exprs(sizes), name="select")


def clamped_index(index: Any, size: Any) -> Any:
    """An index that counts from the end where it is negative.

    Paddle raises an error for an index outside of the tensor; a compiled kernel cannot, and must not read
    or write other memory, so the index is clamped.
    """
    position = index.astype("int64")
    position = tirx.Select(position < 0, position + size, position)
    return tirx.max(tirx.min(position, tirx.IntImm("int64", -1) + size), tirx.IntImm("int64", 0))


@register("strided_slice")
def _strided_slice(ctx: OpContext) -> Converted:
    shape = ctx.shape(0)
    steps = ctx.ints(3)
    spans = {}
    for axis, start, end, step in zip(ctx.attr("axes"), ctx.dims(1), ctx.dims(2), steps, strict=True):
        spans[axis % len(shape)] = span_of(start, end, step, shape[axis % len(shape)])
    return slice_tensor(ctx, ctx.input(0), spans)


@register("crop")
def _crop(ctx: OpContext) -> Converted:
    spans = {}
    for axis, (dim, size, offset) in enumerate(zip(ctx.shape(0), ctx.dims(1), ctx.dims(2), strict=True)):
        rest = isinstance(size, int) and size == -1
        spans[axis] = Span(offset, 1, ctx.simplify(dim - offset) if rest else size)
        if not Bounds(dim, offset, size).is_at_most(spans[axis].start + spans[axis].size, dim):
            raise ctx.unsupported(
                f"it cannot be proved that {size} elements from {offset} lie in dimension {axis} of {dim}; "
                "fix the input's dimensions with --shape"
            )
    return slice_tensor(ctx, ctx.input(0), spans)


@register("flip")
def _flip(ctx: OpContext) -> Converted:
    shape = ctx.shape(0)
    axes = [axis % len(shape) for axis in ctx.attr("axis")]
    bounds = Bounds(*shape)
    return slice_tensor(
        ctx, ctx.input(0), {axis: Span(bounds.simplify(shape[axis] - 1), -1, shape[axis]) for axis in axes}
    )
