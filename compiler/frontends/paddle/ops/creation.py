"""Operators that make tensors from attributes and shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax, te, tirx

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, as_exprs
from paddle_tvm.compiler.frontends.paddle.ops.broadcasting import expand_to
from paddle_tvm.compiler.frontends.paddle.ops.slicing import Bounds
from paddle_tvm.compiler.frontends.paddle.registry import (
    Converted,
    KnownArray,
    is_constant,
    register,
    register_fold,
)

# A filled tensor up to this size is a constant, so that what is computed from it folds.
_MAX_FILLED_CONSTANT = 1 << 16


@register_fold("full")
def _full(ctx: OpContext) -> KnownArray:
    return np.full(ctx.attr("shape"), ctx.attr("value"), dtype=ctx.attr("dtype"))


@register_fold("full_int_array")
def _full_int_array(ctx: OpContext) -> KnownArray:
    return np.array(ctx.attr("value"), dtype=ctx.attr("dtype"))


@register_fold("assign_value_", "assign_value")
def _assign_value(ctx: OpContext) -> KnownArray:
    values = np.array(ctx.attr("values"), dtype=ctx.attr("dtype"))
    return np.reshape(values, ctx.attr("shape"))


def _known_fill(shape: list[Dim], value: Any, dtype: str) -> KnownArray | None:
    sizes = [dim for dim in shape if isinstance(dim, int)]
    if len(sizes) < len(shape) or np.prod(sizes, dtype="int64") > _MAX_FILLED_CONSTANT:
        return None
    return np.full(sizes, value, dtype)


def _fill(ctx: OpContext, shape: list[Dim], value: KnownArray, dtype: str) -> relax.Expr:
    # Not relax.op.full: TVM 0.27 cannot lower it for an infinite value.
    element = tirx.const(value.astype(dtype).item(), dtype)
    return ctx.emit_te(
        lambda sizes: te.compute(sizes, lambda *_: element, name="full"), as_exprs(shape), name="full"
    )


def _scalar(ctx: OpContext, index: int) -> KnownArray | None:
    array = ctx.value(index).array
    return array if array is not None and is_constant(array) else None


def _filled(ctx: OpContext, value_index: int, shape: list[Dim], dtype: str) -> relax.Expr:
    value = _scalar(ctx, value_index)
    if value is not None:
        return _fill(ctx, shape, value, dtype)
    scalar = ctx.emit(relax.op.reshape(ctx.input(value_index), []))
    return expand_to(ctx, ctx.emit(relax.op.astype(scalar, dtype)), shape)


@register_fold("full_with_tensor", reads_values=False)
def _full_with_tensor_fold(ctx: OpContext) -> KnownArray | None:
    value = _scalar(ctx, 0)
    return None if value is None else _known_fill(ctx.dims(1), value.item(), _dtype(ctx, 0))


@register("full_with_tensor")
def _full_with_tensor(ctx: OpContext) -> Converted:
    return _filled(ctx, 0, ctx.dims(1), _dtype(ctx, 0))


def _dtype(ctx: OpContext, index: int) -> str:
    """The attribute, or the dtype of an operand where the attribute leaves it open."""
    return ctx.attr("dtype") or ctx.dtype(index)


@register_fold("full_like", reads_values=False)
def _full_like_fold(ctx: OpContext) -> KnownArray | None:
    value = _scalar(ctx, 1)
    return None if value is None else _known_fill(ctx.shape(0), value.item(), _dtype(ctx, 0))


@register("full_like")
def _full_like(ctx: OpContext) -> Converted:
    return _filled(ctx, 1, ctx.shape(0), _dtype(ctx, 0))


@register("full_batch_size_like")
def _full_batch_size_like(ctx: OpContext) -> Converted:
    shape: list[Dim] = list(ctx.attr("shape"))
    shape[ctx.attr("output_dim_idx")] = ctx.shape(0)[ctx.attr("input_dim_idx")]
    return _fill(ctx, shape, np.array(ctx.attr("value")), ctx.attr("dtype"))


# What empty tensors hold is not defined; zeros are as good as anything, and the same in every run.
@register("empty")
def _empty(ctx: OpContext) -> Converted:
    return _fill(ctx, ctx.dims(0), np.array(0), ctx.attr("dtype"))


@register("empty_like")
def _empty_like(ctx: OpContext) -> Converted:
    return _fill(ctx, ctx.shape(0), np.array(0), _dtype(ctx, 0))


@register(
    "assign", "assign_", "assign_out_", "share_data_", "share_data", "memcpy_h2d", "memcpy_d2h", "memcpy"
)
def _assign(ctx: OpContext) -> Converted:
    return ctx.input(0)


def _integer_range(start: Dim, end: Dim, step: int) -> Dim:
    bounds = Bounds(start, end)
    count = (end - start + (step - 1)) // step if step > 0 else (start - end + (-step - 1)) // -step
    return bounds.maximum(bounds.simplify(count), 0)


def _integral(ctx: OpContext, index: int) -> Dim:
    (dim,) = ctx.dims(index)
    if isinstance(dim, float | np.floating):
        if dim != int(dim):
            raise ctx.unsupported(
                f"operand {index} must be an integer where a dimension is dynamic, and is {dim}"
            )
        return int(dim)
    return dim


@register("arange", "range_v2")
def _arange(ctx: OpContext) -> Converted:
    dtype = ctx.attr("dtype")
    start, end = (_integral(ctx, index) for index in (0, 1))
    step = _integral(ctx, 2)
    if not isinstance(step, int):
        raise ctx.unsupported("the step of a range must be a constant")
    size = _integer_range(start, end, step)

    def compute(sizes: list[Any], starts: list[Any]) -> te.Tensor:
        return te.compute(sizes, lambda i: (i * step + starts[0]).astype(dtype), name="arange")

    return ctx.emit_te(compute, as_exprs([size]), as_exprs([start]), name="arange")


@register_fold("arange", "range_v2")
def _arange_fold(ctx: OpContext) -> KnownArray | None:
    arrays = [ctx.value(index).array for index in range(3)]
    bounds = [array.item() for array in arrays if array is not None and is_constant(array)]
    if len(bounds) < 3:
        return None
    dtype = np.dtype(ctx.attr("dtype"))
    start, end, step = np.array(bounds).astype(dtype)
    if np.issubdtype(dtype, np.integer):
        return np.arange(start, end, step, dtype=dtype)
    # Paddle counts the elements in the tensor's own precision.
    count = max(int(np.ceil(np.abs((end - start) / step))), 0)
    return np.asarray(start + np.arange(count, dtype=dtype) * step, dtype=dtype)


@register("linspace")
def _linspace(ctx: OpContext) -> Converted:
    dtype = ctx.attr("dtype")
    start, stop = (float(ctx.constant(index).item()) for index in (0, 1))
    (num,) = ctx.dims(2)
    # Both halves are counted from their own end, so that the last element is exact.
    work = "float64" if dtype == "float64" or "int" in dtype else "float32"

    def compute(sizes: list[Any]) -> te.Tensor:
        (count,) = sizes
        first, last = tirx.const(start, work), tirx.const(stop, work)
        step = (last - first) / tirx.max(count - 1, tirx.IntImm("int64", 1)).astype(work)

        def element(i: Any) -> Any:
            forward = first + step * i.astype(work)
            backward = last - step * (count - 1 - i).astype(work)
            from_start = tirx.any(i < tirx.floordiv(count, 2), tirx.EQ(count, tirx.IntImm("int64", 1)))
            return tirx.Select(from_start, forward, backward).astype(dtype)

        return te.compute(sizes, element, name="linspace")

    return ctx.emit_te(compute, as_exprs([num]), name="linspace")


@register("eye")
def _eye(ctx: OpContext) -> Converted:
    dtype = ctx.attr("dtype")
    rows, columns = _integral(ctx, 0), _integral(ctx, 1)
    if isinstance(columns, int) and columns == -1:
        columns = rows

    def compute(sizes: list[Any]) -> te.Tensor:
        one, zero = tirx.const(1, dtype), tirx.const(0, dtype)
        return te.compute(sizes, lambda i, j: tirx.Select(tirx.EQ(i, j), one, zero), name="eye")

    return ctx.emit_te(compute, as_exprs([rows, columns]), name="eye")


@register("one_hot")
def _one_hot(ctx: OpContext) -> Converted:
    dtype = ctx.output_dtype
    sizes = [*ctx.shape(0), *ctx.dims(1)]

    def compute(labels: te.Tensor, target: list[Any]) -> te.Tensor:
        one, zero = tirx.const(1, dtype), tirx.const(0, dtype)
        return te.compute(
            target,
            lambda *index: tirx.Select(tirx.EQ(labels(*index[:-1]).astype("int64"), index[-1]), one, zero),
            name="one_hot",
        )

    return ctx.emit_te(compute, ctx.input(0), as_exprs(sizes), name="one_hot")


@register("sequence_mask")
def _sequence_mask(ctx: OpContext) -> Converted:
    dtype = ctx.attr("out_dtype") or ctx.output_dtype
    (length,) = ctx.dims(1)
    if isinstance(length, int) and length < 0:
        raise ctx.unsupported(
            "without maxlen the result is as long as the largest value of the input: give maxlen in the model"
        )

    def compute(lengths: te.Tensor, target: list[Any]) -> te.Tensor:
        return te.compute(
            target,
            lambda *index: (index[-1] < lengths(*index[:-1]).astype("int64")).astype(dtype),
            name="sequence_mask",
        )

    return ctx.emit_te(compute, ctx.input(0), as_exprs([*ctx.shape(0), length]), name="sequence_mask")
