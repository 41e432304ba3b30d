"""float32 products on AMX, which multiplies matrices of bfloat16 and sums in float32.

A float32 is the exact sum of three bfloat16: its leading 8 bits, the next 8 and the last 8. Of the nine
products of two such sums the six largest are added; the others are smaller than a rounding of float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from tvm import te, tirx

from paddle_tvm.targets.expressions import ceil_div, extent
from paddle_tvm.targets.x86.conv2d import Window, pad_spatial
from paddle_tvm.targets.x86.tile import BLOCKED, RULE

AMX = "amx"
"""The schedule's rule."""

ROW_UNITS = "paddle_tvm.row_units"
"""Annotation: into how many units of work rows are divided; 0: threads divide the columns."""

SUMMED = "paddle_tvm.summed"
"""Annotation: how many products are summed; what is beyond in the last block is not."""

PARTS = 3
SIDE = 16
"""Rows of a tile, and float32 or pairs of bfloat16 in a row."""
DEPTH = 2 * SIDE
"""Products that one instruction sums for each element of the result."""
STEP = 2 * SIDE
"""Rows and columns of the result that are computed together: four tiles."""
FASTER_THAN_FMA = SIDE * SIDE * DEPTH / 32 / (6 * 16)
"""How much faster products are at most than multiply-adds of 512 bits, of which a cycle has two.

An instruction takes 16 cycles (Intel's optimization manual), and one is needed for each product of parts.
"""


def pack_tiles(weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A matrix [K, N] in the order in which the kernel reads it.

    Returns
    -------
    [N / 32, K / 32, 32, 32], rows along K. Filled up with zeros.
    """
    depth, columns = weight.shape
    steps, groups = ceil_div(depth, DEPTH), ceil_div(columns, STEP)
    padded = np.zeros((steps * DEPTH, groups * STEP), np.float32)
    padded[:depth, :columns] = weight
    return np.ascontiguousarray(padded.reshape(steps, DEPTH, groups, STEP).transpose(2, 0, 1, 3))


def as_matrix(weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An OIHW weight as a matrix [H * W * I, O]."""
    return weight.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0])


def packed_shape(depth: int, columns: int) -> tuple[int, ...]:
    """Shape of what ``pack_tiles`` returns."""
    return (ceil_div(columns, STEP), ceil_div(depth, DEPTH), DEPTH, STEP)


def multiply_rows(left: te.Tensor, packed: te.Tensor, columns: int, notes: Mapping[str, Any]) -> te.Tensor:
    """``left`` [..., M, K] times a matrix [K, ``columns``] that ``pack_tiles`` packed."""
    *outer, depth = (extent(dim) for dim in left.shape)
    block, lane = _reduction(depth)
    k = block * SIDE + lane
    return te.compute(
        (*outer, columns),
        lambda *index: te.sum(left[(*index[:-1], k)] * _weight(packed, k, index[-1]), axis=[block, lane]),
        name="matmul",
        attrs={RULE: AMX, SUMMED: depth, **notes},
    )


def _reduction(depth: int) -> tuple[Any, Any]:
    """Blocks of the depth, and lanes in a block: apart, so that vectors of lanes are seen to be such."""
    return te.reduce_axis((0, ceil_div(depth, SIDE)), "k"), te.reduce_axis((0, SIDE), "lane")


def convolve(
    data: te.Tensor, packed: te.Tensor, window: Window, depth: int, total: int, notes: Mapping[str, Any]
) -> te.Tensor:
    """Convolution of a blocked input [N, C, H, W, 16] to a blocked result, as a product.

    Parameters
    ----------
    data
        The input; where the window is larger than 1 x 1 its channels are a multiple of 32.
    packed
        ``pack_tiles`` of the weight as a matrix.
    window
        Any, of a convolution that is not grouped.
    depth, total
        Channels of the input and of the output.
    notes
        Annotations for the schedule.
    """
    batch, _, rows, columns, _ = (extent(dim) for dim in data.shape)
    height, width = window.kernel
    out_rows, out_columns = window.output(rows, 0), window.output(columns, 1)
    if any((*window.before, *window.after)):
        data = pad_spatial(data, window, columns + window.before[1] + window.after[1])
    per_tap = ceil_div(depth, SIDE)
    block, lane = _reduction(height * width * depth)

    def product(n: Any, o: Any, y: Any, x: Any, own: Any) -> tirx.Expr:
        tap = block // per_tap
        row = y * window.strides[0] + tap // width * window.dilation[0]
        column = x * window.strides[1] + tap % width * window.dilation[1]
        weight = _weight(packed, block * SIDE + lane, o * SIDE + own)
        return te.sum(data[n, block % per_tap, row, column, lane] * weight, axis=[block, lane])

    shape = (batch, ceil_div(total, SIDE), out_rows, out_columns, SIDE)
    return te.compute(
        shape, product, name="conv2d", attrs={RULE: AMX, BLOCKED: 1, SUMMED: height * width * depth, **notes}
    )


def _weight(packed: te.Tensor, k: Any, column: Any) -> tirx.Expr:
    return packed[column // STEP, k // DEPTH, k % DEPTH, column % STEP]
