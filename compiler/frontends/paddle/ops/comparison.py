"""Comparisons, logic, bits, and choosing between two tensors."""

from __future__ import annotations

from collections.abc import Callable

from tvm import relax, tirx

from paddle_tvm.compiler.frontends.paddle.context import OpContext, shape_of
from paddle_tvm.compiler.frontends.paddle.ops.pointwise import (
    BinaryBuilder,
    dtype_of,
    is_float,
    operands,
    pointwise,
    scalar,
)
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


def _register_comparison(name: str, build: BinaryBuilder) -> None:
    def convert(ctx: OpContext) -> Converted:
        left, right = operands(ctx, 0, 1)
        if dtype_of(left) == "bool":
            left, right = (ctx.emit(relax.op.astype(tensor, "int8")) for tensor in (left, right))
        return build(left, right)

    register(name, f"{name}_")(convert)


_register_comparison("equal", relax.op.equal)
_register_comparison("less_than", relax.op.less)
_register_comparison("less_equal", relax.op.less_equal)
_register_comparison("greater_than", relax.op.greater)
_register_comparison("greater_equal", relax.op.greater_equal)


def _differ(a: tirx.Expr, b: tirx.Expr) -> tirx.Expr:
    # TVM's own inequality of floats is false for NaN (0.27).
    return tirx.Select(a == b, tirx.const(False, "bool"), tirx.const(True, "bool"))


@register("not_equal", "not_equal_")
def _not_equal(ctx: OpContext) -> Converted:
    left, right = operands(ctx, 0, 1)
    if dtype_of(left) == "bool":
        return relax.op.logical_xor(left, right)
    return pointwise(ctx, _differ, left, right, name="not_equal", onnx="NotEqual")


def as_bool(ctx: OpContext, tensor: relax.Expr) -> relax.Expr:
    """Whether each element differs from zero."""
    dtype = dtype_of(tensor)
    if dtype == "bool":
        return tensor
    return pointwise(ctx, _differ, tensor, scalar(0, dtype), name="as_bool", onnx="NotEqual")


def _register_logic(name: str, build: BinaryBuilder) -> None:
    def convert(ctx: OpContext) -> Converted:
        left, right = operands(ctx, 0, 1)
        return build(as_bool(ctx, left), as_bool(ctx, right))

    register(name, f"{name}_")(convert)


_register_logic("logical_and", relax.op.logical_and)
_register_logic("logical_or", relax.op.logical_or)
_register_logic("logical_xor", relax.op.logical_xor)


@register("logical_not", "logical_not_")
def _logical_not(ctx: OpContext) -> Converted:
    return relax.op.logical_not(as_bool(ctx, ctx.input(0)))


def _register_bits(name: str, integers: BinaryBuilder, bools: BinaryBuilder) -> None:
    def convert(ctx: OpContext) -> Converted:
        left, right = operands(ctx, 0, 1)
        return (bools if dtype_of(left) == "bool" else integers)(left, right)

    register(name, f"{name}_")(convert)


_register_bits("bitwise_and", relax.op.bitwise_and, relax.op.logical_and)
_register_bits("bitwise_or", relax.op.bitwise_or, relax.op.logical_or)
_register_bits("bitwise_xor", relax.op.bitwise_xor, relax.op.logical_xor)


@register("bitwise_not", "bitwise_not_")
def _bitwise_not(ctx: OpContext) -> Converted:
    x = ctx.input(0)
    return (relax.op.logical_not if dtype_of(x) == "bool" else relax.op.bitwise_not)(x)


def _register_class(name: str, test: Callable[[tirx.Expr], tirx.Expr], integers: bool, onnx: str) -> None:
    """A test for special values; ``integers`` is what it says of every integer."""

    def convert(ctx: OpContext) -> Converted:
        x = ctx.input(0)
        if is_float(dtype_of(x)):
            return pointwise(ctx, test, x, name=name, onnx=onnx)
        return relax.op.full(relax.ShapeExpr(shape_of(x)), scalar(integers, "bool"), "bool")

    register(name)(convert)


_register_class("isnan", tirx.isnan, integers=False, onnx="IsNaN")
_register_class("isinf", tirx.isinf, integers=False, onnx="IsInf")
_register_class("isfinite", tirx.isfinite, integers=True, onnx="IsFinite")


@register("where", "where_")
def _where(ctx: OpContext) -> Converted:
    condition, yes, no = operands(ctx, 0, 1, 2)
    return relax.op.where(as_bool(ctx, condition), yes, no)
