"""Products of matrices and vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tvm import relax, te, tirx

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, shape_of
from paddle_tvm.compiler.frontends.paddle.registry import Converted, is_constant, register


def product(ctx: OpContext, left: relax.Expr, right: relax.Expr) -> relax.Expr:
    """``numpy.matmul`` of two tensors, with run-time checks for dimensions that cannot be proved equal."""
    left_shape, right_shape = shape_of(left), shape_of(right)
    inner = right_shape[-2] if len(right_shape) > 1 else right_shape[0]
    # A constant says more than a symbol.
    inner = left_shape[-1] if isinstance(left_shape[-1], int) else inner
    left_batch, right_batch = _common_batch(left_shape[:-2], right_shape[:-2])
    left_target = [*left_batch, *left_shape[-2:-1], inner]
    right_target = [*right_batch, inner, *(right_shape[-1:] if len(right_shape) > 1 else [])]
    result = ctx.emit(
        relax.op.matmul(ctx.require_equal(left, left_target), ctx.require_equal(right, right_target))
    )
    if any(isinstance(dim, int) and dim == 0 for dim in (inner, *shape_of(result))):
        return _nothing(ctx, left, result)
    return result


def _nothing(ctx: OpContext, operand: relax.Expr, result: relax.Expr) -> relax.Expr:
    """Zeros instead of a product over or of no elements.

    TVM 0.27 initialises a sum in its first step, so a sum of nothing is left as it is in memory; and it
    writes constants without elements, which this would be if it did not read an operand, but cannot load
    them.
    """
    shape, dtype = shape_of(result), str(result.ty.dtype)

    def zeros(_: te.Tensor) -> te.Tensor:
        return te.compute(shape, lambda *_: tirx.const(0, dtype), name="zeros")

    return ctx.emit_te(zeros, operand, name="zeros")


def _common_batch(left: Sequence[Dim], right: Sequence[Dim]) -> tuple[list[Dim], list[Dim]]:
    """The batch dimensions that both operands must have; as in ``OpContext.broadcast`` a symbol is not 1."""
    left, right = list(left), list(right)
    for back in range(1, min(len(left), len(right)) + 1):
        if left[-back] != 1 and right[-back] != 1:
            one = left[-back] if isinstance(left[-back], int) else right[-back]
            left[-back] = right[-back] = one
    return left, right


def transposed(ctx: OpContext, index: int) -> relax.Expr:
    """An operand with its last two axes swapped; a constant is swapped while compiling."""
    value = ctx.value(index)
    if value.array is not None and is_constant(value.array):
        return relax.const(np.ascontiguousarray(value.array.swapaxes(-1, -2)), value.dtype)
    axes = list(range(ctx.ndim(index)))
    axes[-2:] = axes[-1], axes[-2]
    return ctx.emit(relax.op.permute_dims(ctx.input(index), axes))


def _operand(ctx: OpContext, index: int, transpose: bool) -> relax.Expr:
    # Paddle ignores the flag for a vector.
    return transposed(ctx, index) if transpose and ctx.ndim(index) > 1 else ctx.input(index)


@register("matmul")
def _matmul(ctx: OpContext) -> Converted:
    left = _operand(ctx, 0, ctx.attr("transpose_x"))
    right = _operand(ctx, 1, ctx.attr("transpose_y"))
    return product(ctx, left, right)


@register("bmm", "mv")
def _plain_product(ctx: OpContext) -> Converted:
    return product(ctx, ctx.input(0), ctx.input(1))


@register("multi_dot")
def _multi_dot(ctx: OpContext) -> Converted:
    result, *rest = ctx.inputs(0)
    for operand in rest:
        result = product(ctx, result, operand)
    return result


def scaled(tensor: relax.Expr, factor: float) -> relax.Expr:
    """A tensor times a number."""
    return tensor if factor == 1 else relax.op.multiply(tensor, relax.const(factor, str(tensor.ty.dtype)))


@register("addmm", "addmm_", "baddbmm", "baddbmm_")
def _addmm(ctx: OpContext) -> Converted:
    result = product(ctx, ctx.input(1), ctx.input(2))
    result = ctx.emit(scaled(result, ctx.attr("alpha")))
    if ctx.attr("beta") == 0:
        # As in BLAS the input is not read then: its NaN and Inf do not show.
        return result
    return relax.op.add(*ctx.broadcast([ctx.emit(scaled(ctx.input(0), ctx.attr("beta"))), result]))


@register("bilinear")
def _bilinear(ctx: OpContext) -> Converted:
    """``out[b, o] = sum_ij x[b, i] * weight[o, i, j] * y[b, j] + bias[0, o]``."""
    outputs, rows, columns = ctx.shape(2)
    weight = ctx.emit(relax.op.permute_dims(ctx.input(2), [1, 0, 2]))
    weight = ctx.emit(relax.op.reshape(weight, [rows, outputs * columns]))
    batch = ctx.shape(0)[0]
    half = ctx.emit(relax.op.reshape(product(ctx, ctx.input(0), weight), [batch, outputs, columns]))
    right = ctx.require_equal(ctx.input(1), [batch, columns])
    whole = product(ctx, half, ctx.emit(relax.op.expand_dims(right, 2)))
    result = ctx.emit(relax.op.squeeze(whole, [2]))
    return relax.op.add(result, ctx.input(3)) if ctx.has_input(3) else result


@register("kron")
def _kron(ctx: OpContext) -> Converted:
    left, right = ctx.input(0), ctx.input(1)
    rank = max(ctx.ndim(0), ctx.ndim(1))
    left = ctx.emit(relax.op.reshape(left, [1] * (rank - ctx.ndim(0)) + ctx.shape(0)))
    right = ctx.emit(relax.op.reshape(right, [1] * (rank - ctx.ndim(1)) + ctx.shape(1)))

    def kron(a: te.Tensor, b: te.Tensor) -> te.Tensor:
        shape = [one * other for one, other in zip(a.shape, b.shape, strict=True)]
        return te.compute(
            shape,
            lambda *axes: (
                a(*[axis // size for axis, size in zip(axes, b.shape, strict=True)])
                * b(*[axis % size for axis, size in zip(axes, b.shape, strict=True)])
            ),
            name="kron",
        )

    return ctx.emit_te(kron, left, right, name="kron")
