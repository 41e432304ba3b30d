"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tvm import relax, te, tirx

from paddle_tvm.compiler.frontends.paddle.context import OpContext, shape_of
from paddle_tvm.compiler.frontends.paddle.ops.comparison import as_bool
from paddle_tvm.compiler.frontends.paddle.ops.pointwise import (
    dtype_of,
    float_input,
    is_float,
    pointwise,
    scalar,
)
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register
from paddle_tvm.targets.meaning import means, vector

Combine = Callable[[tirx.Expr, tirx.Expr], tirx.Expr]


def _axes(axes: Sequence[int], ndim: int) -> list[int]:
    """Axes in order, non-negative; none named means all."""
    return sorted({axis % ndim for axis in axes}) if axes and ndim else list(range(ndim))


def reduced(
    ctx: OpContext,
    x: relax.Expr,
    axes: Sequence[int],
    keepdim: bool,
    combine: Combine,
    identity: Callable[[str], tirx.Expr],
    name: str,
    onnx: str | None = None,
) -> relax.Expr:
    """Reduce over axes with a function that TVM has no operator for; ``onnx`` is what ONNX calls it."""
    reducer = te.comm_reducer(combine, identity, name=name)
    is_empty = any(shape_of(x)[axis] == 0 for axis in axes)

    def compute(part: te.Tensor) -> te.Tensor:
        shape = [1 if axis in axes else dim for axis, dim in enumerate(part.shape)]
        if not keepdim:
            shape = [dim for axis, dim in enumerate(part.shape) if axis not in axes]
        if is_empty:
            # A loop that runs no time never reaches its start value.
            return te.compute(shape, lambda *_: identity(part.dtype), name=name)
        along = [te.reduce_axis((0, part.shape[axis]), name=f"k{axis}") for axis in axes]

        def result(*index: tirx.Var) -> tirx.Expr:
            kept = iter(index)
            place: list[Any] = []
            for axis in range(len(part.shape)):
                if axis in axes:
                    place.append(along[list(axes).index(axis)])
                    if keepdim:
                        next(kept)
                else:
                    place.append(next(kept))
            return reducer(part(*place), axis=along)

        return te.compute(shape, result, name=name)

    meaning = None if onnx is None else means(onnx, 0, vector(axes), keepdims=int(keepdim))
    return ctx.emit_te(compute, x, name=name, attributes=meaning)


def _largest(a: tirx.Expr, b: tirx.Expr) -> tirx.Expr:
    # TVM's own reductions to the maximum lose a NaN, and start from the lowest finite number (0.27).
    return tirx.Select(tirx.any(a > b, tirx.isnan(a)), a, b) if is_float(str(a.ty)) else tirx.max(a, b)


def _smallest(a: tirx.Expr, b: tirx.Expr) -> tirx.Expr:
    return tirx.Select(tirx.any(a < b, tirx.isnan(a)), a, b) if is_float(str(a.ty)) else tirx.min(a, b)


def _lowest(dtype: str) -> tirx.Expr:
    return -tirx.infinity(dtype) if is_float(str(dtype)) else tirx.min_value(dtype)


def _highest(dtype: str) -> tirx.Expr:
    return tirx.infinity(dtype) if is_float(str(dtype)) else tirx.max_value(dtype)


def reduced_max(ctx: OpContext, x: relax.Expr, axes: Sequence[int], keepdim: bool) -> relax.Expr:
    """The maximum over axes; a NaN anywhere makes it NaN."""
    return reduced(ctx, x, axes, keepdim, _largest, _lowest, "max", "ReduceMax")


def reduced_min(ctx: OpContext, x: relax.Expr, axes: Sequence[int], keepdim: bool) -> relax.Expr:
    """The minimum over axes; a NaN anywhere makes it NaN."""
    return reduced(ctx, x, axes, keepdim, _smallest, _highest, "min", "ReduceMin")


Reduce = Callable[[OpContext, relax.Expr, Sequence[int], bool], relax.Expr]


def _register_reduction(*names: str) -> Callable[[Reduce], Reduce]:
    """Register a reduction that takes its axes as an operand, or else as the attribute ``axis``."""

    def decorate(reduce: Reduce) -> Reduce:
        def convert(ctx: OpContext) -> Converted:
            named = ctx.ints(1) if ctx.has_input(1) else ctx.attr("axis")
            if ctx.attr("reduce_all", False):
                named = []
            keepdim = bool(ctx.attr("keepdim", ctx.attr("keep_dim", False)))
            return reduce(ctx, ctx.input(0), _axes(named, ctx.ndim(0)), keepdim)

        register(*names)(convert)
        return reduce

    return decorate


@_register_reduction("sum")
def _sum(ctx: OpContext, x: relax.Expr, axes: Sequence[int], keepdim: bool) -> relax.Expr:
    dtype = ctx.attr("dtype", None) or ("int64" if dtype_of(x) in ("bool", "int32") else dtype_of(x))
    if dtype_of(x) != dtype:
        x = ctx.emit(relax.op.astype(x, dtype))
    return relax.op.sum(x, list(axes), keepdim) if axes else x


@_register_reduction("mean")
def _mean(ctx: OpContext, x: relax.Expr, axes: Sequence[int], keepdim: bool) -> relax.Expr:
    if not axes:
        return x
    if any(shape_of(x)[axis] == 0 for axis in axes):
        # The mean of nothing; TVM refuses to divide by a constant zero.
        empty = ctx.emit(relax.op.sum(x, list(axes), keepdim))
        return relax.op.multiply(empty, scalar(float("nan"), dtype_of(x)))
    return relax.op.mean(x, list(axes), keepdim)


@register("mean_all")
def _mean_all(ctx: OpContext) -> Converted:
    return relax.op.mean(ctx.input(0))


@_register_reduction("max", "amax")
def _max(ctx: OpContext, x: relax.Expr, axes: Sequence[int], keepdim: bool) -> relax.Expr:
    return reduced_max(ctx, x, axes, keepdim) if axes else x


@_register_reduction("min", "amin")
def _min(ctx: OpContext, x: relax.Expr, axes: Sequence[int], keepdim: bool) -> relax.Expr:
    return reduced_min(ctx, x, axes, keepdim) if axes else x


@_register_reduction("prod")
def _prod(ctx: OpContext, x: relax.Expr, axes: Sequence[int], keepdim: bool) -> relax.Expr:
    return relax.op.prod(x, list(axes), keepdim) if axes else x


@_register_reduction("all")
def _all(ctx: OpContext, x: relax.Expr, axes: Sequence[int], keepdim: bool) -> relax.Expr:
    x = as_bool(ctx, x)
    if not axes:
        return x
    return reduced(
        ctx, x, axes, keepdim, lambda a, b: tirx.all(a, b), lambda dtype: tirx.const(True, dtype), "all"
    )


@_register_reduction("any")
def _any(ctx: OpContext, x: relax.Expr, axes: Sequence[int], keepdim: bool) -> relax.Expr:
    x = as_bool(ctx, x)
    if not axes:
        return x
    return reduced(
        ctx, x, axes, keepdim, lambda a, b: tirx.any(a, b), lambda dtype: tirx.const(False, dtype), "any"
    )


@_register_reduction("logsumexp")
def _logsumexp(ctx: OpContext, x: relax.Expr, axes: Sequence[int], keepdim: bool) -> relax.Expr:
    if not axes:
        return x

    # As in Paddle, of rows whose largest element is infinite it is NaN: Inf - Inf.
    largest = reduced_max(ctx, x, axes, True)
    terms = ctx.emit(relax.op.exp(ctx.emit(relax.op.subtract(x, largest))))
    total = ctx.emit(relax.op.log(ctx.emit(relax.op.sum(terms, list(axes), keepdim))))
    if not keepdim:
        largest = ctx.emit(relax.op.squeeze(largest, list(axes)))
    return relax.op.add(total, largest)


@_register_reduction("frobenius_norm")
def _frobenius_norm(ctx: OpContext, x: relax.Expr, axes: Sequence[int], keepdim: bool) -> relax.Expr:
    return relax.op.sqrt(_sum_of_squares(ctx, x, axes, keepdim))


def _sum_of_squares(ctx: OpContext, x: relax.Expr, axes: Sequence[int], keepdim: bool) -> relax.Expr:
    squares = ctx.emit(relax.op.multiply(x, x))
    return ctx.emit(relax.op.sum(squares, list(axes), keepdim)) if axes else squares


@register("squared_l2_norm")
def _squared_l2_norm(ctx: OpContext) -> Converted:
    x = ctx.input(0)
    return relax.op.reshape(_sum_of_squares(ctx, x, list(range(ctx.ndim(0))), False), (1,))


@register("p_norm")
def _p_norm(ctx: OpContext) -> Converted:
    x, order, keepdim = float_input(ctx), float(ctx.attr("porder")), bool(ctx.attr("keepdim"))
    ndim = ctx.ndim(0)
    axes = _axes([] if ctx.attr("asvector") else [int(ctx.attr("axis"))], ndim)
    if order == 2.0:
        return relax.op.sqrt(_sum_of_squares(ctx, x, axes, keepdim))
    size = ctx.emit(relax.op.abs(x))
    if not axes:
        return size
    if order == float("inf"):
        return reduced_max(ctx, size, axes, keepdim)
    if order == float("-inf"):
        return reduced_min(ctx, size, axes, keepdim)
    if order == 0.0:
        return relax.op.sum(ctx.emit(relax.op.astype(as_bool(ctx, x), dtype_of(x))), axes, keepdim)
    if order == 1.0:
        return relax.op.sum(size, axes, keepdim)
    terms = pointwise(ctx, tirx.pow, size, scalar(order, dtype_of(x)), name="p_norm_terms")
    total = ctx.emit(relax.op.sum(terms, axes, keepdim))
    return pointwise(ctx, tirx.pow, total, scalar(1.0 / order, dtype_of(x)), name="p_norm_root")


@register("dot")
def _dot(ctx: OpContext) -> Converted:
    left, right = ctx.broadcast([ctx.input(0), ctx.input(1)])
    return relax.op.sum(ctx.emit(relax.op.multiply(left, right)), -1)


def _register_arg(name: str, combine: Combine, identity: Callable[[str], tirx.Expr]) -> None:
    def convert(ctx: OpContext) -> Converted:
        x, keepdim, dtype = ctx.input(0), bool(ctx.attr("keepdims")), ctx.attr("dtype") or "int64"
        shape = shape_of(x)
        if not shape:
            return scalar(0, dtype)
        axis = int(ctx.constant(1).item()) % len(shape)
        if ctx.attr("flatten"):
            x, axis = ctx.emit(relax.op.flatten(x)), 0

        wanted = reduced(ctx, x, [axis], True, combine, identity, f"{name}_value")
        found = _first_place(ctx, x, wanted, identity(dtype_of(x)), axis, dtype, name)
        if ctx.attr("flatten"):
            return relax.op.reshape(found, [1] * len(shape) if keepdim else [])
        return found if keepdim else relax.op.squeeze(found, [axis])

    register(name)(convert)


def _first_place(
    ctx: OpContext, x: relax.Expr, wanted: relax.Expr, worst: tirx.Expr, axis: int, dtype: str, name: str
) -> relax.Expr:
    """The first index along an axis where a value stands; 0 where nothing is better than ``worst``."""

    def compute(part: te.Tensor, value: te.Tensor) -> te.Tensor:
        along = te.reduce_axis((0, part.shape[axis]), name="k")

        def result(*index: tirx.Var) -> tirx.Expr:
            element = part(*index[:axis], along, *index[axis + 1 :])
            hit = tirx.any(element == value(*index), value(*index) == worst)
            place = tirx.Select(hit, along.var.astype(dtype), tirx.max_value(dtype))
            return te.min(place, axis=along)

        return te.compute(value.shape, result, name=name)

    return ctx.emit_te(compute, x, wanted, name=name)


# Of unordered values TVM takes the second one (0.27): NaN is passed over, as in Paddle, which starts from the
# lowest finite number.
_register_arg("argmax", lambda a, b: tirx.max(b, a), tirx.min_value)
_register_arg("argmin", lambda a, b: tirx.min(b, a), tirx.max_value)
