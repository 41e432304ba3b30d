"""Direct convolution of blocked activations, a tile of the output in registers."""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd
from typing import Any

import numpy as np
import numpy.typing as npt
from tvm import relax, te, tirx

from paddle_tvm.targets.expressions import ceil_div, extent, simplify
from paddle_tvm.targets.x86.conv2d import Window, pad_spatial
from paddle_tvm.targets.x86.tile import WRITTEN_OUT, Tile, choose_tile, tile_annotations


def merge_groups(weight: npt.NDArray[Any], groups: int, lanes: int) -> tuple[npt.NDArray[Any], int] | None:
    """A grouped OIHW weight whose groups fill whole vectors of output channels, and its number of groups.

    Groups of few channels become one with zeros between them: what that computes in vain costs less than
    vectors with empty lanes. None where neither the groups nor several of them fill a vector.
    """
    total, depth, height, columns = weight.shape
    per_group = total // groups
    if per_group % lanes == 0:
        return weight, groups
    several = lanes // per_group
    if lanes % per_group or groups % several:
        return None
    merged = np.zeros((total, several * depth, height, columns), weight.dtype)
    for channel in range(total):
        start = channel // per_group % several * depth
        merged[channel, start : start + depth] = weight[channel]
    return merged, groups // several


def pack_weight(weight: npt.NDArray[Any], width: int, vectors: int, lanes: int) -> npt.NDArray[Any]:
    """OIHW in the order in which a tile of ``vectors`` blocks of output channels reads it.

    That is [O / (vectors * lanes), I / k, H, W, k, vectors, lanes], where k divides the inputs and their
    blocks' ``width``; output channels are filled up with zeros.
    """
    total, depth, height, columns = weight.shape
    step = gcd(depth, width)
    groups = ceil_div(total, vectors * lanes)
    padded = np.zeros((groups * vectors * lanes, depth, height, columns), weight.dtype)
    padded[:total] = weight
    split = padded.reshape(groups, vectors, lanes, depth // step, step, height, columns)
    return np.ascontiguousarray(split.transpose(0, 3, 5, 6, 4, 1, 2))


def direct_tile(data: relax.Expr, window: Window, total: int, lanes: int, depth: int) -> Tile:
    """The register tile of a direct convolution that is not grouped and sums ``depth`` products."""
    rows, columns = (extent(data.ty.shape[axis]) for axis in (2, 3))
    blocks = ceil_div(total, lanes)
    points, flat = tiled_points(window, rows, columns)
    return choose_tile(points, blocks, lanes, depth, flat)


def tiled_points(window: Window, rows: Any, columns: Any) -> tuple[Any, bool]:
    """How many positions lie along the tiled axis, and whether that is rows and columns in one.

    Sizes are of the input: ints, expressions, or None where not known; so are positions.
    """
    out_columns = None if columns is None else window.output(columns, 1)
    flat = window.is_pointwise() and isinstance(rows, int) and isinstance(columns, int)
    return (window.output(rows, 0) * out_columns, True) if flat else (out_columns, False)


def direct(
    data: te.Tensor,
    weight: te.Tensor,
    window: Window,
    tile: Tile,
    groups: int = 1,
    plain: int = 0,
    notes: Mapping[str, Any] | None = None,
    *,
    across: bool = False,
) -> te.Tensor:
    """Direct convolution of a blocked [N, C, H, W, b] or plain [N, C, H, W] input to a blocked result.

    ``plain`` is the number of output channels of a result that is wanted without blocks, else 0; ``notes``
    are more annotations for the schedule. ``across`` lays tiles across the ends of rows, whatever the window;
    that is for maps of known size, and of few tiles.

    Reductions run over the real channels alone. The tile's positions go up to a multiple of the tile; those
    beyond the row are computed from clamped or padded columns and not written.
    """
    batch, _, rows, columns, *width = (extent(dim) for dim in data.shape)
    packs, chunks, height, kernel_width, step, vectors, lanes = (extent(dim) for dim in weight.shape)
    blocks = packs * vectors
    out_rows, out_columns = window.output(rows, 0), window.output(columns, 1)
    points, flat = (out_rows * out_columns, True) if across else tiled_points(window, rows, columns)
    tiled = ceil_div(points, tile.points) * tile.points
    exact = isinstance(points, int) and points == tiled
    limit = None
    if any((*window.before, *window.after)):
        last = (out_columns if flat else tiled) - 1
        reach = simplify(last * window.strides[1] + window.dilation[1] * (kernel_width - 1) + 1)
        data = pad_spatial(data, window, reach)
    elif not exact:
        limit = columns - 1

    outer = te.reduce_axis((0, chunks), "c")
    i = te.reduce_axis((0, height), "i")
    j = te.reduce_axis((0, kernel_width), "j")
    inner = te.reduce_axis((0, step), "k")

    def place(y: Any, x: Any) -> tuple[Any, Any]:
        if flat:
            position = x if exact else tirx.min(x, points - 1)
            y, x = position // out_columns, position % out_columns
            column = x * window.strides[1] + j * window.dilation[1]
            return y * window.strides[0] + i * window.dilation[0], column
        column = x * window.strides[1] + j * window.dilation[1]
        if limit is not None:
            column = tirx.min(column, limit)
        return y * window.strides[0] + i * window.dilation[0], column

    def product(*index: Any) -> tirx.Expr:
        n, *middle, x, o = index
        row, column = place(middle[0] if middle else 0, x)
        channel = outer * step + inner
        if groups > 1:
            channel += o // (blocks * lanes // groups) * (chunks * step)
        lane = [channel % width[0]] if width else []
        block = channel // width[0] if width else channel
        kernel = weight[o // (vectors * lanes), outer, i, j, inner, o // lanes % vectors, o % lanes]
        return te.sum(
            data[(n, block, row, column, *lane)] * kernel,
            axis=[outer, i, j, inner],
        )

    sums = te.compute(
        (batch, *([] if flat else [out_rows]), tiled, blocks * lanes),
        product,
        name="conv2d",
        attrs={
            **tile_annotations(tile, lanes, (0 if plain else 1) if flat else None, blocked=not plain),
            **({WRITTEN_OUT: 1} if across else {}),
            **(notes or {}),
        },
    )

    def arrange(n: Any, o: Any, y: Any, x: Any, *lane: Any) -> tirx.Expr:
        row, position = ([], y * out_columns + x) if flat else ([y], x)
        return sums[(n, *row, position, o if plain else o * lanes + lane[0])]

    shape = [batch, plain or blocks, out_rows, out_columns]
    return te.compute(shape if plain else [*shape, lanes], arrange, name="arrange")
