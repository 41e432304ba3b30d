"""Windows of an image as columns, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import relax, te, tirx

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext
from paddle_tvm.compiler.frontends.paddle.ops.spatial import fit_windows
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


def _positions(ctx: OpContext, spatial: Sequence[Dim], pads: Sequence[int]) -> list[Dim]:
    """How many windows fit along each axis; padding is top, left, bottom, right."""
    strides = ctx.attr("strides")
    extents = [
        step * (size - 1) + 1
        for step, size in zip(ctx.attr("dilations"), ctx.attr("kernel_sizes"), strict=True)
    ]
    padding = fit_windows(ctx, spatial, extents, strides, [(pads[axis], pads[axis + 2]) for axis in (0, 1)])
    return [
        ctx.simplify((size + before + after - extent) // stride + 1)
        for size, extent, stride, (before, after) in zip(spatial, extents, strides, padding, strict=True)
    ]


@register("unfold")
def _unfold(ctx: OpContext) -> Converted:
    kernel, strides, dilations = (ctx.attr(name) for name in ("kernel_sizes", "strides", "dilations"))
    pads = ctx.attr("paddings")
    n, channels, *spatial = ctx.shape(0)
    rows, columns = _positions(ctx, spatial, pads)

    def compute(data: te.Tensor, sizes: Sequence[Dim]) -> te.Tensor:
        batch, channels, height, width = data.shape

        def element(n: Any, c: Any, i: Any, j: Any, y: Any, x: Any) -> Any:
            row = y * strides[0] - pads[0] + i * dilations[0]
            column = x * strides[1] - pads[1] + j * dilations[1]
            inside = tirx.all(row >= 0, row < height, column >= 0, column < width)
            return tirx.if_then_else(inside, data(n, c, row, column), tirx.const(0, data.dtype))

        return te.compute((batch, channels, *kernel, *sizes), element, name="unfold")

    windows = ctx.emit_te(compute, ctx.input(0), [rows, columns], name="unfold")
    merged = [n, channels * (kernel[0] * kernel[1]), rows * columns]
    return relax.op.reshape(windows, [ctx.simplify(dim) for dim in merged])


@register("fold")
def _fold(ctx: OpContext) -> Converted:
    kernel, strides, dilations = (ctx.attr(name) for name in ("kernel_sizes", "strides", "dilations"))
    pads, sizes = ctx.attr("paddings"), ctx.attr("output_sizes")
    n, merged, _ = ctx.shape(0)
    channels = ctx.simplify(merged // (kernel[0] * kernel[1]))
    rows, columns = _positions(ctx, sizes, pads)
    data = ctx.require_equal(ctx.input(0), [n, channels * (kernel[0] * kernel[1]), rows * columns])
    windows = ctx.emit(relax.op.reshape(data, [n, channels, *kernel, rows, columns]))

    def compute(windows: te.Tensor) -> te.Tensor:
        batch, channels, height, width, rows, columns = windows.shape
        i, j = te.reduce_axis((0, height), "i"), te.reduce_axis((0, width), "j")

        def element(n: Any, c: Any, y: Any, x: Any) -> Any:
            row = y + pads[0] - i * dilations[0]
            column = x + pads[1] - j * dilations[1]
            at = (tirx.floordiv(row, strides[0]), tirx.floordiv(column, strides[1]))
            inside = tirx.all(
                tirx.floormod(row, strides[0]) == 0,
                tirx.floormod(column, strides[1]) == 0,
                *(
                    tirx.all(index >= 0, index < size)
                    for index, size in zip(at, (rows, columns), strict=True)
                ),
            )
            value = tirx.if_then_else(inside, windows(n, c, i, j, *at), tirx.const(0, windows.dtype))
            return te.sum(value, axis=[i, j])

        return te.compute((batch, channels, *sizes), element, name="fold")

    return ctx.emit_te(compute, windows, name="fold")
