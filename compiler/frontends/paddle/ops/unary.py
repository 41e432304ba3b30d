"""Mathematical functions of one tensor."""

from __future__ import annotations

from collections.abc import Callable

from tvm import relax, tirx

from paddle_tvm.compiler.frontends.paddle.context import OpContext
from paddle_tvm.compiler.frontends.paddle.ops.comparison import as_bool
from paddle_tvm.compiler.frontends.paddle.ops.pointwise import (
    UnaryBuilder,
    dtype_of,
    float_input,
    is_float,
    pointwise,
    scalar,
)
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


def _register_float(name: str, build: UnaryBuilder) -> None:
    def convert(ctx: OpContext) -> Converted:
        return build(float_input(ctx))

    register(name, f"{name}_")(convert)


_register_float("sqrt", relax.op.sqrt)
_register_float("rsqrt", relax.op.rsqrt)
_register_float("exp", relax.op.exp)
_register_float("log", relax.op.log)
_register_float("erf", relax.op.erf)
_register_float("sin", relax.op.sin)
_register_float("cos", relax.op.cos)
_register_float("tan", relax.op.tan)
_register_float("asin", relax.op.asin)
_register_float("acos", relax.op.acos)
_register_float("atan", relax.op.atan)
_register_float("asinh", relax.op.asinh)
_register_float("acosh", relax.op.acosh)


def _register_function(
    name: str, function: Callable[[tirx.Expr], tirx.Expr], onnx: str | None = None
) -> None:
    def convert(ctx: OpContext) -> Converted:
        return pointwise(ctx, function, float_input(ctx), name=name, onnx=onnx)

    register(name, f"{name}_")(convert)


def _libm(name: str) -> Callable[[tirx.Expr], tirx.Expr]:
    """A function of the C library, for what TVM 0.27 cannot lower or loses digits in near zero."""

    def call(x: tirx.Expr) -> tirx.Expr:
        dtype = str(x.ty)
        return tirx.call_pure_extern(dtype, f"{name}f" if dtype == "float32" else name, x)

    return call


_register_function("log2", tirx.log2)
_register_function("log10", tirx.log10)
_register_function("log1p", tirx.log1p)
_register_function("expm1", _libm("expm1"))
_register_function("sinh", _libm("sinh"), onnx="Sinh")
_register_function("cosh", _libm("cosh"), onnx="Cosh")
_register_function("atanh", _libm("atanh"), onnx="Atanh")
_register_function("lgamma", _libm("lgamma"))


def _register_rounding(name: str, build: UnaryBuilder) -> None:
    def convert(ctx: OpContext) -> Converted:
        x = ctx.input(0)
        return build(x) if is_float(dtype_of(x)) else x

    register(name, f"{name}_")(convert)


_register_rounding("floor", relax.op.floor)
_register_rounding("ceil", relax.op.ceil)
_register_rounding("trunc", relax.op.trunc)


@register("round", "round_")
def _round(ctx: OpContext) -> Converted:
    x, decimals = ctx.input(0), int(ctx.attr("decimals", 0))
    if not is_float(dtype_of(x)):
        return x
    if decimals == 0:
        return relax.op.round(x)
    factor = 10.0 ** abs(decimals)

    def to_decimals(a: tirx.Expr) -> tirx.Expr:
        power = tirx.const(factor, a.ty)
        rounded = tirx.nearbyint(a * power) / power if decimals > 0 else tirx.nearbyint(a / power) * power
        return tirx.Select(tirx.any(tirx.isnan(a), tirx.isinf(a)), a, rounded)

    return pointwise(ctx, to_decimals, x, name="round")


@register("abs", "abs_")
def _abs(ctx: OpContext) -> Converted:
    x = ctx.input(0)
    return x if dtype_of(x) == "bool" else relax.op.abs(x)


@register("sign")
def _sign(ctx: OpContext) -> Converted:
    x = ctx.input(0)
    if not is_float(dtype_of(x)):
        return relax.op.sign(x)

    def sign(a: tirx.Expr) -> tirx.Expr:
        # TVM's sign of NaN is 0 (0.27), Paddle's is NaN.
        zero, one = tirx.const(0, a.ty), tirx.const(1, a.ty)
        return tirx.Select(a > zero, one, tirx.Select(a < zero, -one, a))

    return pointwise(ctx, sign, x, name="sign")


@register("square", "square_")
def _square(ctx: OpContext) -> Converted:
    x = ctx.input(0)
    return relax.op.multiply(x, x)


@register("reciprocal", "reciprocal_")
def _reciprocal(ctx: OpContext) -> Converted:
    x = float_input(ctx)
    return relax.op.divide(scalar(1.0, dtype_of(x)), x)


@register("logit", "logit_")
def _logit(ctx: OpContext) -> Converted:
    eps = float(ctx.attr("eps"))

    def logit(a: tirx.Expr) -> tirx.Expr:
        zero, one = tirx.const(0, a.ty), tirx.const(1, a.ty)
        # The order of operands lets a NaN pass.
        inside = tirx.max(tirx.const(eps, a.ty), tirx.min(tirx.const(1.0 - eps, a.ty), a))
        result = tirx.log(inside / (one - inside))
        if eps:
            return result
        return tirx.Select(tirx.any(a < zero, a > one), tirx.const(float("nan"), a.ty), result)

    return pointwise(ctx, logit, float_input(ctx), name="logit")


@register("cast", "cast_")
def _cast(ctx: OpContext) -> Converted:
    x, dtype = ctx.input(0), ctx.attr("dtype")
    if dtype_of(x) == dtype:
        return x
    if dtype == "bool":
        return as_bool(ctx, x)
    return relax.op.astype(x, dtype)
