"""Transposed convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tvm import relax

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, shape_of
from paddle_tvm.compiler.frontends.paddle.ops.spatial import (
    fixed_sizes,
    in_channels_first,
    shift_spatial,
    window_padding,
)
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


@register("conv2d_transpose", "depthwise_conv2d_transpose")
def _conv2d_transpose(ctx: OpContext) -> Converted:
    return _transposed(ctx, relax.op.nn.conv2d_transpose, "NCHW", "IOHW", ctx.dims(2))


@register("conv3d_transpose")
def _conv3d_transpose(ctx: OpContext) -> Converted:
    return _transposed(ctx, relax.op.nn.conv3d_transpose, "NCDHW", "IODHW", ctx.attr("output_size"))


def _transposed(
    ctx: OpContext,
    operator: Callable[..., relax.Expr],
    data_layout: str,
    kernel_layout: str,
    output_size: list[Dim],
) -> relax.Expr:
    weight, (in_channels, _, *window) = ctx.input(1), ctx.shape(1)
    kernel = fixed_sizes(ctx, window, "the kernel's size")
    rank = len(kernel)
    strides, groups = ctx.attr("strides"), ctx.attr("groups")
    algorithm: str = ctx.attr("padding_algorithm")
    dilations: Any = [1] * rank if algorithm == "SAME" else ctx.attr("dilations")
    extents = [dilation * (size - 1) + 1 for dilation, size in zip(dilations, kernel, strict=True)]
    extra = ctx.attr("output_padding") or [0] * rank

    def emit(data: relax.Expr, padding: list[int], output_padding: list[int]) -> relax.Expr:
        return operator(
            data,
            weight,
            strides=strides,
            padding=padding,
            output_padding=output_padding,
            dilation=dilations,
            groups=groups,
            data_layout=data_layout,
            kernel_layout=kernel_layout,
        )

    def convolve(data: relax.Expr) -> relax.Expr:
        batch, _, *spatial = shape_of(data)
        data = ctx.require_equal(data, [batch, in_channels, *spatial])
        pads = window_padding(ctx, spatial, kernel, strides, ctx.attr("paddings"), algorithm)
        full = [
            ctx.simplify((size - 1) * stride + extent)
            for size, stride, extent in zip(spatial, strides, extents, strict=True)
        ]
        plain = [
            ctx.simplify(size - before - after) for size, (before, after) in zip(full, pads, strict=True)
        ]
        sizes = list(output_size) or [size + more for size, more in zip(plain, extra, strict=True)]
        _refuse_nothing(ctx, spatial, pads, sizes)
        more = [ctx.simplify(size - less) for size, less in zip(sizes, plain, strict=True)]
        # TVM's operator takes constants, no padding beyond the kernel, and less output padding than a stride.
        fits = all(
            isinstance(before, int)
            and isinstance(after, int)
            and isinstance(add, int)
            and max(before, after) < extent
            and 0 <= add < stride
            for (before, after), add, extent, stride in zip(pads, more, extents, strides, strict=True)
        )
        if fits:
            padding = [before for before, _ in pads] + [after for _, after in pads]
            return emit(data, [int(pad) for pad in padding], [int(add) for add in more])
        whole = ctx.emit(emit(data, [0] * (2 * rank), [0] * rank))
        return shift_spatial(ctx, whole, [-before for before, _ in pads], sizes, "crop")

    return in_channels_first(ctx, ctx.attr("data_format"), convolve)


def _refuse_nothing(
    ctx: OpContext, spatial: Sequence[Dim], pads: Sequence[tuple[Dim, Dim]], sizes: Sequence[Dim]
) -> None:
    for axis, (size, (before, after), out) in enumerate(zip(spatial, pads, sizes, strict=True)):
        if not isinstance(out, int):
            ctx.require_at_least(out, 1)
        elif out < 1:
            raise ctx.unsupported(
                f"of {size} elements along axis {axis} it makes {out}: its padding, {before} + {after}, cuts "
                "away all; give the input a larger shape (--shape)"
            )
