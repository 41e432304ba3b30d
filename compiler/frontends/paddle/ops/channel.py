"""Operators that move or scale channels."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import relax, te, tirx

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, shape_of
from paddle_tvm.compiler.frontends.paddle.ops.spatial import in_channels_first, is_channel_last
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


def _rearrange(
    ctx: OpContext, data: relax.Expr, split: Sequence[Dim], order: Sequence[int], merged: Sequence[Dim]
) -> relax.Expr:
    data = ctx.emit(relax.op.reshape(data, split))
    data = ctx.emit(relax.op.permute_dims(data, order))
    return relax.op.reshape(data, [ctx.simplify(dim) for dim in merged])


@register("pixel_shuffle")
def _pixel_shuffle(ctx: OpContext) -> Converted:
    factor = ctx.attr("upscale_factor")

    def shuffle(data: relax.Expr) -> relax.Expr:
        n, c, h, w = shape_of(data)
        channels = c // (factor * factor)
        split = [n, channels, factor, factor, h, w]
        return _rearrange(ctx, data, split, [0, 1, 4, 2, 5, 3], [n, channels, h * factor, w * factor])

    return in_channels_first(ctx, ctx.attr("data_format"), shuffle)


@register("pixel_unshuffle")
def _pixel_unshuffle(ctx: OpContext) -> Converted:
    factor = ctx.attr("downscale_factor")

    def unshuffle(data: relax.Expr) -> relax.Expr:
        n, c, h, w = shape_of(data)
        height, width = h // factor, w // factor
        data = ctx.require_equal(data, [n, c, height * factor, width * factor])
        split = [n, c, height, factor, width, factor]
        merged = [n, c * (factor * factor), height, width]
        return _rearrange(ctx, data, split, [0, 1, 3, 5, 2, 4], merged)

    return in_channels_first(ctx, ctx.attr("data_format"), unshuffle)


@register("channel_shuffle")
def _channel_shuffle(ctx: OpContext) -> Converted:
    groups = ctx.attr("groups")
    n, *rest = ctx.shape(0)
    if is_channel_last(ctx.attr("data_format")):
        h, w, c = rest
        return _rearrange(ctx, ctx.input(0), [n, h, w, groups, c // groups], [0, 1, 2, 4, 3], [n, h, w, c])
    c, h, w = rest
    return _rearrange(ctx, ctx.input(0), [n, groups, c // groups, h, w], [0, 2, 1, 3, 4], [n, c, h, w])


@register("temporal_shift")
def _temporal_shift(ctx: OpContext) -> Converted:
    segments, ratio = ctx.attr("seg_num"), ctx.attr("shift_ratio")

    def shift(data: relax.Expr) -> relax.Expr:
        c = shape_of(data)[1]
        if not isinstance(c, int):
            raise ctx.unsupported("the number of channels is dynamic; fix it with --shape")
        back, forth = int(c * ratio), int(c * 2 * ratio)

        def compute(tensor: te.Tensor) -> te.Tensor:
            def element(i: tirx.Var, channel: tirx.Var, y: tirx.Var, x: tirx.Var) -> tirx.Expr:
                step = tirx.Select(channel < back, -1, tirx.Select(channel < forth, 1, 0))
                segment = tirx.floormod(i, segments) + step
                inside = tirx.all(segment >= 0, segment < segments)
                zero = tirx.const(0, tensor.dtype)
                return tirx.if_then_else(inside, tensor(i + step, channel, y, x), zero)

            return te.compute(tensor.shape, element, name="temporal_shift")

        return ctx.emit_te(compute, data, name="temporal_shift")

    return in_channels_first(ctx, ctx.attr("data_format"), shift)


@register("affine_channel", "affine_channel_")
def _affine_channel(ctx: OpContext) -> Converted:
    ndim = ctx.ndim(0)
    channel_axis = ndim - 1 if is_channel_last(ctx.attr("data_layout")) else 1
    channels = ctx.shape(1)[0]
    shape = [channels if axis == channel_axis else 1 for axis in range(ndim)]
    scale, bias = (ctx.emit(relax.op.reshape(ctx.input(index), shape)) for index in (1, 2))
    data = ctx.require_equal(
        ctx.input(0), [channels if axis == channel_axis else dim for axis, dim in enumerate(ctx.shape(0))]
    )
    return relax.op.add(ctx.emit(relax.op.multiply(data, scale)), bias)
