"""Arithmetic of two tensors, with broadcasting."""

from __future__ import annotations

import numpy as np
from tvm import relax

from paddle_tvm.targets.onnx_export.context import ExportContext, constant, is_float
from paddle_tvm.targets.onnx_export.registry import register

_SAME = {
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "maximum": "Max",
    "minimum": "Min",
    "bitwise_and": "BitwiseAnd",
    "bitwise_or": "BitwiseOr",
    "bitwise_xor": "BitwiseXor",
}


@register(*_SAME, operands=2)
def _same(ctx: ExportContext) -> str:
    return ctx.add(_SAME[str(ctx.call.op.name).removeprefix("relax.")], ctx.input(0), ctx.input(1))


@register("bitwise_not")
def _bitwise_not(ctx: ExportContext) -> str:
    return ctx.add("BitwiseNot", ctx.input(0))


def _refuse_integer_division(call: relax.Call) -> str | None:
    """Whether it may divide integers by zero, which ends a process that does so in ONNX Runtime."""
    if is_float(call):
        return None
    divisor = constant(call.args[1])
    if divisor is None or not np.all(divisor):
        return "it divides integers by what may be zero"
    return None


@register("divide", operands=2, refuse=_refuse_integer_division)
def _divide(ctx: ExportContext) -> str:
    return ctx.add("Div", ctx.input(0), ctx.input(1))


@register("floor_divide", operands=2, refuse=_refuse_integer_division)
def _floor_divide(ctx: ExportContext) -> str:
    left, right = ctx.input(0), ctx.input(1)
    if is_float(ctx.call):
        return ctx.add("Floor", ctx.add("Div", left, right))
    return ctx.add("Div", ctx.add("Sub", left, ctx.add("Mod", left, right)), right)


@register("floor_mod", operands=2, refuse=_refuse_integer_division)
def _floor_mod(ctx: ExportContext) -> str:
    left, right = ctx.input(0), ctx.input(1)
    if not is_float(ctx.call):
        return ctx.add("Mod", left, right)
    whole = ctx.add("Floor", ctx.add("Div", left, right))
    return ctx.add("Sub", left, ctx.add("Mul", whole, right))


@register("mod", operands=2, refuse=_refuse_integer_division)
def _mod(ctx: ExportContext) -> str:
    return ctx.add("Mod", ctx.input(0), ctx.input(1), fmod=1)


def _refuse_integer_power(call: relax.Call) -> str | None:
    return None if is_float(call) else "it computes powers of integers"


@register("power", operands=2, refuse=_refuse_integer_power)
def _power(ctx: ExportContext) -> str:
    return ctx.add("Pow", ctx.input(0), ctx.input(1))
