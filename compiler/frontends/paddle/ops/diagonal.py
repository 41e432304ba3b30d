"""Operators on diagonals and triangles of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax, te, tirx

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, as_exprs
from paddle_tvm.compiler.frontends.paddle.ops.slicing import Bounds
from paddle_tvm.compiler.frontends.paddle.registry import Converted, KnownArray, register, register_fold


@register("tril", "tril_")
def _tril(ctx: OpContext) -> Converted:
    return _triangle(ctx, lower=True)


@register("triu", "triu_")
def _triu(ctx: OpContext) -> Converted:
    return _triangle(ctx, lower=False)


def _triangle(ctx: OpContext, lower: bool) -> relax.Expr:
    diagonal = ctx.attr("diagonal")

    def compute(source: te.Tensor) -> te.Tensor:
        def element(*index: Any) -> Any:
            offset = index[-1] - index[-2]
            kept = offset <= diagonal if lower else offset >= diagonal
            return tirx.Select(kept, source(*index), tirx.const(0, source.dtype))

        return te.compute(source.shape, element, name="tril" if lower else "triu")

    return ctx.emit_te(compute, ctx.input(0), name="tril" if lower else "triu")


@register_fold("tril_indices")
def _tril_indices(ctx: OpContext) -> KnownArray:
    return np.stack(np.tril_indices(ctx.attr("rows"), ctx.attr("offset"), ctx.attr("cols"))).astype(
        ctx.attr("dtype")
    )


@register_fold("triu_indices")
def _triu_indices(ctx: OpContext) -> KnownArray:
    return np.stack(np.triu_indices(ctx.attr("row"), ctx.attr("offset"), ctx.attr("col"))).astype(
        ctx.attr("dtype")
    )


def _diagonal_of(ctx: OpContext, offset: int, axis1: int, axis2: int) -> relax.Expr:
    """The diagonal over two axes as the last axis of the result."""
    shape = ctx.shape(0)
    axis1, axis2 = axis1 % len(shape), axis2 % len(shape)
    rows, columns = shape[axis1], shape[axis2]
    bounds = Bounds(rows, columns)
    if offset >= 0:
        length = bounds.minimum(rows, bounds.simplify(columns - offset))
    else:
        length = bounds.minimum(bounds.simplify(rows + offset), columns)
    length = bounds.maximum(length, 0)
    kept = [axis for axis in range(len(shape)) if axis not in (axis1, axis2)]

    def compute(source: te.Tensor, sizes: list[Any]) -> te.Tensor:
        def element(*index: Any) -> Any:
            where = dict(zip(kept, index[:-1], strict=True))
            where[axis1] = index[-1] - min(offset, 0)
            where[axis2] = index[-1] + max(offset, 0)
            return source(*[where[axis] for axis in range(len(where))])

        return te.compute(sizes, element, name="diagonal")

    return ctx.emit_te(
        compute, ctx.input(0), as_exprs([*(shape[axis] for axis in kept), length]), name="diagonal"
    )


def _on_diagonal(ctx: OpContext, offset: int, dim1: int, dim2: int, padding: float) -> relax.Expr:
    """Matrices over two axes of the result with the input's last axis on a diagonal."""
    shape = ctx.shape(0)
    rank = len(shape) + 1
    dim1, dim2 = dim1 % rank, dim2 % rank
    size = ctx.simplify(shape[-1] + abs(offset))
    sizes: list[Dim] = list(shape[:-1])
    for axis in sorted((dim1, dim2)):
        sizes.insert(axis, size)

    def compute(source: te.Tensor, target: list[Any]) -> te.Tensor:
        def element(*index: Any) -> Any:
            rest = [i for axis, i in enumerate(index) if axis not in (dim1, dim2)]
            row, column = index[dim1] + min(offset, 0), index[dim2] - max(offset, 0)
            return tirx.if_then_else(
                tirx.all(tirx.EQ(row, column), row >= 0, row < source.shape[-1]),
                source(*rest, row),
                tirx.const(padding, source.dtype),
            )

        return te.compute(target, element, name="diag_embed")

    return ctx.emit_te(compute, ctx.input(0), as_exprs(sizes), name="diag_embed")


@register("diagonal")
def _diagonal(ctx: OpContext) -> Converted:
    return _diagonal_of(ctx, ctx.attr("offset"), ctx.attr("axis1"), ctx.attr("axis2"))


@register("diag_embed")
def _diag_embed(ctx: OpContext) -> Converted:
    return _on_diagonal(ctx, ctx.attr("offset"), ctx.attr("dim1"), ctx.attr("dim2"), 0)


@register("diag")
def _diag(ctx: OpContext) -> Converted:
    if ctx.ndim(0) == 2:
        return _diagonal_of(ctx, ctx.attr("offset"), 0, 1)
    return _on_diagonal(ctx, ctx.attr("offset"), 0, 1, ctx.attr("padding_value"))


@register("trace")
def _trace(ctx: OpContext) -> Converted:
    diagonal = ctx.emit(_diagonal_of(ctx, ctx.attr("offset"), ctx.attr("axis1"), ctx.attr("axis2")))
    if ctx.dtype(0) in ("bool", "int32") and ctx.output_dtype == "int64":
        diagonal = ctx.emit(relax.op.astype(diagonal, "int64"))
    return relax.op.sum(diagonal, axis=[-1])
