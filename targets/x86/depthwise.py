"""Depthwise convolution in the blocked layout: one filter for each channel, vectors of channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from tvm import te, tirx

from paddle_tvm.targets.expressions import ceil_div, extent
from paddle_tvm.targets.x86.conv2d import Window
from paddle_tvm.targets.x86.sliding_window import slide


def pack_weight(weight: npt.NDArray[Any], lanes: int) -> npt.NDArray[Any]:
    """[C, 1, height, width] to [C / lanes, height, width, lanes], padded with zeros."""
    channels, _, height, width = weight.shape
    blocks = ceil_div(channels, lanes)
    padded = np.zeros((blocks * lanes, height, width), weight.dtype)
    padded[:channels] = weight[:, 0]
    return np.ascontiguousarray(padded.reshape(blocks, lanes, height, width).transpose(0, 2, 3, 1))


def te_pack_weight(weight: te.Tensor, lanes: int) -> te.Tensor:
    """As ``pack_weight``, for weights that are computed at run time."""
    channels, _, height, width = (extent(dim) for dim in weight.shape)
    zero = tirx.const(0, weight.dtype)
    return te.compute(
        (ceil_div(channels, lanes), height, width, lanes),
        lambda c, i, j, lane: tirx.if_then_else(
            c * lanes + lane < channels, weight[c * lanes + lane, 0, i, j], zero
        ),
        name="pack_weight",
    )


def depthwise_blocked(
    data: te.Tensor, weight: te.Tensor, window: Window, notes: Mapping[str, Any] | None = None
) -> te.Tensor:
    """Convolve each channel with its own filter.

    Parameters
    ----------
    data
        [N, C / lanes, H, W, lanes]; N, H and W may be symbolic.
    weight
        As ``pack_weight`` returns it.
    window
        Its kernel has the size of the filters.
    notes
        More annotations for the schedule.

    Returns
    -------
    te.Tensor
        [N, C / lanes, output rows, output columns, lanes].
    """
    return slide(
        data,
        window,
        combine=te.sum,
        outside=tirx.const(0, data.dtype),
        term=lambda value, c, i, j, lane: value * weight[c, i, j, lane],
        name="depthwise_conv2d",
        notes=notes,
    )
