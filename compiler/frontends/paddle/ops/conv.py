"""Convolutions."""

from __future__ import annotations

from tvm import relax

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


def explicit_padding(
    ctx: OpContext,
    spatial: list[Dim],
    kernel: list[int],
    strides: list[int],
    dilations: list[int],
    paddings: list[int],
    algorithm: str,
) -> list[tuple[Dim, Dim]]:
    """Before and after padding of each spatial axis, as Paddle computes it.

    ``SAME`` resets dilation to 1 in Paddle (``UpdatePaddingAndDilation`` in phi's ``conv_util.h``); the
    caller must do so as well.
    """
    if algorithm == "VALID":
        return [(0, 0)] * len(spatial)
    if algorithm == "SAME":
        pads: list[tuple[Dim, Dim]] = []
        for size, window, stride in zip(spatial, kernel, strides, strict=True):
            if not isinstance(size, int) and stride != 1:
                raise ctx.unsupported(
                    "padding_algorithm SAME with a stride pads by the input's size, which is dynamic here; "
                    "fix it with --shape"
                )
            total = (
                window - 1
                if not isinstance(size, int)
                else max(((size + stride - 1) // stride - 1) * stride + window - size, 0)
            )
            pads.append((total // 2, total - total // 2))
        return pads
    if len(paddings) == len(spatial):
        return [(pad, pad) for pad in paddings]
    return [(paddings[2 * axis], paddings[2 * axis + 1]) for axis in range(len(spatial))]


@register("conv2d", "depthwise_conv2d")
def _conv2d(ctx: OpContext) -> Converted:
    data, weight = ctx.input(0), ctx.input(1)
    layout = "NCHW" if ctx.attr("data_format") in ("NCHW", "AnyLayout") else "NHWC"
    spatial = ctx.shape(0)[2:4] if layout == "NCHW" else ctx.shape(0)[1:3]
    kernel = [int(size) for size in ctx.shape(1)[2:] if isinstance(size, int)]
    algorithm = ctx.attr("padding_algorithm")
    dilations = [1, 1] if algorithm == "SAME" else ctx.attr("dilations")
    pads = explicit_padding(
        ctx, spatial, kernel, ctx.attr("strides"), dilations, ctx.attr("paddings"), algorithm
    )
    return relax.op.nn.conv2d(
        data,
        weight,
        strides=ctx.attr("strides"),
        padding=[pads[0][0], pads[1][0], pads[0][1], pads[1][1]],
        dilation=dilations,
        groups=ctx.attr("groups"),
        data_layout=layout,
        kernel_layout="OIHW",
    )
