"""Products and convolutions that may be computed on AMX as well.

They are workloads of their own: a record of theirs never applies where there is no AMX, and what was measured
where there is none says nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import prod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from tvm import te

from paddle_tvm.targets.expressions import extent
from paddle_tvm.targets.workload import WORKLOAD, Config, PackedWorkload, Workload
from paddle_tvm.targets.x86.amx import (
    AMX,
    DEPTH,
    FASTER_THAN_FMA,
    ROW_UNITS,
    SIDE,
    STEP,
    as_matrix,
    convolve,
    multiply_rows,
    pack_tiles,
    packed_shape,
)
from paddle_tvm.targets.x86.amx_plan import Sizes, best_division, divisions, is_about_best, is_faster
from paddle_tvm.targets.x86.conv2d_workload import Conv2d
from paddle_tvm.targets.x86.matmul_workload import MatMul
from paddle_tvm.targets.x86.matrix_product import multiply
from paddle_tvm.targets.x86.packing import pack_matrix

# Where their number is not known.
_TYPICAL_ROWS = 128


@dataclass(frozen=True)
class AmxConv2d(Conv2d):
    """A convolution that the model of costs finds faster on AMX.

    Beside the forms of ``Conv2d`` it has those with ``amx``, 1, whose rows (positions) are divided into
    ``row_units`` of work; with 0 threads divide the columns, which are output channels.
    """

    operator: ClassVar[str] = "amx_conv2d"

    @staticmethod
    def of_conv(conv: Conv2d, weight: npt.NDArray[Any]) -> AmxConv2d | None:
        """The same convolution as a workload for AMX; None where that is not faster, or has no such form.

        ``weight`` is the model's.
        """
        is_known = None not in (conv.batch, conv.rows, conv.columns)
        # A step of the depth stays within a tap of the window.
        whole = conv.kernel == (1, 1) or conv.channels % DEPTH == 0
        blocked = conv.groups == 1 and conv.lanes_in == conv.lanes == SIDE
        if not (is_known and whole and blocked) or conv.default()["winograd"]:
            return None
        workload = AmxConv2d(**{field.name: getattr(conv, field.name) for field in fields(conv)})
        return workload if is_faster(workload._sizes()) and np.isfinite(weight).all() else None

    def least_flops(self) -> float | None:
        return _least_flops(super().least_flops(), self.flops())

    def default(self) -> Config:
        return _form(best_division(self._sizes()))

    def candidates(self) -> Sequence[Config]:
        return [*map(_form, divisions(self._sizes())), *super().candidates()]

    def agrees(self, config: Config) -> bool:
        return _agrees(self._sizes(), config)

    def notes(self, config: Config) -> Mapping[str, Any]:
        return _notes(self, config) if AMX in config else super().notes(config)

    def compute(self, config: Config) -> Callable[..., Any]:
        if AMX not in config:
            return super().compute(config)
        return lambda data, weight: convolve(
            data, weight, self.window, self.channels, self.outputs, self.notes(config)
        )

    def packed_shape(self, config: Config) -> tuple[int, ...]:
        return packed_shape(self._depth(), self.outputs) if AMX in config else super().packed_shape(config)

    def pack(self, config: Config, weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return pack_tiles(as_matrix(weight)) if AMX in config else super().pack(config, weight)

    def _sizes(self) -> Sizes:
        rows, columns = self._output()
        assert self.batch is not None
        assert rows is not None
        assert columns is not None
        return Sizes(self.batch * rows * columns, self.outputs, self._depth())


@dataclass(frozen=True)
class AmxMatMul(MatMul, PackedWorkload):
    """A product with a weight that the model of costs finds faster on AMX.

    Beside the forms of ``MatMul`` it has those of ``AmxConv2d``; where the number of rows is not known,
    threads divide the columns.
    """

    operator: ClassVar[str] = "amx_matmul"

    @staticmethod
    def of_weight(left: Any, weight: npt.NDArray[Any]) -> AmxMatMul | None:
        """The workload of a product; None where AMX is not faster, or the product has no such form.

        ``left`` is the shape of the left-hand matrices, ``weight`` the right-hand one.
        """
        *outer, depth = map(extent, left)
        if weight.ndim != 2 or weight.dtype != np.float32:
            return None
        columns = weight.shape[1]
        if depth % SIDE or columns % SIDE:
            return None
        rows = prod(outer) if all(isinstance(size, int) for size in outer) else None
        if rows is None and columns <= STEP:
            # Threads have no columns to divide.
            return None
        workload = AmxMatMul(1, rows, depth, columns, SIDE)
        return workload if is_faster(workload._sizes()) and np.isfinite(weight).all() else None

    def least_flops(self) -> float | None:
        return _least_flops(super().least_flops(), self.flops())

    def default(self) -> Config:
        return _form(0 if self.rows is None else best_division(self._sizes()))

    def candidates(self) -> Sequence[Config]:
        ways = [0] if self.rows is None else divisions(self._sizes())
        return [*map(_form, ways), *super().candidates()]

    def agrees(self, config: Config) -> bool:
        return _agrees(self._sizes(), config)

    def notes(self, config: Config) -> Mapping[str, Any]:
        return _notes(self, config) if AMX in config else super().notes(config)

    def compute(self, config: Config) -> Callable[..., Any]:
        notes, columns = self.notes(config), self._sizes().columns

        def product(left: te.Tensor, weight: te.Tensor) -> te.Tensor:
            if AMX in config:
                return multiply_rows(left, weight, columns, notes)
            outer = [extent(size) for size in left.shape[:-1]]
            return multiply(left, weight, [*outer, columns], "float32", notes)

        return product

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self._sizes().depth, self._sizes().columns)

    def packed_shape(self, config: Config) -> tuple[int, ...]:
        depth, columns = self.weight_shape
        return packed_shape(depth, columns) if AMX in config else (columns // SIDE, depth, SIDE)

    def pack(self, config: Config, weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return pack_tiles(weight) if AMX in config else pack_matrix(weight, SIDE)

    def _sizes(self) -> Sizes:
        assert self.columns is not None
        assert self.depth is not None
        return Sizes(_TYPICAL_ROWS if self.rows is None else self.rows, self.columns, self.depth)


def _form(row_units: int) -> Config:
    return {AMX: 1, "row_units": row_units}


def _least_flops(vectors: float | None, flops: int | None) -> float | None:
    """Those of the fewest of the forms in vectors, or of those in tiles; None where a size is not known."""
    return None if vectors is None or flops is None else min(vectors, flops / FASTER_THAN_FMA)


def _agrees(sizes: Sizes, config: Config) -> bool:
    """Whether a form is on AMX as the default is, and costs about as much."""
    return AMX in config and is_about_best(sizes, config["row_units"])


def _notes(workload: Workload, config: Config) -> Mapping[str, Any]:
    return {WORKLOAD: workload.key, ROW_UNITS: config["row_units"]}
