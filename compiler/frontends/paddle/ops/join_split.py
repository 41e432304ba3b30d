"""Operators that join tensors, or take them apart along an axis."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import relax

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, shape_of
from paddle_tvm.compiler.frontends.paddle.ops.slicing import Span, slice_tensor
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


def concat(ctx: OpContext, tensors: Sequence[relax.Expr], axis: int) -> relax.Expr:
    """Concatenate; the other dimensions must be equal, which is checked at run time if need be."""
    shapes = [shape_of(tensor) for tensor in tensors]
    if len({len(shape) for shape in shapes}) > 1:
        raise ctx.unsupported(f"cannot concatenate tensors of different ranks: {shapes}")
    common = list(shapes[0])
    for shape in shapes:
        # A constant says more than a symbol.
        common = [dim if isinstance(dim, int) else known for dim, known in zip(shape, common, strict=True)]
    fitted = [
        ctx.require_equal(tensor, [shape[i] if i == axis else dim for i, dim in enumerate(common)])
        for tensor, shape in zip(tensors, shapes, strict=True)
    ]
    return fitted[0] if len(fitted) == 1 else ctx.emit(relax.op.concat(fitted, axis))


@register("concat")
def _concat(ctx: OpContext) -> Converted:
    tensors = ctx.inputs(0)
    return concat(ctx, tensors, ctx.ints(1)[0] % len(shape_of(tensors[0])))


@register("stack")
def _stack(ctx: OpContext) -> Converted:
    tensors = ctx.inputs(0)
    axis = ctx.attr("axis") % (len(shape_of(tensors[0])) + 1)
    return concat(ctx, [ctx.emit(relax.op.expand_dims(tensor, axis)) for tensor in tensors], axis)


def _pieces(ctx: OpContext, data: relax.Expr, axis: int, sizes: Sequence[Dim]) -> list[relax.Expr]:
    """Consecutive pieces as one slice each, so that each can fuse into what reads it."""
    pieces, start = [], ctx.simplify(0)
    for size in sizes:
        pieces.append(slice_tensor(ctx, data, {axis: Span(start, 1, size)}))
        start = ctx.simplify(start + size)
    return pieces


@register("split")
def _split(ctx: OpContext) -> Converted:
    shape = ctx.shape(0)
    axis = ctx.axes(2, len(shape))[0]
    sizes = ctx.dims(1)
    rest: Dim = shape[axis]
    for size in sizes:
        if not (isinstance(size, int) and size == -1):
            rest = rest - size
    rest = ctx.simplify(rest)
    if not any(isinstance(size, int) and size == -1 for size in sizes):
        return [_pieces(ctx, _of_length(ctx, axis, ctx.simplify(shape[axis] - rest)), axis, sizes)]
    sizes = [rest if isinstance(size, int) and size == -1 else size for size in sizes]
    return [_pieces(ctx, ctx.input(0), axis, sizes)]


def _of_length(ctx: OpContext, axis: int, length: Dim) -> relax.Expr:
    """The input, which must have that many elements along an axis."""
    shape = ctx.shape(0)
    if isinstance(length, int) and isinstance(shape[axis], int) and length != shape[axis]:
        raise ctx.unsupported(f"axis {axis} of shape {shape} has not {length} elements")
    return ctx.require_equal(ctx.input(0), [length if i == axis else dim for i, dim in enumerate(shape)])


@register("split_with_num")
def _split_with_num(ctx: OpContext) -> Converted:
    shape = ctx.shape(0)
    axis, num = ctx.axes(1, len(shape))[0], ctx.attr("num")
    size = ctx.simplify(shape[axis] // num)
    return [_pieces(ctx, _of_length(ctx, axis, ctx.simplify(size * num)), axis, [size] * num)]


@register("unbind")
def _unbind(ctx: OpContext) -> Converted:
    return _unstack(ctx, ctx.shape(0)[ctx.attr("axis")])


@register("unstack")
def _unstack_op(ctx: OpContext) -> Converted:
    return _unstack(ctx, ctx.attr("num"))


def _unstack(ctx: OpContext, num: Dim) -> Converted:
    shape = ctx.shape(0)
    axis = ctx.attr("axis") % len(shape)
    if not isinstance(num, int):
        raise ctx.unsupported(
            f"axis {axis} is dynamic, so the number of results is not known: fix it with --shape"
        )
    data = _of_length(ctx, axis, num)
    return [[relax.op.squeeze(piece, [axis]) for piece in _pieces(ctx, data, axis, [1] * num)]]


@register("builtin.split")
def _builtin_split(ctx: OpContext) -> Converted:
    return ctx.inputs(0)
