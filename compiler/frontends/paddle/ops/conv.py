"""Convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relax

from paddle_tvm.compiler.frontends.paddle.context import OpContext, shape_of
from paddle_tvm.compiler.frontends.paddle.ops.spatial import (
    fit_windows,
    fixed_sizes,
    in_channels_first,
    pad_for_windows,
    window_padding,
)
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


@register("conv2d", "depthwise_conv2d")
def _conv2d(ctx: OpContext) -> Converted:
    return _convolution(ctx, relax.op.nn.conv2d, "NCHW", "OIHW")


@register("conv3d")
def _conv3d(ctx: OpContext) -> Converted:
    return _convolution(ctx, relax.op.nn.conv3d, "NCDHW", "OIDHW")


def _convolution(
    ctx: OpContext, operator: Callable[..., relax.Expr], data_layout: str, kernel_layout: str
) -> relax.Expr:
    weight, (_, in_channels, *window) = ctx.input(1), ctx.shape(1)
    kernel = fixed_sizes(ctx, window, "the kernel's size")
    strides, groups = ctx.attr("strides"), ctx.attr("groups")
    algorithm: str = ctx.attr("padding_algorithm")
    dilations: Any = [1] * len(kernel) if algorithm == "SAME" else ctx.attr("dilations")

    def convolve(data: relax.Expr) -> relax.Expr:
        batch, _, *spatial = shape_of(data)
        data = ctx.require_equal(data, [batch, in_channels * groups, *spatial])
        padding = window_padding(ctx, spatial, kernel, strides, ctx.attr("paddings"), algorithm)
        if algorithm != "SAME":
            extents = [step * (size - 1) + 1 for step, size in zip(dilations, kernel, strict=True)]
            padding = fit_windows(ctx, spatial, extents, strides, padding)
        data, fixed = pad_for_windows(ctx, data, kernel, strides, padding)
        return operator(
            data,
            weight,
            strides=strides,
            padding=[before for before, _ in fixed] + [after for _, after in fixed],
            dilation=dilations,
            groups=groups,
            data_layout=data_layout,
            kernel_layout=kernel_layout,
        )

    return in_channels_first(ctx, ctx.attr("data_format"), convolve)
