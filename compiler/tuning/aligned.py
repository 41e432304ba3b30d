"""Arrays that kernels take as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tvm

# What generated code takes for granted, in bytes.
_ALIGNMENT = 64


def aligned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A copy that begins where generated code expects tensors to begin."""
    memory = np.empty(array.nbytes + _ALIGNMENT, np.uint8)
    begin = -memory.ctypes.data % _ALIGNMENT
    copy = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def as_tensor(array: npt.NDArray[Any]) -> Any:
    """A tensor of an array: its memory, where that is aligned, else a copy.

    What a forked process finds in its memory it need not copy: weights may have hundreds of megabytes.
    """
    if array.ctypes.data % _ALIGNMENT or not array.flags.c_contiguous:
        return tvm.runtime.tensor(array)
    return tvm.runtime.from_dlpack(array)
