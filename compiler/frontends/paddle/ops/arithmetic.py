"""Arithmetic of two or more tensors, and of a tensor and numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
from tvm import relax, tirx

from paddle_tvm.compiler.frontends.paddle.context import OpContext
from paddle_tvm.compiler.frontends.paddle.ops.pointwise import (
    BinaryBuilder,
    dtype_of,
    is_float,
    operands,
    pointwise,
    scalar,
)
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


def _register_binary(name: str, build: BinaryBuilder, build_bool: BinaryBuilder | None = None) -> None:
    def convert(ctx: OpContext) -> Converted:
        left, right = operands(ctx, 0, 1)
        if dtype_of(left) == "bool":
            if build_bool is None:
                raise ctx.unsupported("is not defined for bool; cast the operands to int32 first")
            return build_bool(left, right)
        return build(left, right)

    register(name, f"{name}_")(convert)


# Paddle adds and multiplies bools as C++ does: an or, and an and.
_register_binary("add", relax.op.add, relax.op.logical_or)
_register_binary("subtract", relax.op.subtract)
_register_binary("multiply", relax.op.multiply, relax.op.logical_and)


def _register_pointwise(
    *names: str,
    floats: Callable[[tirx.Expr, tirx.Expr], tirx.Expr],
    integers: Callable[[tirx.Expr, tirx.Expr], tirx.Expr],
    onnx: str | None = None,
) -> None:
    """Register an operator; ``onnx`` is the one of ONNX that it is for floats."""

    def convert(ctx: OpContext) -> Converted:
        left, right = operands(ctx, 0, 1)
        if is_float(dtype_of(left)):
            return pointwise(ctx, floats, left, right, name=names[0], onnx=onnx)
        return pointwise(ctx, integers, left, right, name=names[0])

    register(*names)(convert)


def _nonzero(divisor: tirx.Expr) -> tirx.Expr:
    # Paddle raises an error where an integer is divided by zero; the instruction would end the process.
    if isinstance(divisor, tirx.IntImm) and divisor.value != 0:
        return divisor
    return tirx.Select(divisor == 0, tirx.const(1, divisor.ty), divisor)


@register("divide", "divide_")
def _divide(ctx: OpContext) -> Converted:
    left, right = operands(ctx, 0, 1)
    if is_float(dtype_of(left)):
        return relax.op.divide(left, right)
    return pointwise(ctx, lambda a, b: tirx.truncdiv(a, _nonzero(b)), left, right, name="divide")


def _fmod(a: tirx.Expr, b: tirx.Expr) -> tirx.Expr:
    # TVM 0.27 cannot lower its own fmod for CPUs.
    dtype = str(a.ty)
    return tirx.call_pure_extern(dtype, "fmodf" if dtype == "float32" else "fmod", a, b)


def _signs_differ(a: tirx.Expr, b: tirx.Expr) -> tirx.Expr:
    zero = tirx.const(0, a.ty)
    return tirx.any(tirx.all(a < zero, b > zero), tirx.all(a > zero, b < zero))


def _float_floor_divide(a: tirx.Expr, b: tirx.Expr) -> tirx.Expr:
    # As Python does: exact where floor(a / b) would round to the integer above.
    one = tirx.const(1, a.ty)
    mod = _fmod(a, b)
    quotient = (a - mod) / b
    quotient = tirx.Select(_signs_differ(mod, b), quotient - one, quotient)
    whole = tirx.floor(quotient)
    whole = tirx.Select(quotient - whole > tirx.const(0.5, a.ty), whole + one, whole)
    return tirx.Select(b == tirx.const(0, a.ty), a / b, whole)


def _float_remainder(a: tirx.Expr, b: tirx.Expr) -> tirx.Expr:
    mod = _fmod(a, b)
    return tirx.Select(_signs_differ(mod, b), mod + b, mod)


_register_pointwise(
    "floor_divide",
    "floor_divide_",
    floats=_float_floor_divide,
    integers=lambda a, b: tirx.floordiv(a, _nonzero(b)),
)
_register_pointwise(
    "remainder",
    "remainder_",
    floats=_float_remainder,
    integers=lambda a, b: tirx.floormod(a, _nonzero(b)),
)


# TVM's own maximum and minimum lose a NaN that stands on the left (0.27), Paddle's keep it.
_register_pointwise(
    "maximum",
    floats=lambda a, b: tirx.Select(tirx.any(a > b, tirx.isnan(a)), a, b),
    integers=tirx.max,
    onnx="Max",
)
_register_pointwise(
    "minimum",
    floats=lambda a, b: tirx.Select(tirx.any(a < b, tirx.isnan(a)), a, b),
    integers=tirx.min,
    onnx="Min",
)
_register_pointwise(
    "fmax", floats=lambda a, b: tirx.Select(tirx.any(a > b, tirx.isnan(b)), a, b), integers=tirx.max
)
_register_pointwise(
    "fmin", floats=lambda a, b: tirx.Select(tirx.any(a < b, tirx.isnan(b)), a, b), integers=tirx.min
)


def _integer_pow(a: tirx.Expr, b: tirx.Expr) -> tirx.Expr:
    zero = tirx.const(0, a.ty)
    power = tirx.pow(a.astype("float64"), b.astype("float64")).astype(str(a.ty))
    return tirx.Select(tirx.all(a == zero, b < zero), zero, power)


_register_pointwise("elementwise_pow", floats=tirx.pow, integers=_integer_pow, onnx="Pow")


@register("pow", "pow_")
def _pow(ctx: OpContext) -> Converted:
    x, exponent = ctx.input(0), float(ctx.attr("y"))
    if not is_float(dtype_of(x)):
        return pointwise(ctx, _integer_pow, x, scalar(int(exponent), dtype_of(x)), name="pow")
    if exponent == 1.0:
        return x
    if exponent == 2.0:
        return relax.op.multiply(x, x)
    if exponent == 3.0:
        return relax.op.multiply(ctx.emit(relax.op.multiply(x, x)), x)
    if exponent == -1.0:
        return relax.op.divide(scalar(1.0, dtype_of(x)), x)
    if exponent == 0.5:
        return pointwise(ctx, _half_power, x, name="pow_half")
    return pointwise(ctx, tirx.pow, x, scalar(exponent, dtype_of(x)), name="pow", onnx="Pow")


def _half_power(a: tirx.Expr) -> tirx.Expr:
    # Unlike a square root, a power of one half is +0 for -0 and +Inf for -Inf.
    infinity = tirx.infinity(str(a.ty))
    return tirx.Select(a == -infinity, infinity, tirx.sqrt(a + tirx.const(0, a.ty)))


@register("scale", "scale_")
def _scale(ctx: OpContext) -> Converted:
    x = ctx.input(0)
    dtype = dtype_of(x)
    if dtype == "bool":
        raise ctx.unsupported("is not defined for bool; cast the operand to int32 first")
    factor, bias = _number(ctx, 1, dtype), _in_dtype(ctx.attr("bias"), dtype)
    if not ctx.attr("bias_after_scale") and bias != 0:
        x = ctx.emit(relax.op.add(x, scalar(bias, dtype)))
    if not _is_constant(factor, 1):
        x = ctx.emit(relax.op.multiply(x, factor))
    if ctx.attr("bias_after_scale") and bias != 0:
        x = ctx.emit(relax.op.add(x, scalar(bias, dtype)))
    return x


def _in_dtype(value: float, dtype: str) -> float:
    """A number as Paddle's kernels take it: truncated for integer tensors."""
    return value if is_float(dtype) else int(value)


def _number(ctx: OpContext, index: int, dtype: str) -> relax.Expr:
    """An operand that is one number, as a 0-d tensor of a dtype."""
    array = ctx.value(index).array
    if array is not None and array.dtype != np.object_:
        return scalar(_in_dtype(array.item(), dtype), dtype)
    number = ctx.emit(relax.op.reshape(ctx.input(index), ()))
    return number if dtype_of(number) == dtype else ctx.emit(relax.op.astype(number, dtype))


def _is_constant(number: relax.Expr, value: float) -> bool:
    return not isinstance(number, relax.Var) and bool(number.value.numpy() == value)


@register("clip", "clip_")
def _clip(ctx: OpContext) -> Converted:
    x = ctx.input(0)
    dtype = dtype_of(x)
    low, high = _number(ctx, 1, dtype), _number(ctx, 2, dtype)

    # Of unordered values TVM takes the second one (0.27): this order keeps a NaN, as Paddle does.
    return relax.op.minimum(high, ctx.emit(relax.op.maximum(low, x)))


@register("lerp", "lerp_")
def _lerp(ctx: OpContext) -> Converted:
    x, y, weight = operands(ctx, 0, 1, 2)
    step = ctx.emit(relax.op.multiply(weight, ctx.emit(relax.op.subtract(y, x))))
    return relax.op.add(x, step)


@register("add_n")
def _add_n(ctx: OpContext) -> Converted:
    return reduce(lambda left, right: ctx.emit(relax.op.add(left, right)), ctx.broadcast(ctx.inputs(0)))


_register_pointwise("atan2", floats=tirx.atan2, integers=tirx.atan2)
