"""Operators that write elements by index tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tvm import relax, te, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, as_expr, as_exprs, shape_of
from paddle_tvm.compiler.frontends.paddle.ops.broadcasting import broadcast_shape, expand_to
from paddle_tvm.compiler.frontends.paddle.ops.reshape import product_of, reshape_to
from paddle_tvm.compiler.frontends.paddle.ops.slicing import clamped_index
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register

# Elements of one row that a thread works on.
_BLOCK = 64

_Combine = Callable[[Any, Any], Any]
_COMBINE: dict[str, _Combine] = {
    "assign": lambda old, new: new,
    "add": lambda old, new: old + new,
    "mul": lambda old, new: old * new,
    "multiply": lambda old, new: old * new,
    "amin": tirx.min,
    "amax": tirx.max,
}
_IDENTITY: dict[str, Callable[[str], tirx.Expr]] = {
    "add": lambda dtype: tirx.const(0, dtype),
    "mul": lambda dtype: tirx.const(1, dtype),
    "multiply": lambda dtype: tirx.const(1, dtype),
    "amin": tirx.max_value,
    "amax": tirx.min_value,
}


def _scatter_kernel(dtype: str, reduce: str, include_self: bool, index_per_element: bool) -> tirx.PrimFunc:
    """Write ``updates[o, k, i]`` to ``out[o, index[k], i]``, in the order of ``k``: the last one counts.

    Writes to one row depend on each other, so threads share the other two axes among them. With
    ``index_per_element`` the index is that of ``[o, k, i]``.
    """
    with IRBuilder() as builder, T.prim_func(s_tir=True, is_private=True):
        T.func_attr({"tirx.is_scheduled": True, "tirx.noalias": True})
        outer, rows, inner, count = (tirx.Var(name, "int64") for name in ("outer", "rows", "inner", "count"))
        data = T.match_buffer(T.arg("data", T.handle()), (outer, rows, inner), dtype)
        index_shape = (outer, count, inner) if index_per_element else (count,)
        index = T.match_buffer(T.arg("index", T.handle()), index_shape, "int64")
        updates = T.match_buffer(T.arg("updates", T.handle()), (outer, count, inner), dtype)
        out = T.match_buffer(T.arg("out", T.handle()), (outer, rows, inner), dtype)
        blocks = (inner + (_BLOCK - 1)) // _BLOCK
        with T.parallel(0, outer * blocks) as task:
            o, first = task // blocks, task % blocks * _BLOCK
            width = tirx.min(inner - first, tirx.IntImm("int64", _BLOCK))

            def position(k: Any, i: Any) -> Any:
                return index[o, k, i] if index_per_element else index[k]

            with T.serial(0, rows) as row, T.serial(0, width) as i:
                T.buffer_store(out, data[o, row, first + i], [o, row, first + i])
            if not include_self and reduce != "assign":
                with T.serial(0, count) as k, T.serial(0, width) as i:
                    T.buffer_store(out, _IDENTITY[reduce](dtype), [o, position(k, first + i), first + i])
            with T.serial(0, count) as k, T.serial(0, width) as i:
                row = position(k, first + i)
                value = _COMBINE[reduce](out[o, row, first + i], updates[o, k, first + i])
                T.buffer_store(out, value, [o, row, first + i])
    return builder.get()


def _scatter(
    ctx: OpContext,
    data: relax.Expr,
    index: relax.Expr,
    updates: relax.Expr,
    reduce: str = "assign",
    include_self: bool = True,
) -> relax.Expr:
    """Scatter into ``data`` (outer, rows, inner); ``index`` is (count,) or (outer, count, inner)."""
    if reduce not in _COMBINE:
        raise ctx.unsupported(f"reduce '{reduce}' is not supported; it can be {', '.join(_COMBINE)}")
    outer, _, inner = shape_of(data)
    count = shape_of(index)[-2 if len(shape_of(index)) == 3 else 0]
    updates = ctx.require_equal(updates, [outer, count, inner])
    if str(updates.ty.dtype) != ctx.dtype(0):
        updates = ctx.emit(relax.op.astype(updates, ctx.dtype(0)))
    kernel = _scatter_kernel(ctx.dtype(0), reduce, include_self, len(shape_of(index)) == 3)
    function = ctx.builder.add_func(kernel, "scatter")
    return ctx.emit(relax.call_tir(function, [data, index, updates], data.ty))


def _rows(ctx: OpContext, index: relax.Expr, sizes: Sequence[Dim]) -> relax.Expr:
    """Row numbers (count,) of index tuples (count, depth) over leading dimensions of the given sizes."""

    def compute(tuples: te.Tensor, dims: list[Any]) -> te.Tensor:
        def element(k: Any) -> Any:
            row: Any = tirx.IntImm("int64", 0)
            for axis, size in enumerate(dims):
                row = row * size + clamped_index(tuples(k, axis), size)
            return row

        return te.compute([tuples.shape[0]], element, name="rows")

    return ctx.emit_te(compute, index, as_exprs(sizes), name="rows")


def _scatter_tuples(
    ctx: OpContext, index: relax.Expr, updates: relax.Expr, reduce: str, include_self: bool = True
) -> relax.Expr:
    """Scatter slices of operand 0 at index tuples (..., depth)."""
    shape = ctx.shape(0)
    depth = shape_of(index)[-1]
    if not isinstance(depth, int):
        raise ctx.unsupported(
            "the last dimension of the index says how many axes it reads; fix it with --shape"
        )
    count = product_of(ctx, shape_of(index)[:-1])
    inner = product_of(ctx, shape[depth:])
    rows = _rows(ctx, reshape_to(ctx, index, [count, depth]), shape[:depth])
    data = reshape_to(ctx, ctx.input(0), [1, product_of(ctx, shape[:depth]), inner])
    updates = reshape_to(ctx, updates, [1, count, inner])
    return reshape_to(ctx, _scatter(ctx, data, rows, updates, reduce, include_self), shape)


@register("scatter", "scatter_")
def _scatter_op(ctx: OpContext) -> Converted:
    index = ctx.input(1)
    index = reshape_to(ctx, index, [product_of(ctx, shape_of(index)), 1])
    # Without overwrite Paddle clears the rows first, then adds what is written to them.
    if ctx.attr("overwrite"):
        return _scatter_tuples(ctx, index, ctx.input(2), "assign")
    return _scatter_tuples(ctx, index, ctx.input(2), "add", include_self=False)


@register("scatter_nd_add")
def _scatter_nd_add(ctx: OpContext) -> Converted:
    return _scatter_tuples(ctx, ctx.input(1), ctx.input(2), "add")


@register("index_put", "index_put_")
def _index_put(ctx: OpContext) -> Converted:
    shape, indices, value = ctx.shape(0), ctx.inputs(1), ctx.input(2)
    if any(str(index.ty.dtype) == "bool" for index in indices):
        return _masked_put(ctx, indices, value)
    batch = broadcast_shape(ctx, [shape_of(index) for index in indices])
    columns = [
        ctx.emit(relax.op.expand_dims(relax.op.astype(expand_to(ctx, index, batch), "int64"), len(batch)))
        for index in indices
    ]
    index = columns[0] if len(columns) == 1 else ctx.emit(relax.op.concat(columns, len(batch)))
    value = expand_to(ctx, value, [*batch, *shape[len(indices) :]])
    return _scatter_tuples(ctx, index, value, "add" if ctx.attr("accumulate") else "assign")


def _masked_put(ctx: OpContext, indices: list[relax.Expr], value: relax.Expr) -> relax.Expr:
    data, shape = ctx.input(0), ctx.shape(0)
    mask = indices[0]
    rank = len(shape_of(mask))
    if len(indices) > 1 or any(not ctx.is_equal(dim, 1) for dim in shape_of(value)):
        raise ctx.unsupported("writing through a mask works with one mask and a single value")
    mask = reshape_to(ctx, mask, [*shape_of(mask), *[1] * (len(shape) - rank)])
    new = ctx.emit(relax.op.reshape(value, []))
    if ctx.attr("accumulate"):
        new = ctx.emit(relax.op.add(data, new))
    return relax.op.where(expand_to(ctx, mask, shape), new, data)


@register("index_add", "index_add_")
def _index_add(ctx: OpContext) -> Converted:
    shape = ctx.shape(0)
    axis = ctx.attr("axis") % len(shape)
    index = ctx.input(1)
    count = product_of(ctx, shape_of(index))
    outer, inner = product_of(ctx, shape[:axis]), product_of(ctx, shape[axis + 1 :])
    rows = _rows(ctx, reshape_to(ctx, index, [count, 1]), [shape[axis]])
    data = reshape_to(ctx, ctx.input(0), [outer, shape[axis], inner])
    updates = ctx.require_equal(ctx.input(2), [count if i == axis else dim for i, dim in enumerate(shape)])
    updates = reshape_to(ctx, updates, [outer, count, inner])
    return reshape_to(ctx, _scatter(ctx, data, rows, updates, "add"), shape)


@register("put_along_axis", "put_along_axis_")
def _put_along_axis(ctx: OpContext) -> Converted:
    shape, index_shape = ctx.shape(0), ctx.shape(1)
    axis = ctx.attr("axis") % len(shape)
    reduce, include_self = ctx.attr("reduce"), ctx.attr("include_self", True)
    index = ctx.input(1)
    updates = expand_to(ctx, ctx.input(2), index_shape)
    others = [i for i in range(len(shape)) if i != axis]
    if not all(ctx.is_equal(shape[i], index_shape[i]) for i in others):
        # The index covers a part of the other axes: no rows that threads could share.
        return _put_elements(ctx, index, updates, axis, reduce, include_self)
    outer, inner = product_of(ctx, shape[:axis]), product_of(ctx, shape[axis + 1 :])

    def compute(positions: te.Tensor, size: Any) -> te.Tensor:
        return te.compute(
            positions.shape,
            lambda *where: clamped_index(positions(*where), size),
            name="rows",
        )

    index = reshape_to(ctx, index, [outer, index_shape[axis], inner])
    rows = ctx.emit_te(compute, index, as_expr(shape[axis]), name="rows")
    data = reshape_to(ctx, ctx.input(0), [outer, shape[axis], inner])
    updates = reshape_to(ctx, updates, [outer, index_shape[axis], inner])
    return reshape_to(ctx, _scatter(ctx, data, rows, updates, reduce, include_self), shape)


def _put_elements(
    ctx: OpContext, index: relax.Expr, updates: relax.Expr, axis: int, reduce: str, include_self: bool
) -> relax.Expr:
    shape, sizes = ctx.shape(0), shape_of(index)

    def compute(positions: te.Tensor, dims: list[Any]) -> te.Tensor:
        def element(*where: Any) -> Any:
            row: Any = tirx.IntImm("int64", 0)
            for i, size in enumerate(dims):
                position = clamped_index(positions(*where) if i == axis else where[i], size)
                row = row * size + position
            return row

        return te.compute(positions.shape, element, name="rows")

    count, total = product_of(ctx, sizes), product_of(ctx, shape)
    rows = reshape_to(ctx, ctx.emit_te(compute, index, as_exprs(shape), name="rows"), [count])
    data = reshape_to(ctx, ctx.input(0), [1, total, 1])
    updates = reshape_to(ctx, updates, [1, count, 1])
    return reshape_to(ctx, _scatter(ctx, data, rows, updates, reduce, include_self), shape)
