"""Functions of each element."""

from __future__ import annotations

from tvm import relax

from paddle_tvm.targets.onnx_export.context import ExportContext, number
from paddle_tvm.targets.onnx_export.graph import element_type
from paddle_tvm.targets.onnx_export.registry import register

_SAME = {
    "abs": "Abs",
    "acos": "Acos",
    "acosh": "Acosh",
    "asin": "Asin",
    "asinh": "Asinh",
    "atan": "Atan",
    "atanh": "Atanh",
    "ceil": "Ceil",
    "cos": "Cos",
    "cosh": "Cosh",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "negative": "Neg",
    "round": "Round",
    "sign": "Sign",
    "sin": "Sin",
    "sinh": "Sinh",
    "sqrt": "Sqrt",
    "tan": "Tan",
    "tanh": "Tanh",
}


@register(*_SAME)
def _same(ctx: ExportContext) -> str:
    return ctx.add(_SAME[str(ctx.call.op.name).removeprefix("relax.")], ctx.input(0))


@register("sigmoid")
def _sigmoid(ctx: ExportContext) -> str:
    # ONNX Runtime's own gives the same for all numbers below -18, where a detector's probabilities may lie.
    one = ctx.scalar(1, ctx.dtype(0))
    return ctx.add("Div", one, ctx.add("Add", one, ctx.add("Exp", ctx.add("Neg", ctx.input(0)))))


@register("rsqrt")
def _rsqrt(ctx: ExportContext) -> str:
    return ctx.add("Reciprocal", ctx.add("Sqrt", ctx.input(0)))


@register("square")
def _square(ctx: ExportContext) -> str:
    return ctx.add("Mul", ctx.input(0), ctx.input(0))


@register("trunc")
def _trunc(ctx: ExportContext) -> str:
    return ctx.add("Mul", ctx.add("Sign", ctx.input(0)), ctx.add("Floor", ctx.add("Abs", ctx.input(0))))


def _refuse_bounds(call: relax.Call) -> str | None:
    return "its bounds are not known" if None in map(number, call.args[1:]) else None


@register("clip", operands=3, refuse=_refuse_bounds)
def _clip(ctx: ExportContext) -> str:
    low, high = (number(bound) for bound in ctx.call.args[1:])
    assert low is not None
    assert high is not None
    dtype = ctx.dtype(0)
    return ctx.add("Clip", ctx.input(0), ctx.scalar(low, dtype), ctx.scalar(high, dtype))


@register("astype")
def _astype(ctx: ExportContext) -> str:
    return ctx.add("Cast", ctx.input(0), to=element_type(str(ctx.result.dtype)))
