"""Activation functions."""

from __future__ import annotations

from tvm import relax

from paddle_tvm.compiler.frontends.paddle.context import OpContext
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


@register("relu", "relu_")
def _relu(ctx: OpContext) -> Converted:
    return relax.op.nn.relu(ctx.input(0))
