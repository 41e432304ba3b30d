"""Comparisons, logic and choice."""

from __future__ import annotations

from paddle_tvm.targets.onnx_export.context import ExportContext
from paddle_tvm.targets.onnx_export.registry import register

_SAME = {
    "equal": "Equal",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "logical_and": "And",
    "logical_or": "Or",
    "logical_xor": "Xor",
}


@register(*_SAME, operands=2)
def _same(ctx: ExportContext) -> str:
    return ctx.add(_SAME[str(ctx.call.op.name).removeprefix("relax.")], ctx.input(0), ctx.input(1))


@register("not_equal", operands=2)
def _not_equal(ctx: ExportContext) -> str:
    return ctx.add("Not", ctx.add("Equal", ctx.input(0), ctx.input(1)))


@register("logical_not")
def _logical_not(ctx: ExportContext) -> str:
    return ctx.add("Not", ctx.input(0))


@register("where", operands=3)
def _where(ctx: ExportContext) -> str:
    return ctx.add("Where", ctx.input(0), ctx.input(1), ctx.input(2))


@register("isnan")
def _isnan(ctx: ExportContext) -> str:
    return ctx.add("IsNaN", ctx.input(0))


@register("isinf")
def _isinf(ctx: ExportContext) -> str:
    return ctx.add("IsInf", ctx.input(0))


@register("isfinite")
def _isfinite(ctx: ExportContext) -> str:
    return ctx.add("Not", ctx.add("Or", ctx.add("IsNaN", ctx.input(0)), ctx.add("IsInf", ctx.input(0))))
