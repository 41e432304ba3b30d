"""Packs weights at compile time into the order in which the kernels read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from tvm import te, tirx

from paddle_tvm.targets.expressions import ceil_div, extent


def pack_conv_weight(weight: npt.NDArray[Any], groups: int, lanes: int) -> npt.NDArray[Any]:
    """OIHW to [group, output channels / lanes, input channels, height, width, lanes], padded with zeros."""
    total, channels, height, width = weight.shape
    per_group = total // groups
    blocks = ceil_div(per_group, lanes)
    padded = np.zeros((groups, blocks * lanes, channels, height, width), weight.dtype)
    padded[:, :per_group] = weight.reshape(groups, per_group, channels, height, width)
    packed = padded.reshape(groups, blocks, lanes, channels, height, width).transpose(0, 1, 3, 4, 5, 2)
    return np.ascontiguousarray(packed)


def te_pack_conv_weight(weight: te.Tensor, groups: int, lanes: int) -> te.Tensor:
    """As ``pack_conv_weight``, for weights that are computed at run time."""
    total, channels, height, width = (extent(dim) for dim in weight.shape)
    per_group = total // groups
    zero = tirx.const(0, weight.dtype)
    return te.compute(
        (groups, ceil_div(per_group, lanes), channels, height, width, lanes),
        lambda g, o, c, y, x, lane: tirx.if_then_else(
            o * lanes + lane < per_group, weight[g * per_group + o * lanes + lane, c, y, x], zero
        ),
        name="pack_weight",
    )


def pack_matrix(matrix: npt.NDArray[Any], lanes: int) -> npt.NDArray[Any]:
    """[..., K, N] to [..., N / lanes, K, lanes], padded with zeros."""
    *batch, depth, width = matrix.shape
    blocks = ceil_div(width, lanes)
    padded = np.zeros((*batch, depth, blocks * lanes), matrix.dtype)
    padded[..., :width] = matrix
    packed = padded.reshape(*batch, depth, blocks, lanes)
    return np.ascontiguousarray(np.moveaxis(packed, -2, -3))


def te_pack_matrix(matrix: te.Tensor, lanes: int, group: int = 1) -> te.Tensor:
    """As ``pack_matrix``, for a matrix that is computed at run time; to a multiple of ``group`` blocks."""
    *batch, depth, width = (extent(dim) for dim in matrix.shape)
    zero = tirx.const(0, matrix.dtype)

    def read(*index: tirx.Expr) -> tirx.Expr:
        *outer, block, k, lane = index
        column = block * lanes + lane
        if isinstance(width, int) and width % lanes == 0:
            return matrix[(*outer, k, column)]
        return tirx.if_then_else(column < width, matrix[(*outer, k, column)], zero)

    blocks = ceil_div(width, lanes * group) * group
    return te.compute((*batch, blocks, depth, lanes), read, name="pack_matrix")
