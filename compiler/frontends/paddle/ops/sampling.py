"""Sampling at positions that are data: grid_sample, affine_grid, deformable convolution."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from tvm import relax, te, tirx

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext
from paddle_tvm.compiler.frontends.paddle.ops.spatial import fixed_sizes, opaque_factor
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


def _element_or_zero(data: te.Tensor, n: Any, c: Any, position: Sequence[Any]) -> Any:
    sizes = data.shape[2:]
    inside = [tirx.all(index >= 0, index < size) for index, size in zip(position, sizes, strict=True)]
    zero = tirx.const(0, data.dtype)
    return tirx.if_then_else(tirx.all(*inside), data(n, c, *position), zero)


def _sample_linear(data: te.Tensor, n: Any, c: Any, position: Sequence[Any]) -> Any:
    """Between the elements around a position of floats; what lies outside is zero."""
    one = tirx.const(1, data.dtype)
    taps = []
    for coordinate in position:
        below = tirx.floor(coordinate)
        weight = coordinate - below
        index = below.astype("int64")
        taps.append([(index, one - weight), (index + 1, weight)])
    total: Any = None
    for corner in itertools.product(*taps):
        value = _element_or_zero(data, n, c, [index for index, _ in corner])
        for _, weight in corner:
            value = value * weight
        total = value if total is None else total + value
    return total


@register("grid_sample")
def _grid_sample(ctx: OpContext) -> Converted:
    aligned, padding, mode = (ctx.attr(name) for name in ("align_corners", "padding_mode", "mode"))
    batch, channels = ctx.shape(0)[:2]
    grid = ctx.require_equal(ctx.input(1), [batch, *ctx.shape(1)[1:]])

    def locate(grid: te.Tensor, column: int, size: Dim) -> te.Tensor:
        return te.compute(
            grid.shape[:-1], lambda *i: _located(grid(*i, column), size, aligned, padding), name="positions"
        )

    # The last axis of the grid is x, y, z; the data's axes are the other way round. The kernels are opaque,
    # as fusion would compute the positions anew for every channel.
    sizes = ctx.shape(0)[2:]
    positions = [
        ctx.builder.emit_te(
            locate, grid, column, size, primfunc_name_hint="grid_positions", primfunc_attrs={"op_pattern": 8}
        )
        for column, size in zip(reversed(range(len(sizes))), sizes, strict=True)
    ]

    def compute(data: te.Tensor, positions: Sequence[te.Tensor], output: Sequence[Dim]) -> te.Tensor:
        def element(n: Any, c: Any, *index: Any) -> Any:
            position = [tensor(n, *index) for tensor in positions]
            if mode == "nearest":
                nearest = [tirx.nearbyint(coordinate).astype("int64") for coordinate in position]
                return _element_or_zero(data, n, c, nearest)
            return _sample_linear(data, n, c, position)

        return te.compute(tuple(output), element, name="grid_sample")

    output = [batch, channels, *ctx.shape(1)[1:-1]]
    return ctx.emit_te(compute, ctx.input(0), positions, output, name="grid_sample")


def _located(value: Any, size: Any, aligned: bool, padding: str) -> Any:
    """From -1 to 1 to an element's position, moved into the data as ``padding`` says."""
    dtype = str(value.ty.dtype)
    half, one, zero = (tirx.const(number, dtype) for number in (0.5, 1, 0))
    last = opaque_factor(tirx.Cast(dtype, size - 1))
    if aligned:
        position = (value + one) * half * last
    else:
        position = (value + one) * opaque_factor(tirx.Cast(dtype, size)) * half - half
    if padding == "zeros":
        return position
    if padding == "reflection":
        shift = zero if aligned else half
        period = opaque_factor(tirx.Cast(dtype, (size - 1 if aligned else size) * 2))
        distance = tirx.abs(position + shift)
        extra = distance - tirx.floor(distance / period) * period
        position = tirx.min(extra, period - extra) - shift
        if aligned:
            return tirx.Select(size == 1, zero, position)
    return tirx.min(tirx.max(position, zero), last)


@register("affine_grid")
def _affine_grid(ctx: OpContext) -> Converted:
    aligned = ctx.attr("align_corners")
    spatial = ctx.dims(1)[2:]
    rank = len(spatial)

    def compute(theta: te.Tensor, sizes: Sequence[Dim]) -> te.Tensor:
        dtype = theta.dtype

        def coordinate(index: Any, size: Dim) -> Any:
            two, one = tirx.const(2, dtype), tirx.const(1, dtype)
            length = opaque_factor(tirx.Cast(dtype, size))
            step = two / (length - one) if aligned else two / length
            start = -one if aligned else -one * ((length - one) / length)
            return start + index.astype(dtype) * opaque_factor(step)

        def element(n: Any, *index: Any) -> Any:
            *where, row = index
            # x comes first in theta's columns.
            numbers = [coordinate(i, size) for i, size in zip(where, sizes, strict=True)][::-1]
            total = theta(n, row, rank)
            for column, number in enumerate(numbers):
                total = total + theta(n, row, column) * number
            return total

        return te.compute((theta.shape[0], *sizes, rank), element, name="affine_grid")

    return ctx.emit_te(compute, ctx.input(0), spatial, name="affine_grid")


@register("deformable_conv")
def _deformable_conv(ctx: OpContext) -> Converted:
    """Samples of every window, laid out as channels, then a 1x1 convolution."""
    strides, pads, dilations = ctx.attr("strides"), ctx.attr("paddings"), ctx.attr("dilations")
    deformable_groups = ctx.attr("deformable_groups")
    outputs, per_group, *window = fixed_sizes(ctx, ctx.shape(2), "the weight's shape")
    kernel_height, kernel_width = window
    taps = kernel_height * kernel_width
    channels = per_group * ctx.attr("groups")
    n, _, height, width = ctx.shape(0)
    data = ctx.require_equal(ctx.input(0), [n, channels, height, width])
    sizes = [
        ctx.simplify((size + 2 * pad - dilation * (extent - 1) - 1) // stride + 1)
        for size, pad, dilation, extent, stride in zip(
            (height, width), pads, dilations, window, strides, strict=True
        )
    ]
    offset = ctx.require_equal(ctx.input(1), [n, 2 * taps * deformable_groups, *sizes])
    mask = None
    if ctx.has_input(3):
        mask = ctx.require_equal(ctx.input(3), [n, taps * deformable_groups, *sizes])

    def compute(
        data: te.Tensor, offset: te.Tensor, mask: te.Tensor | None, sizes: Sequence[Dim]
    ) -> te.Tensor:
        def element(n: Any, row: Any, y: Any, x: Any) -> Any:
            channel, tap = row // taps, row % taps
            tap = channel // (channels // deformable_groups) * taps + tap
            base = [
                (index * stride - pad + step * dilation).astype(data.dtype)
                for index, stride, pad, dilation, step in zip(
                    (y, x),
                    strides,
                    pads,
                    dilations,
                    (row % taps // kernel_width, row % kernel_width),
                    strict=True,
                )
            ]
            position = [start + offset(n, 2 * tap + axis, y, x) for axis, start in enumerate(base)]
            value = _sample_linear(data, n, channel, position)
            return value if mask is None else value * mask(n, tap, y, x)

        return te.compute((data.shape[0], channels * taps, *sizes), element, name="deformable_samples")

    samples = ctx.emit_te(compute, data, offset, mask, sizes, name="deformable_samples")
    weight = ctx.emit(relax.op.reshape(ctx.input(2), [outputs, per_group * taps, 1, 1]))
    return relax.op.nn.conv2d(samples, weight, groups=ctx.attr("groups"))
