"""Operators that read elements by index tensors."""

from __future__ import annotations

from typing import Any

from tvm import relax, te, tirx

from paddle_tvm.compiler.frontends.paddle.context import OpContext, as_exprs, shape_of
from paddle_tvm.compiler.frontends.paddle.ops.slicing import clamped_index
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register
from paddle_tvm.targets.meaning import means


def take(ctx: OpContext, data: relax.Expr, index: relax.Expr, axis: int, name: str) -> relax.Expr:
    """``data`` at ``index`` along an axis; the index's dimensions take the axis's place."""
    shape, index_shape = shape_of(data), shape_of(index)
    ndim = len(index_shape)
    sizes = [*shape[:axis], *index_shape, *shape[axis + 1 :]]

    def compute(source: te.Tensor, positions: te.Tensor, target: list[Any]) -> te.Tensor:
        def element(*where: Any) -> Any:
            position = positions(*where[axis : axis + ndim]) if ndim else positions()
            position = clamped_index(position, source.shape[axis])
            return source(*where[:axis], position, *where[axis + ndim :])

        return te.compute(target, element, name=name)

    meaning = means("Gather", 0, 1, axis=axis)
    return ctx.emit_te(compute, data, index, as_exprs(sizes), name=name, attributes=meaning)


def _vector(ctx: OpContext, index: relax.Expr) -> relax.Expr:
    """Paddle reads an index of shape (n, 1) as (n,)."""
    shape = shape_of(index)
    if len(shape) == 2 and isinstance(shape[1], int) and shape[1] == 1:
        return ctx.emit(relax.op.squeeze(index, [1]))
    return index


@register("gather")
def _gather(ctx: OpContext) -> Converted:
    axis = ctx.axes(2, ctx.ndim(0))[0] if ctx.has_input(2) else 0
    return take(ctx, ctx.input(0), _vector(ctx, ctx.input(1)), axis, "gather")


@register("index_select")
def _index_select(ctx: OpContext) -> Converted:
    axis = ctx.attr("axis") % ctx.ndim(0)
    return take(ctx, ctx.input(0), _vector(ctx, ctx.input(1)), axis, "index_select")


@register("gather_nd")
def _gather_nd(ctx: OpContext) -> Converted:
    shape, index_shape = ctx.shape(0), ctx.shape(1)
    depth = index_shape[-1]
    if not isinstance(depth, int):
        raise ctx.unsupported(
            "the last dimension of the index says how many axes it reads; fix it with --shape"
        )
    batch = len(index_shape) - 1
    sizes = [*index_shape[:-1], *shape[depth:]]

    def compute(source: te.Tensor, positions: te.Tensor, target: list[Any]) -> te.Tensor:
        def element(*where: Any) -> Any:
            leading = [
                clamped_index(positions(*where[:batch], axis), source.shape[axis]) for axis in range(depth)
            ]
            return source(*leading, *where[batch:])

        return te.compute(target, element, name="gather_nd")

    meaning = means("GatherND", 0, 1)
    return ctx.emit_te(
        compute, ctx.input(0), ctx.input(1), as_exprs(sizes), name="gather_nd", attributes=meaning
    )


def _along_axis(ctx: OpContext, axis: int, name: str) -> relax.Expr:
    def compute(source: te.Tensor, positions: te.Tensor) -> te.Tensor:
        def element(*where: Any) -> Any:
            position = clamped_index(positions(*where), source.shape[axis])
            # The other axes of the index may be shorter than the tensor's, never longer.
            return source(*where[:axis], position, *where[axis + 1 :])

        return te.compute(positions.shape, element, name=name)

    meaning = means("GatherElements", 0, 1, axis=axis)
    return ctx.emit_te(compute, ctx.input(0), ctx.input(1), name=name, attributes=meaning)


@register("take_along_axis")
def _take_along_axis(ctx: OpContext) -> Converted:
    return _along_axis(ctx, ctx.attr("axis") % ctx.ndim(0), "take_along_axis")


@register("index_sample")
def _index_sample(ctx: OpContext) -> Converted:
    return _along_axis(ctx, 1, "index_sample")


@register("embedding")
def _embedding(ctx: OpContext) -> Converted:
    padding = ctx.attr("padding_idx")
    if padding == -1:
        return take(ctx, ctx.input(1), ctx.input(0), 0, "embedding")
    ndim = ctx.ndim(0)
    sizes = [*ctx.shape(0), *ctx.shape(1)[1:]]

    def compute(table: te.Tensor, ids: te.Tensor, target: list[Any]) -> te.Tensor:
        def element(*where: Any) -> Any:
            token = ids(*where[:ndim])
            return tirx.if_then_else(
                tirx.EQ(token, tirx.const(padding, token.ty.dtype)),
                tirx.const(0, table.dtype),
                table(clamped_index(token, table.shape[0]), *where[ndim:]),
            )

        return te.compute(target, element, name="embedding")

    return ctx.emit_te(compute, ctx.input(1), ctx.input(0), as_exprs(sizes), name="embedding")


@register("multiplex")
def _multiplex(ctx: OpContext) -> Converted:
    choices = ctx.inputs(0)
    shape = shape_of(choices[0])
    choices = [ctx.require_equal(choice, shape) for choice in choices]

    def compute(chosen: te.Tensor, tensors: list[te.Tensor]) -> te.Tensor:
        def element(*where: Any) -> Any:
            number = chosen(where[0], 0)
            value = tensors[-1](*where)
            for position, tensor in list(enumerate(tensors))[-2::-1]:
                value = tirx.Select(tirx.EQ(number, position), tensor(*where), value)
            return value

        return te.compute(tensors[0].shape, element, name="multiplex")

    return ctx.emit_te(compute, ctx.input(1), choices, name="multiplex")


@register("shard_index")
def _shard_index(ctx: OpContext) -> Converted:
    shards, shard = ctx.attr("nshards"), ctx.attr("shard_id")
    size = (ctx.attr("index_num") + shards - 1) // shards

    def compute(index: te.Tensor) -> te.Tensor:
        return te.compute(
            index.shape,
            lambda *where: tirx.Select(
                tirx.EQ(tirx.floordiv(index(*where), size), shard),
                tirx.floormod(index(*where), size),
                tirx.const(ctx.attr("ignore_value"), index.dtype),
            ),
            name="shard_index",
        )

    return ctx.emit_te(compute, ctx.input(0), name="shard_index")


@register("searchsorted")
def _searchsorted(ctx: OpContext) -> Converted:
    dtype = "int32" if ctx.attr("out_int32") else "int64"
    right, flat = ctx.attr("right"), ctx.ndim(0) == 1

    # Counting what lies before a value vectorises, and the sequences of models are short.
    def compute(sequence: te.Tensor, values: te.Tensor) -> te.Tensor:
        step = te.reduce_axis((0, sequence.shape[-1]), name="step")

        def element(*where: Any) -> Any:
            edge = sequence(step) if flat else sequence(*where[:-1], step)
            value = values(*where)
            before = edge <= value if right else edge < value
            return te.sum(before.astype(dtype), axis=step)

        return te.compute(values.shape, element, name="searchsorted")

    return ctx.emit_te(compute, ctx.input(0), ctx.input(1), name="searchsorted")


@register("roll")
def _roll(ctx: OpContext) -> Converted:
    data, shape = ctx.input(0), ctx.shape(0)
    shifts, axes = ctx.dims(1), ctx.attr("axis")
    flattened = not axes
    if flattened:
        data = ctx.emit(relax.op.flatten(data))
        axes = [0]
    rank = len(shape_of(data))
    axes = [axis % rank for axis in axes]

    def compute(source: te.Tensor, by: list[Any]) -> te.Tensor:
        def element(*where: Any) -> Any:
            position = list(where)
            for axis, shift in zip(axes, by, strict=True):
                size = source.shape[axis]
                # No modulo of the index: TVM 0.27 merges (i + 2) % 3 * 4 + (j + 2) % 4 over a fused loop
                # of i and j into one wrong modulo when it flattens the buffer.
                moved = position[axis] - tirx.floormod(shift, size)
                position[axis] = tirx.Select(moved < 0, moved + size, moved)
            return source(*position)

        return te.compute(source.shape, element, name="roll")

    rolled = ctx.emit_te(compute, data, as_exprs(shifts), name="roll")
    return relax.op.reshape(rolled, shape) if flattened else rolled
