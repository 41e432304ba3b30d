"""Activations in the blocked layout, for tests of kernels that take it."""

from __future__ import annotations

import numpy as np


def block(array: np.ndarray, lanes: int) -> np.ndarray:
    """[N, C, H, W] to [N, C / lanes, H, W, lanes]; lanes beyond C hold what no kernel may use."""
    batch, channels, rows, columns = array.shape
    blocks = -(-channels // lanes)
    padded = np.full((batch, blocks * lanes, rows, columns), np.nan, array.dtype)
    padded[:, :channels] = array
    return np.ascontiguousarray(padded.reshape(batch, blocks, lanes, rows, columns).transpose(0, 1, 3, 4, 2))


def unblock(array: np.ndarray, channels: int) -> np.ndarray:
    """The inverse of ``block``."""
    batch, blocks, rows, columns, lanes = array.shape
    return array.transpose(0, 1, 4, 2, 3).reshape(batch, blocks * lanes, rows, columns)[:, :channels]
