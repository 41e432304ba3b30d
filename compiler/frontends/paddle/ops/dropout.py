"""Dropout, which inference leaves out."""

from __future__ import annotations

from tvm import relax

from paddle_tvm.compiler.frontends.paddle.context import OpContext
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


@register("dropout")
def _dropout(ctx: OpContext) -> Converted:
    if not ctx.attr("is_test"):
        raise ctx.unsupported("drops at random, which is training; save the model after .eval()")
    data = ctx.input(0)
    if ctx.attr("mode") == "upscale_in_train":
        return data
    kept = 1.0 - float(ctx.constant(2).item())
    return relax.op.multiply(data, relax.const(kept, ctx.dtype(0)))
