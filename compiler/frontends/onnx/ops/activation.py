"""Activations and extremes, which keep a NaN as ONNX Runtime does: TVM 0.27's converters lose it.

They are made of Relax operators, through which the layout pass carries a blocked layout.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
from tvm import ir, relax

from paddle_tvm.compiler.frontends.onnx.context import NodeContext
from paddle_tvm.compiler.frontends.onnx.registry import register
from paddle_tvm.compiler.frontends.paddle.ops.pointwise import BinaryBuilder, is_float, scalar


def _between(ctx: NodeContext, x: relax.Expr, low: relax.Expr, high: relax.Expr) -> relax.Expr:
    # Of unordered values TVM takes the second one: this order keeps a NaN of x, and takes no bound of NaN.
    return ctx.emit(relax.op.minimum(high, ctx.emit(relax.op.maximum(low, x))))


def _clamped(ctx: NodeContext, x: relax.Expr, low: float, high: float) -> relax.Expr:
    dtype = ctx.dtype(0)
    return _between(ctx, x, scalar(low, dtype), scalar(high, dtype))


@register("Clip")
def _clip(ctx: NodeContext) -> relax.Expr:
    dtype = ctx.dtype(0)
    limits = np.finfo(dtype) if is_float(dtype) else np.iinfo(dtype)
    bounds = []
    for index, name, limit in ((1, "min", limits.min), (2, "max", limits.max)):
        if ctx.has_input(index):
            bounds.append(ctx.emit(relax.op.reshape(ctx.input(index), ())))
        else:
            bounds.append(scalar(ctx.attr(name, limit), dtype))
    return _between(ctx, ctx.input(0), *bounds)


@register("Relu")
def _relu(ctx: NodeContext) -> relax.Expr:
    return relax.op.maximum(scalar(0, ctx.dtype(0)), ctx.input(0))


@register("HardSigmoid")
def _hard_sigmoid(ctx: NodeContext) -> relax.Expr:
    slope, offset = (scalar(ctx.attr(*pair), ctx.dtype(0)) for pair in (("alpha", 0.2), ("beta", 0.5)))
    return _clamped(
        ctx, ctx.emit(relax.op.add(ctx.emit(relax.op.multiply(ctx.input(0), slope)), offset)), 0, 1
    )


@register("HardSwish")
def _hard_swish(ctx: NodeContext) -> relax.Expr:
    x, dtype = ctx.input(0), ctx.dtype(0)
    gate = _clamped(ctx, ctx.emit(relax.op.add(x, scalar(3, dtype))), 0, 6)
    return relax.op.multiply(ctx.emit(relax.op.multiply(x, gate)), scalar(1 / 6, dtype))


@register("Elu")
def _elu(ctx: NodeContext) -> relax.Expr:
    return _exponential_below_zero(ctx, ctx.attr("alpha", 1.0), 1.0)


@register("Selu")
def _selu(ctx: NodeContext) -> relax.Expr:
    gamma = ctx.attr("gamma", 1.05070102214813232421875)
    return _exponential_below_zero(ctx, gamma * ctx.attr("alpha", 1.67326319217681884765625), gamma)


def _exponential_below_zero(ctx: NodeContext, below: float, above: float) -> relax.Expr:
    x, dtype = ctx.input(0), ctx.dtype(0)
    grown = ctx.emit(relax.op.subtract(ctx.emit(relax.op.exp(x)), scalar(1, dtype)))
    negative = ctx.emit(relax.op.less(x, scalar(0, dtype)))
    scaled = [
        ctx.emit(relax.op.multiply(part, scalar(factor, dtype)))
        for part, factor in ((grown, below), (x, above))
    ]
    return relax.op.where(negative, *scaled)


@register("ThresholdedRelu")
def _thresholded_relu(ctx: NodeContext) -> relax.Expr:
    x, dtype = ctx.input(0), ctx.dtype(0)
    above = ctx.emit(relax.op.greater(x, scalar(ctx.attr("alpha", 1.0), dtype)))
    return relax.op.where(above, x, scalar(0, dtype))


@register("Sign")
def _sign(ctx: NodeContext) -> relax.Expr:
    x, dtype = ctx.input(0), ctx.dtype(0)
    if not is_float(dtype):
        return relax.op.sign(x)
    zero = scalar(0, dtype)
    rest = ctx.emit(relax.op.where(ctx.emit(relax.op.less(x, zero)), scalar(-1, dtype), x))
    return relax.op.where(ctx.emit(relax.op.greater(x, zero)), scalar(1, dtype), rest)


@register("Max")
def _max(ctx: NodeContext) -> relax.Expr:
    return _extreme(ctx, relax.op.maximum, relax.op.greater, relax.op.less_equal)


@register("Min")
def _min(ctx: NodeContext) -> relax.Expr:
    return _extreme(ctx, relax.op.minimum, relax.op.less, relax.op.greater_equal)


def _extreme(
    ctx: NodeContext, choose: BinaryBuilder, takes_left: BinaryBuilder, takes_right: BinaryBuilder
) -> relax.Expr:
    if not is_float(ctx.dtype(0)):
        return reduce(lambda a, b: ctx.emit(choose(a, b)), _operands(ctx))

    def keep_nan(a: relax.Expr, b: relax.Expr) -> relax.Expr:
        if isinstance(a, ir.Constant) or isinstance(b, ir.Constant):
            number, other = (a, b) if isinstance(a, ir.Constant) else (b, a)
            if not np.isnan(number.value.numpy()).any():
                return ctx.emit(choose(number, other))
        # The sum of a NaN and anything is a NaN.
        unless_left = ctx.emit(relax.op.where(ctx.emit(takes_right(a, b)), b, ctx.emit(relax.op.add(a, b))))
        return ctx.emit(relax.op.where(ctx.emit(takes_left(a, b)), a, unless_left))

    return reduce(keep_nan, _operands(ctx))


def _operands(ctx: NodeContext) -> list[relax.Expr]:
    return ctx.broadcast([value.expr(ctx.builder) for value in ctx.operands if value is not None])
