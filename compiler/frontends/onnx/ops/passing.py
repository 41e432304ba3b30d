"""Operators that inference passes through."""

from __future__ import annotations

import numpy as np
from tvm import relax

from paddle_tvm.compiler.frontends.onnx.context import NodeContext, as_expr
from paddle_tvm.compiler.frontends.onnx.registry import register
from paddle_tvm.compiler.frontends.paddle.context import TensorValue


@register("Identity")
def _identity(ctx: NodeContext) -> TensorValue:
    return ctx.value(0)


@register("Dropout")
def _dropout(ctx: NodeContext) -> relax.Expr | list[relax.Expr]:
    if ctx.has_input(2) and bool(ctx.constant(2).item()):
        raise ctx.unsupported("training_mode is set; export the model for inference")
    data = ctx.input(0)
    if len(ctx.node.output) < 2 or not ctx.node.output[1]:
        return data
    kept = relax.op.full(
        relax.ShapeExpr([as_expr(dim) for dim in ctx.shape(0)]), relax.const(np.array(True)), "bool"
    )
    return [data, kept]
