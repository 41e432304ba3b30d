"""Operators that make tensors from attributes and shapes."""

from __future__ import annotations

import numpy as np
from tvm import relax

from paddle_tvm.compiler.frontends.paddle.context import OpContext
from paddle_tvm.compiler.frontends.paddle.registry import Converted, KnownArray, register, register_fold


@register_fold("full")
def _full(ctx: OpContext) -> KnownArray:
    return np.full(ctx.attr("shape"), ctx.attr("value"), dtype=ctx.attr("dtype"))


@register_fold("full_int_array")
def _full_int_array(ctx: OpContext) -> KnownArray:
    return np.array(ctx.attr("value"), dtype=ctx.attr("dtype"))


@register("full_with_tensor")
def _full_with_tensor(ctx: OpContext) -> Converted:
    value = ctx.constant(0).astype(ctx.attr("dtype"))
    shape = ctx.dims(1)
    if all(isinstance(dim, int) for dim in shape):
        return relax.const(np.full(shape, value.item(), value.dtype))
    return relax.op.full(shape, relax.const(value.reshape(())), ctx.attr("dtype"))
