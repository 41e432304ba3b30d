"""Operators that repeat elements: expand, tile, repeat_interleave and their kin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import relax, te

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, as_exprs, shape_of
from paddle_tvm.compiler.frontends.paddle.ops.reshape import reshape_to
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


def expand_to(ctx: OpContext, data: relax.Expr, target: Sequence[Dim]) -> relax.Expr:
    """Broadcast to a shape where -1 keeps a dimension; what is not 1 must equal its partner."""
    own = shape_of(data)
    leading = len(target) - len(own)
    if leading < 0:
        raise ctx.unsupported(f"shape {own} has more dimensions than the shape {list(target)} to expand to")
    full: list[Dim] = []
    required: list[Dim] = []
    for axis, dim in enumerate(target):
        if axis < leading:
            full.append(dim)
            continue
        mine = own[axis - leading]
        kept = isinstance(dim, int) and dim == -1
        full.append(mine if kept else dim)
        required.append(mine if kept or (isinstance(mine, int) and mine == 1) else dim)
    if any(isinstance(dim, int) and dim < 0 for dim in full):
        raise ctx.unsupported(f"-1 stands before the first dimension of {own} in {list(target)}")
    for mine, needed in zip(own, required, strict=True):
        if isinstance(mine, int) and isinstance(needed, int) and mine != needed:
            raise ctx.unsupported(f"shape {own} cannot be expanded to {list(target)}")
    data = ctx.require_equal(data, required)
    if leading == 0 and all(ctx.is_equal(a, b) for a, b in zip(required, full, strict=True)):
        return data
    return ctx.emit(relax.op.broadcast_to(data, full))


def broadcast_shape(ctx: OpContext, shapes: Sequence[Sequence[Dim]]) -> list[Dim]:
    """The common shape of some shapes by NumPy's rules; a symbolic dimension is taken not to be 1."""
    rank = max(map(len, shapes))
    target: list[Dim] = [1] * rank
    for shape in shapes:
        for axis, dim in enumerate(shape, rank - len(shape)):
            if ctx.is_equal(target[axis], 1) or (isinstance(dim, int) and dim != 1):
                target[axis] = dim
    return target


@register("expand")
def _expand(ctx: OpContext) -> Converted:
    return expand_to(ctx, ctx.input(0), ctx.dims(1))


@register("expand_as")
def _expand_as(ctx: OpContext) -> Converted:
    target = ctx.shape(1) if ctx.has_input(1) else ctx.attr("target_shape")
    return expand_to(ctx, ctx.input(0), target)


@register("broadcast_tensors")
def _broadcast_tensors(ctx: OpContext) -> Converted:
    tensors = ctx.broadcast(ctx.inputs(0))
    shape = broadcast_shape(ctx, [shape_of(tensor) for tensor in tensors])
    return [[expand_to(ctx, tensor, shape) for tensor in tensors]]


@register("meshgrid")
def _meshgrid(ctx: OpContext) -> Converted:
    vectors = [
        tensor if shape_of(tensor) else ctx.emit(relax.op.reshape(tensor, [1])) for tensor in ctx.inputs(0)
    ]
    shape = [shape_of(vector)[0] for vector in vectors]
    grids = []
    for axis, vector in enumerate(vectors):
        column = reshape_to(ctx, vector, [shape[axis], *[1] * (len(shape) - axis - 1)])
        grids.append(expand_to(ctx, column, shape))
    return [grids]


def tile(ctx: OpContext, data: relax.Expr, repeats: Sequence[Dim]) -> relax.Expr:
    """Repeat a tensor along each axis; the shorter of shape and repeats is filled up with leading ones."""
    own = shape_of(data)
    rank = max(len(own), len(repeats))
    shape: list[Dim] = [1] * (rank - len(own)) + own
    times: list[Dim] = [1] * (rank - len(repeats)) + list(repeats)
    data = reshape_to(ctx, data, shape)
    target = [
        size if _is_one(count) else ctx.simplify(size * count)
        for size, count in zip(shape, times, strict=True)
    ]
    if all(_is_one(size) or _is_one(count) for size, count in zip(shape, times, strict=True)):
        # No index arithmetic is needed.
        return expand_to(ctx, data, target)

    # relax.op.tile of TVM 0.27 takes constant repeats alone.
    def compute(source: te.Tensor, sizes: list[Any]) -> te.Tensor:
        return te.compute(
            sizes,
            lambda *index: source(
                *[
                    i if _is_one(count) else i % size
                    for i, size, count in zip(index, source.shape, times, strict=True)
                ]
            ),
            name="tile",
        )

    return ctx.emit_te(compute, data, as_exprs(target), name="tile")


def _is_one(dim: Dim) -> bool:
    return isinstance(dim, int) and dim == 1


@register("tile")
def _tile(ctx: OpContext) -> Converted:
    return tile(ctx, ctx.input(0), ctx.dims(1))


@register("repeat_interleave")
def _repeat_interleave(ctx: OpContext) -> Converted:
    data, shape = ctx.input(0), ctx.shape(0)
    repeats, axis = ctx.attr("repeats"), ctx.attr("axis") % len(shape)
    target = [ctx.simplify(dim * repeats) if i == axis else dim for i, dim in enumerate(shape)]

    def compute(source: te.Tensor, sizes: list[Any]) -> te.Tensor:
        return te.compute(
            sizes,
            lambda *index: source(*index[:axis], index[axis] // repeats, *index[axis + 1 :]),
            name="repeat_interleave",
        )

    return ctx.emit_te(compute, data, as_exprs(target), name="repeat_interleave")
