"""Writes the constants of an artifact, each distinct one once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from paddle_tvm.runtime.manifest import ALIGNMENT, ITEM_SIZES, WeightSpec


class WeightsFile:
    """A ``weights.bin`` that grows; ``specs`` are the weights that it holds, in order."""

    def __init__(self, path: Path) -> None:
        path.touch()
        self.specs: list[WeightSpec] = []
        self._path = path
        self._known: dict[tuple[str, tuple[int, ...], bytes], int] = {}

    def add(self, weights: Sequence[npt.NDArray[Any]]) -> list[int]:
        """Write the weights that are not there yet; return the index of each.

        Raises
        ------
        TypeError
            An artifact cannot hold the dtype.
        """
        indices: list[int] = []
        with self._path.open("ab") as file:
            for number, weight in enumerate(weights):
                array = np.asarray(weight, order="C")
                if array.dtype.name not in ITEM_SIZES or not array.dtype.isnative:
                    raise TypeError(
                        f"weight {number} has the dtype {array.dtype}, which an artifact cannot hold"
                    )
                data = array.reshape(-1).view(np.uint8).data
                key = (array.dtype.name, array.shape, hashlib.sha256(data).digest())
                if key not in self._known:
                    self._known[key] = len(self.specs)
                    file.write(bytes(-file.tell() % ALIGNMENT))
                    self.specs.append(WeightSpec(array.dtype.name, array.shape, file.tell(), array.nbytes))
                    file.write(data)
                indices.append(self._known[key])
        return indices
