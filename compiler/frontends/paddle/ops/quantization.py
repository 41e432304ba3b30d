"""Quantisation and dequantisation, as Paddle's quantisation tools leave them in a program.

A number ``x`` becomes the integer ``round(x * qmax / scale) + zero_point``, and Paddle keeps it in a float
tensor.
"""

from __future__ import annotations

import numpy as np
from tvm import relax

from paddle_tvm.compiler.frontends.paddle.context import OpContext, TensorValue
from paddle_tvm.compiler.frontends.paddle.ops.pointwise import dtype_of
from paddle_tvm.compiler.frontends.paddle.registry import Converted, is_constant, register


@register("quantize_linear")
def _quantize(ctx: OpContext) -> Converted:
    scale, zero_point, axis = _parameters(ctx)
    if ctx.attr("round_type", 0) != 0:
        raise ctx.unsupported("rounds halves away from zero; export the model with round_type 0 (to even)")
    integers = ctx.emit(relax.op.quantize(ctx.input(0), scale, zero_point, axis, "int8"))
    return [ctx.emit(relax.op.astype(integers, dtype_of(ctx.input(0)))), None, None, None]


@register("dequantize_linear")
def _dequantize(ctx: OpContext) -> Converted:
    scale, zero_point, axis = _parameters(ctx)
    return [relax.op.dequantize(_integers(ctx), scale, zero_point, axis, "float32"), None, None, None]


def _parameters(ctx: OpContext) -> tuple[relax.Expr, relax.Expr, int]:
    """What one integer stands for, which of them stands for 0, and the axis along which they may differ."""
    bits, low, high = ctx.attr("bit_length"), ctx.attr("qmin", -128), ctx.attr("qmax", 127)
    if (bits, low, high) != (8, -128, 127):
        raise ctx.unsupported(f"quantises to {bits} bits from {low} to {high}; only int8 is supported")
    if ctx.dtype(0) != "float32":
        raise ctx.unsupported(f"quantises {ctx.dtype(0)}; only float32 is supported")
    scale = np.asarray(ctx.constant(1), "float32").reshape(-1)
    zero_point = np.broadcast_to(np.asarray(ctx.constant(2)).reshape(-1), scale.shape).astype("int8")
    shape = () if scale.size == 1 else scale.shape
    return (
        relax.const(scale.reshape(shape) / np.float32(high)),
        relax.const(zero_point.reshape(shape)),
        -1 if scale.size == 1 else ctx.attr("quant_axis"),
    )


def _integers(ctx: OpContext) -> relax.Expr:
    """The integers that an operand of numbers has."""
    value: TensorValue = ctx.value(0)
    if value.array is not None and is_constant(value.array):
        array = np.asarray(value.array)
        integers = np.clip(array, -128, 127).astype("int8")
        if not np.array_equal(integers, array):
            raise ctx.unsupported("its weights are no integers from -128 to 127")
        return relax.const(integers)
    expr = ctx.input(0)
    found = ctx.builder.lookup_binding(expr) if isinstance(expr, relax.Var) else None
    if isinstance(found, relax.Call) and getattr(found.op, "name", "") == "relax.astype":
        (source,) = found.args
        if str(source.ty.dtype) == "int8":
            return source
    return ctx.emit(relax.op.astype(expr, "int8"))
