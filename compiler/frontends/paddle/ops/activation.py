"""Activation functions.

What convolutional networks use between their convolutions is made of Relax operators, through which the
layout pass carries a blocked layout; the rest are tensor expressions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from tvm import relax, te, tirx

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext
from paddle_tvm.compiler.frontends.paddle.ops.pointwise import (
    UnaryBuilder,
    dtype_of,
    float_input,
    pointwise,
    scalar,
)
from paddle_tvm.compiler.frontends.paddle.ops.reduce import reduced, reduced_max
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


def _register_relax(name: str, build: UnaryBuilder) -> None:
    def convert(ctx: OpContext) -> Converted:
        return build(float_input(ctx))

    register(name, f"{name}_")(convert)


_register_relax("sigmoid", relax.op.sigmoid)
_register_relax("tanh", relax.op.tanh)
_register_relax("silu", relax.op.nn.silu)
_register_relax("swish", relax.op.nn.silu)


def _between(ctx: OpContext, x: relax.Expr, low: float, high: float) -> relax.Expr:
    # Not relax.op.clip, through which TVM 0.27 cannot carry a layout. Of unordered values TVM takes the
    # second one: this order keeps a NaN, as Paddle does, at no cost.
    raised = ctx.emit(relax.op.maximum(scalar(low, dtype_of(x)), x))
    return ctx.emit(relax.op.minimum(scalar(high, dtype_of(x)), raised))


@register("relu6")
def _relu6(ctx: OpContext) -> Converted:
    return _between(ctx, ctx.input(0), 0, 6)


@register("relu", "relu_")
def _relu(ctx: OpContext) -> Converted:
    # Alone among Paddle's activations it makes 0 of NaN, and so does Relax's.
    return relax.op.nn.relu(ctx.input(0))


@register("gelu", "gelu_")
def _gelu(ctx: OpContext) -> Converted:
    return (relax.op.nn.gelu_tanh if ctx.attr("approximate") else relax.op.nn.gelu)(ctx.input(0))


@register("leaky_relu", "leaky_relu_")
def _leaky_relu(ctx: OpContext) -> Converted:
    # Not relax.op.nn.leakyrelu, through which TVM 0.27 cannot carry a layout.
    x, slope = ctx.input(0), float(ctx.attr("negative_slope"))
    scaled = ctx.emit(relax.op.multiply(x, scalar(slope, dtype_of(x))))
    return (relax.op.maximum if slope < 1 else relax.op.minimum)(x, scaled)


@register("hardswish", "hardswish_")
def _hardswish(ctx: OpContext) -> Converted:
    x = ctx.input(0)
    gate = _between(ctx, ctx.emit(relax.op.add(x, scalar(3, dtype_of(x)))), 0, 6)
    return relax.op.multiply(ctx.emit(relax.op.multiply(x, gate)), scalar(1 / 6, dtype_of(x)))


@register("hardsigmoid", "hardsigmoid_")
def _hardsigmoid(ctx: OpContext) -> Converted:
    x = ctx.input(0)
    slope, offset = scalar(ctx.attr("slope"), dtype_of(x)), scalar(ctx.attr("offset"), dtype_of(x))
    return _between(ctx, ctx.emit(relax.op.add(ctx.emit(relax.op.multiply(x, slope)), offset)), 0, 1)


@register("hardtanh", "hardtanh_")
def _hardtanh(ctx: OpContext) -> Converted:
    return _between(ctx, ctx.input(0), float(ctx.attr("t_min")), float(ctx.attr("t_max")))


@register("softplus", "softplus_")
def _softplus(ctx: OpContext) -> Converted:
    beta, threshold = float(ctx.attr("beta")), float(ctx.attr("threshold"))
    return pointwise(
        ctx,
        lambda a: _softplus_of(a, beta, threshold),
        ctx.input(0),
        name="softplus",
        # From there on float32 has no digits for the difference.
        onnx="Softplus" if beta == 1 and threshold >= 17 else None,
    )


def _softplus_of(a: tirx.Expr, beta: float, threshold: float) -> tirx.Expr:
    scaled = a * tirx.const(beta, a.ty)
    # Both branches of a select are computed: keep the exponential finite.
    limit = tirx.const(threshold, a.ty)
    soft = tirx.log(tirx.const(1, a.ty) + tirx.exp(tirx.min(limit, scaled))) / tirx.const(beta, a.ty)
    return tirx.Select(scaled > limit, a, soft)


@register("mish")
def _mish(ctx: OpContext) -> Converted:
    x = ctx.input(0)
    # Beyond 20 the hyperbolic tangent of the softplus is 1, so the exponential may stay finite.
    power = ctx.emit(relax.op.exp(ctx.emit(relax.op.minimum(x, scalar(20, dtype_of(x))))))
    softplus = ctx.emit(relax.op.log(ctx.emit(relax.op.add(power, scalar(1, dtype_of(x))))))
    return relax.op.multiply(x, ctx.emit(relax.op.tanh(softplus)))


@register("softsign")
def _softsign(ctx: OpContext) -> Converted:
    x = ctx.input(0)
    return relax.op.divide(x, ctx.emit(relax.op.add(ctx.emit(relax.op.abs(x)), scalar(1, dtype_of(x)))))


Formula = Callable[..., tirx.Expr]


def _register_formula(
    *names: str, attrs: tuple[str, ...] = (), onnx: str | None = None
) -> Callable[[Formula], Formula]:
    """Register an activation written for one element: ``formula(x, *attributes)``.

    ``onnx`` is the operator of ONNX that it is, with the same attributes.
    """

    def decorate(formula: Formula) -> Formula:
        def convert(ctx: OpContext) -> Converted:
            def element(a: tirx.Expr) -> tirx.Expr:
                return formula(a, *[tirx.const(float(ctx.attr(attr)), a.ty) for attr in attrs])

            values = {attr: float(ctx.attr(attr)) for attr in attrs} if onnx else {}
            return pointwise(ctx, element, ctx.input(0), name=names[0], onnx=onnx, **values)

        register(*names)(convert)
        return formula

    return decorate


def _zero(a: tirx.Expr) -> tirx.Expr:
    return tirx.const(0, a.ty)


def _one(a: tirx.Expr) -> tirx.Expr:
    return tirx.const(1, a.ty)


@_register_formula("elu", "elu_", attrs=("alpha",), onnx="Elu")
def _elu(a: tirx.Expr, alpha: tirx.Expr) -> tirx.Expr:
    return tirx.Select(a < _zero(a), alpha * (tirx.exp(a) - _one(a)), a)


@_register_formula("celu", attrs=("alpha",), onnx="Celu")
def _celu(a: tirx.Expr, alpha: tirx.Expr) -> tirx.Expr:
    return tirx.Select(a < _zero(a), alpha * (tirx.exp(a / alpha) - _one(a)), a)


@_register_formula("selu", attrs=("scale", "alpha"))
def _selu(a: tirx.Expr, scale: tirx.Expr, alpha: tirx.Expr) -> tirx.Expr:
    return tirx.Select(a > _zero(a), scale * a, scale * (alpha * tirx.exp(a) - alpha))


# Paddle's kernels multiply with conditions, which makes NaN of NaN, and of an infinity that is cut off.
def _where(condition: tirx.Expr, a: tirx.Expr) -> tirx.Expr:
    return a * tirx.Select(condition, _one(a), _zero(a))


@_register_formula("hardshrink", "hard_shrink", attrs=("threshold",))
def _hardshrink(a: tirx.Expr, threshold: tirx.Expr) -> tirx.Expr:
    return _where(tirx.any(a <= -threshold, a >= threshold), a)


@_register_formula("softshrink", attrs=("threshold",))
def _softshrink(a: tirx.Expr, threshold: tirx.Expr) -> tirx.Expr:
    return _where(a > threshold, a - threshold) + _where(a < -threshold, a + threshold)


@_register_formula("tanh_shrink")
def _tanh_shrink(a: tirx.Expr) -> tirx.Expr:
    return a - tirx.tanh(a)


@_register_formula("thresholded_relu", "thresholded_relu_", attrs=("threshold", "value"))
def _thresholded_relu(a: tirx.Expr, threshold: tirx.Expr, value: tirx.Expr) -> tirx.Expr:
    return _where(a > threshold, a - value) + value


@_register_formula("logsigmoid")
def _logsigmoid(a: tirx.Expr) -> tirx.Expr:
    low = tirx.min(a, _zero(a))
    # The negative magnitude; of -Inf it is NaN, as in Paddle's kernel.
    return low - tirx.log1p(tirx.exp(low + (low - a)))


@_register_formula("stanh", attrs=("scale_a", "scale_b"))
def _stanh(a: tirx.Expr, scale_a: tirx.Expr, scale_b: tirx.Expr) -> tirx.Expr:
    return scale_b * tirx.tanh(scale_a * a)


@register("prelu")
def _prelu(ctx: OpContext) -> Converted:
    x, alpha, shape = ctx.input(0), ctx.input(1), ctx.shape(0)
    mode, ndim = ctx.attr("mode"), ctx.ndim(0)
    if mode == "channel":
        axis = 1 if ctx.attr("data_format") == "NCHW" else ndim - 1
        target: list[Dim] = [shape[axis] if index == axis else 1 for index in range(ndim)]
    elif mode == "element":
        target = [1, *shape[1:]]
    else:
        target = [1] * ndim
    slopes = _reshaped_slopes(ctx, alpha, target)
    x, slopes = ctx.broadcast([x, slopes])
    # This order of operands keeps a NaN.
    negative = ctx.emit(relax.op.minimum(scalar(0, dtype_of(x)), x))
    scaled = ctx.emit(relax.op.multiply(negative, slopes))
    return relax.op.add(ctx.emit(relax.op.nn.relu(x)), scaled)


def _reshaped_slopes(ctx: OpContext, alpha: relax.Expr, target: list[Dim]) -> relax.Expr:
    known = ctx.value(1).array
    if known is not None and known.dtype != np.object_:
        # The slopes' own sizes: a dynamic dimension of x is checked against them, not they against it.
        sizes = iter(size for size in known.shape if size != 1)
        static = [1 if isinstance(dim, int) and dim == 1 else next(sizes, 1) for dim in target]
        if math.prod(static) == known.size:
            return relax.const(known.reshape(static), ctx.dtype(1))
    return ctx.emit(relax.op.reshape(alpha, target))


@register("swiglu")
def _swiglu(ctx: OpContext) -> Converted:
    if ctx.has_input(1):
        gate, value = ctx.broadcast([ctx.input(0), ctx.input(1)])
        return relax.op.multiply(ctx.emit(relax.op.nn.silu(gate)), value)

    def halves(x: te.Tensor) -> te.Tensor:
        half = tirx.floordiv(x.shape[-1], 2)

        def element(*index: tirx.Var) -> tirx.Expr:
            gate, value = x(*index), x(*index[:-1], index[-1] + half)
            return gate * tirx.sigmoid(gate) * value

        return te.compute([*x.shape[:-1], half], element, name="swiglu")

    return ctx.emit_te(halves, ctx.input(0), name="swiglu")


def _larger(a: tirx.Expr, b: tirx.Expr) -> tirx.Expr:
    return tirx.max(a, b)


@register("maxout")
def _maxout(ctx: OpContext) -> Converted:
    groups, ndim = int(ctx.attr("groups")), ctx.ndim(0)
    axis = int(ctx.attr("axis")) % ndim
    shape = ctx.shape(0)
    channels = tirx.floordiv(shape[axis], groups)
    split = [*shape[:axis], channels, groups, *shape[axis + 1 :]]
    groups_apart = ctx.emit(relax.op.reshape(ctx.input(0), split))
    # A NaN counts where it comes last, as in Paddle: not ``reduced_max``.
    return reduced(ctx, groups_apart, [axis + 1], False, _larger, tirx.min_value, "maxout")


@register("softmax", "softmax_")
def _softmax(ctx: OpContext) -> Converted:
    x = ctx.input(0)
    if ctx.ndim(0) == 0:
        return scalar(1.0, dtype_of(x))
    return relax.op.nn.softmax(x, int(ctx.attr("axis")))


@register("log_softmax")
def _log_softmax(ctx: OpContext) -> Converted:
    x = ctx.input(0)
    if ctx.ndim(0) == 0:
        return scalar(0.0, dtype_of(x))
    axis = int(ctx.attr("axis")) % ctx.ndim(0)
    largest = reduced_max(ctx, x, [axis], True)

    def shift(a: tirx.Expr, largest: tirx.Expr) -> tirx.Expr:
        # Paddle's CPU kernel takes nothing as less likely than this.
        lowest = tirx.const(-64, a.ty)
        return tirx.Select(a - largest < lowest, lowest, a - largest)

    shifted = pointwise(ctx, shift, x, largest, name="log_softmax_shift")
    total = ctx.emit(relax.op.sum(ctx.emit(relax.op.exp(shifted)), axis, keepdims=True))
    return relax.op.subtract(shifted, ctx.emit(relax.op.log(total)))
