"""Dequantisation of what is known while compiling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tvm import relax

from paddle_tvm.compiler.frontends.onnx.context import NodeContext
from paddle_tvm.compiler.frontends.onnx.registry import register
from paddle_tvm.compiler.frontends.onnx.tvm_converters import convert_with_tvm
from paddle_tvm.compiler.frontends.paddle.context import TensorValue
from paddle_tvm.compiler.frontends.paddle.registry import is_constant


@register("DequantizeLinear")
def _dequantize(ctx: NodeContext) -> TensorValue | Sequence[relax.Expr]:
    # Biases are int32, which no product reads; other integers stay, for targets that compute with them.
    arrays = [None if value is None else value.array for value in ctx.operands]
    known = all(array is not None and is_constant(array) for array in arrays)
    if not known or ctx.dtype(0) != "int32" or ctx.attr("block_size", 0):
        return convert_with_tvm(ctx)
    integers, scales, *zero_points = (np.asarray(array) for array in arrays)
    axis = ctx.axis("axis", integers.ndim, 1) if integers.ndim > 1 else 0
    along = [-1 if place == axis else 1 for place in range(integers.ndim)]
    scales, *zero_points = (
        array.reshape(along) if array.size > 1 else array.reshape(()) for array in (scales, *zero_points)
    )
    numbers = integers - zero_points[0] if zero_points else integers
    return TensorValue(str(scales.dtype), array=numbers.astype(scales.dtype) * scales)
