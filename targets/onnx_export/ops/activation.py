"""Activations, and softmax."""

from __future__ import annotations

import math

from tvm import relax, tirx

from paddle_tvm.targets.onnx_export.context import ExportContext, reshape
from paddle_tvm.targets.onnx_export.registry import register


@register("nn.relu")
def _relu(ctx: ExportContext) -> str:
    return ctx.add("Relu", ctx.input(0))


@register("nn.leakyrelu")
def _leaky_relu(ctx: ExportContext) -> str:
    return ctx.add("LeakyRelu", ctx.input(0), alpha=float(ctx.attrs.alpha))


@register("nn.prelu", operands=2)
def _prelu(ctx: ExportContext) -> str:
    rank = ctx.rank(0)
    axis = int(ctx.attrs.axis) % rank
    slope = ctx.input(1)
    if axis != rank - 1:
        one = tirx.IntImm("int64", 1)
        slope = reshape(ctx.graph, slope, [*ctx.dims(1), *[one] * (rank - 1 - axis)])
    return ctx.add("PRelu", ctx.input(0), slope)


@register("nn.selu")
def _selu(ctx: ExportContext) -> str:
    return ctx.add("Selu", ctx.input(0))


@register("nn.silu")
def _silu(ctx: ExportContext) -> str:
    return ctx.add("Mul", ctx.input(0), ctx.add("Sigmoid", ctx.input(0)))


def _refuse_softplus(call: relax.Call) -> str | None:
    if float(call.attrs.beta) != 1:
        return f"its beta is {call.attrs.beta}, and ONNX's is 1"
    return None


@register("nn.softplus", refuse=_refuse_softplus)
def _softplus(ctx: ExportContext) -> str:
    # Above the threshold both give the number itself, in float32 from 17 on.
    return ctx.add("Softplus", ctx.input(0))


def _halved(ctx: ExportContext, gate: str) -> str:
    """x / 2 * (1 + gate)."""
    dtype = ctx.dtype(0)
    product = ctx.add("Mul", ctx.input(0), ctx.add("Add", gate, ctx.scalar(1, dtype)))
    return ctx.add("Mul", product, ctx.scalar(0.5, dtype))


@register("nn.gelu")
def _gelu(ctx: ExportContext) -> str:
    # In the form that ONNX Runtime knows as one operator.
    scaled = ctx.add("Div", ctx.input(0), ctx.scalar(math.sqrt(2), ctx.dtype(0)))
    return _halved(ctx, ctx.add("Erf", scaled))


@register("nn.gelu_tanh")
def _gelu_tanh(ctx: ExportContext) -> str:
    x, dtype = ctx.input(0), ctx.dtype(0)
    cube = ctx.add("Mul", ctx.add("Mul", x, x), x)
    inner = ctx.add("Add", x, ctx.add("Mul", cube, ctx.scalar(0.044715, dtype)))
    return _halved(ctx, ctx.add("Tanh", ctx.add("Mul", inner, ctx.scalar(math.sqrt(2 / math.pi), dtype))))


@register("nn.softmax")
def _softmax(ctx: ExportContext) -> str:
    return ctx.add("Softmax", ctx.input(0), axis=int(ctx.attrs.axis))


@register("nn.log_softmax")
def _log_softmax(ctx: ExportContext) -> str:
    return ctx.add("LogSoftmax", ctx.input(0), axis=int(ctx.attrs.axis))
