"""Cumulative operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import relax, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from paddle_tvm.compiler.frontends.paddle.context import OpContext, shape_of
from paddle_tvm.compiler.frontends.paddle.ops.pointwise import dtype_of, is_float
from paddle_tvm.compiler.frontends.paddle.ops.reshape import product_of
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register
from paddle_tvm.targets.meaning import Operand, means

# Elements beside each other that a thread scans together.
_BLOCK = 64

_Combine = Callable[[Any, Any], Any]


def _scan_kernel(
    dtype: str, combine: _Combine, start: float, exclusive: bool, reverse: bool
) -> tirx.PrimFunc:
    """Scan ``(outer, length, inner)`` along the middle axis."""
    with IRBuilder() as builder, T.prim_func(s_tir=True, is_private=True):
        T.func_attr({"tirx.is_scheduled": True, "tirx.noalias": True, "op_pattern": 8})
        outer, length, inner = (tirx.Var(name, "int64") for name in ("outer", "length", "inner"))
        data = T.match_buffer(T.arg("data", T.handle()), (outer, length, inner), dtype)
        out = T.match_buffer(T.arg("out", T.handle()), (outer, length, inner), dtype)
        blocks = (inner + (_BLOCK - 1)) // _BLOCK
        with T.sblock("root"), T.parallel(0, outer * blocks) as task:
            o, first = task // blocks, task % blocks * _BLOCK
            width = tirx.min(inner - first, tirx.IntImm("int64", _BLOCK))

            def row(step: Any) -> Any:
                return length - 1 - step if reverse else step

            with T.serial(0, tirx.min(length, tirx.IntImm("int64", 1))) as step, T.serial(0, width) as i:
                begin = tirx.const(start, dtype) if exclusive else data[o, row(step), first + i]
                T.buffer_store(out, begin, [o, row(step), first + i])
            with T.serial(0, tirx.max(length - 1, tirx.IntImm("int64", 0))) as step, T.serial(0, width) as i:
                before = row(step)
                here = row(step + 1)
                added = data[o, before if exclusive else here, first + i]
                T.buffer_store(out, combine(out[o, before, first + i], added), [o, here, first + i])
    return builder.get()


def _extreme_kernel(dtype: str, index_dtype: str, better: _Combine) -> tirx.PrimFunc:
    """The best value so far along the middle axis, and where it stands; of equal ones the last."""
    with IRBuilder() as builder, T.prim_func(s_tir=True, is_private=True):
        T.func_attr({"tirx.is_scheduled": True, "tirx.noalias": True, "op_pattern": 8})
        shape = tuple(tirx.Var(name, "int64") for name in ("outer", "length", "inner"))
        outer, length, inner = shape
        data = T.match_buffer(T.arg("data", T.handle()), shape, dtype)
        values = T.match_buffer(T.arg("values", T.handle()), shape, dtype)
        indices = T.match_buffer(T.arg("indices", T.handle()), shape, index_dtype)
        with T.sblock("root"), T.parallel(0, outer * inner) as task:
            o, i = task // inner, task % inner
            with T.serial(0, length) as step:
                before = tirx.max(step - 1, tirx.IntImm("int64", 0))
                here, best = data[o, step, i], values[o, before, i]
                is_better = tirx.any(step == 0, better(here, best))
                place = tirx.Select(is_better, step.astype(index_dtype), indices[o, before, i])
                T.buffer_store(indices, place, [o, step, i])
                T.buffer_store(values, tirx.Select(is_better, here, best), [o, step, i])
    return builder.get()


def _as_3d(ctx: OpContext, x: relax.Expr, axis: int) -> relax.Expr:
    shape = shape_of(x)
    return ctx.emit(
        relax.op.reshape(x, [product_of(ctx, shape[:axis]), shape[axis], product_of(ctx, shape[axis + 1 :])])
    )


@dataclass(frozen=True)
class _Scan:
    """What a scan is called, what it does, what it starts with, and what ONNX calls it, where it does."""

    name: str
    combine: _Combine
    start: float
    onnx: str | None = None


_SUM = _Scan("cumsum", lambda total, x: total + x, 0, "CumSum")
_PRODUCT = _Scan("cumprod", lambda total, x: total * x, 1)


def _scan_along(
    ctx: OpContext, x: relax.Expr, axis: int, scan: _Scan, exclusive: bool, reverse: bool
) -> relax.Expr:
    shape = shape_of(x)
    data = _as_3d(ctx, x, axis % len(shape))
    kernel = _scan_kernel(dtype_of(x), scan.combine, scan.start, exclusive, reverse)
    if scan.onnx is not None:
        middle = Operand(dtype="int64", value=1)
        kernel = kernel.with_attrs(
            means(scan.onnx, 0, middle, exclusive=int(exclusive), reverse=int(reverse))
        )
    function = ctx.builder.add_func(kernel, scan.name)
    return relax.op.reshape(ctx.emit(relax.call_tir(function, [data], data.ty)), shape)


def running_sum(ctx: OpContext, x: relax.Expr, axis: int, *, exclusive: bool, reverse: bool) -> relax.Expr:
    """Sums along an axis of all elements up to each, of a tensor of rank 1 or more.

    ``exclusive`` leaves the element itself out, and ``reverse`` begins at the end, as in Paddle's ``cumsum``
    and ONNX's ``CumSum``.
    """
    return _scan_along(ctx, x, axis, _SUM, exclusive, reverse)


def _convert(ctx: OpContext, axis: int, flatten: bool, scan: _Scan) -> Converted:
    x = ctx.input(0)
    if ctx.ndim(0) == 0:
        return ctx.emit(relax.op.reshape(x, [1])) if flatten else x
    if flatten:
        x, axis = ctx.emit(relax.op.flatten(x)), 0
    return _scan_along(ctx, x, axis, scan, bool(ctx.attr("exclusive")), bool(ctx.attr("reverse")))


@register("cumsum", "cumsum_")
def _cumsum(ctx: OpContext) -> Converted:
    return _convert(ctx, ctx.ints(1)[0], bool(ctx.attr("flatten")), _SUM)


@register("cumprod", "cumprod_")
def _cumprod(ctx: OpContext) -> Converted:
    return _convert(ctx, int(ctx.attr("dim")), False, _PRODUCT)


@register("logcumsumexp")
def _logcumsumexp(ctx: OpContext) -> Converted:
    lowest = tirx.min_value(ctx.dtype(0))

    def combine(total: Any, x: Any) -> Any:
        largest = tirx.max(total, x)
        added = largest + tirx.log1p(tirx.exp(tirx.min(total, x) - largest))
        return tirx.Select(largest < lowest, largest, added)

    scan = _Scan("logcumsumexp", combine, lowest.value)
    return _convert(ctx, int(ctx.attr("axis")), bool(ctx.attr("flatten")), scan)


def _register_extreme(name: str, at_least: _Combine) -> None:
    def better(here: Any, best: Any) -> Any:
        if not is_float(str(here.ty)):
            return at_least(here, best)
        return tirx.any(tirx.isnan(here), tirx.all(tirx.Not(tirx.isnan(best)), at_least(here, best)))

    def convert(ctx: OpContext) -> Converted:
        x = ctx.input(0)
        shape, index_dtype = shape_of(x), ctx.attr("dtype")
        if not shape:
            return [x, relax.op.zeros((), index_dtype)]
        data = _as_3d(ctx, x, int(ctx.attr("axis")) % len(shape))
        function = ctx.builder.add_func(_extreme_kernel(dtype_of(x), index_dtype, better), name)
        types = [data.ty, relax.TensorType(data.ty.shape, index_dtype)]
        both = ctx.emit(relax.call_tir(function, [data], types))
        return [relax.op.reshape(ctx.emit(relax.TupleGetItem(both, part)), shape) for part in (0, 1)]

    register(name)(convert)


_register_extreme("cummax", lambda here, best: here >= best)
_register_extreme("cummin", lambda here, best: here <= best)
