"""The inverse of maximum pooling."""

from __future__ import annotations

from typing import Any

from tvm import relax, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, as_exprs
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


@register("unpool")
def _unpool(ctx: OpContext) -> Converted:
    return _scatter(ctx, ctx.dims(2))


@register("unpool3d")
def _unpool3d(ctx: OpContext) -> Converted:
    return _scatter(ctx, ctx.attr("output_size"))


def _scatter(ctx: OpContext, sizes: list[Dim]) -> relax.Expr:
    n, c, *spatial = ctx.shape(0)
    count, total = (_product(ctx, dims) for dims in (spatial, sizes))
    index = ctx.require_equal(ctx.input(1), ctx.shape(0))
    flat = [
        ctx.emit(relax.op.reshape(tensor, as_exprs([ctx.simplify(n * c), count])))
        for tensor in (ctx.input(0), index)
    ]
    function = ctx.builder.add_func(_kernel(ctx.dtype(0), ctx.dtype(1)), "unpool")
    rows = relax.TensorType(as_exprs([ctx.simplify(n * c), total]), ctx.dtype(0))
    return relax.op.reshape(ctx.emit(relax.call_tir(function, flat, rows)), as_exprs([n, c, *sizes]))


def _product(ctx: OpContext, dims: list[Dim]) -> Dim:
    product: Dim = 1
    for dim in dims:
        product = product * dim
    return ctx.simplify(product)


def _kernel(dtype: str, index_dtype: str) -> tirx.PrimFunc:
    """``out[row, index[row, k]] = data[row, k]``, zero elsewhere; a thread has whole rows."""
    with IRBuilder() as builder, T.prim_func(s_tir=True, is_private=True):
        T.func_attr({"tirx.is_scheduled": True, "tirx.noalias": True, "op_pattern": 8})
        rows, count, total = (tirx.Var(name, "int64") for name in ("rows", "count", "total"))
        data = T.match_buffer(T.arg("data", T.handle()), (rows, count), dtype)
        index = T.match_buffer(T.arg("index", T.handle()), (rows, count), index_dtype)
        out = T.match_buffer(T.arg("out", T.handle()), (rows, total), dtype)
        with T.parallel(0, rows) as row:
            with T.serial(0, total) as i:
                T.buffer_store(out, tirx.const(0, dtype), [row, i])
            with T.serial(0, count) as k:
                place: Any = index[row, k].astype("int64")
                with T.If(tirx.all(place >= 0, place < total)), T.Then():
                    T.buffer_store(out, data[row, k], [row, place])
    return builder.get()
