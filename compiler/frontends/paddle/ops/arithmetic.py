"""Elementwise operators of two tensors."""

from __future__ import annotations

from tvm import relax

from paddle_tvm.compiler.frontends.paddle.context import OpContext
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


@register("add", "add_")
def _add(ctx: OpContext) -> Converted:
    return relax.op.add(*ctx.broadcast([ctx.input(0), ctx.input(1)]))
