"""Arrays that kernels take as they are."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm

# What generated code takes for granted, in bytes.
ALIGNMENT = 64


def aligned_empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Memory that begins where generated code expects tensors to begin, with anything in it."""
    size = prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    begin = -memory.ctypes.data % ALIGNMENT
    return memory[begin : begin + size].view(dtype).reshape(shape)


def aligned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A copy that begins where generated code expects tensors to begin."""
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy


class AlignedCopies:
    """Copies of the arrays that were asked for last.

    Their memory is used again and again: to fill new memory takes ten times as long.

    Parameters
    ----------
    most
        Of how many arrays; those of others are gone, though somebody may still have them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[Hashable, tuple[npt.NDArray[np.uint8], list[npt.NDArray[Any]]]] = (
            OrderedDict()
        )

    def get(
        self, key: Hashable, array: npt.NDArray[Any], count: int, room: int = 0
    ) -> list[npt.NDArray[Any]]:
        """So many copies of an array, which are made unless there are some under this key.

        New memory has ``room`` bytes if that is more than they need, so that it will do for others, too.
        """
        if key not in self._known:
            pitch = array.nbytes + -array.nbytes % ALIGNMENT
            memory = np.empty(0, np.uint8)
            if len(self._known) == self._most:
                _, (memory, _) = self._known.popitem(last=False)
            if len(memory) < count * pitch:
                memory = aligned_empty((max(room, count * pitch),), np.uint8)
            copies = []
            for begin in range(0, count * pitch, pitch):
                copy = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
                copy[...] = array
                copies.append(copy)
            self._known[key] = memory, copies
        self._known.move_to_end(key)
        return self._known[key][1]


def as_tensor(array: npt.NDArray[Any]) -> Any:
    """A tensor of an array: its memory, where that is aligned, else a copy.

    What a forked process finds in its memory it need not copy: weights may have hundreds of megabytes.
    """
    if array.ctypes.data % ALIGNMENT or not array.flags.c_contiguous:
        return tvm.runtime.tensor(array)
    return tvm.runtime.from_dlpack(array)
