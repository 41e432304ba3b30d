"""What a kernel for AMX computes: the sizes of the product, and where its elements stand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

from tvm import tirx

from paddle_tvm.targets.expressions import ceil_div, extent, simplify
from paddle_tvm.targets.x86.amx import SIDE, STEP, SUMMED
from paddle_tvm.targets.x86.schedules.fused_stage import FusedStage
from paddle_tvm.targets.x86.schedules.loop_nest import int64, substitute, unravel
from paddle_tvm.targets.x86.tile import BLOCKED


@dataclass(frozen=True)
class Product:
    """A product of matrices, whose result is [..., rows, columns] or, blocked, [N, C, H, W, 16]."""

    fused: FusedStage

    @cached_property
    def _shape(self) -> list[Any]:
        return [extent(size) for size in self.fused.result.shape]

    @property
    def _is_blocked(self) -> bool:
        return BLOCKED in self.fused.main.annotations

    @cached_property
    def _sizes(self) -> list[Any]:
        """Of the axes of the result that are rows of the product."""
        return [self._shape[0], *self._shape[2:4]] if self._is_blocked else self._shape[:-1]

    @property
    def rows(self) -> Any:
        """An expression where it is not known."""
        return simplify(prod(self._sizes))

    @property
    def end_of_rows(self) -> int | None:
        """Rows beyond the last whole pair of tiles; None where not known."""
        return self.rows % STEP if isinstance(self.rows, int) else None

    @property
    def blocks(self) -> int:
        """Vectors of columns."""
        return int(self._shape[1] if self._is_blocked else ceil_div(self._shape[-1], SIDE))

    @property
    def depth(self) -> int:
        return int(self.fused.main.annotations[SUMMED])

    @property
    def packed(self) -> Any:
        """The right-hand matrix."""
        # Of what the block reads it comes last.
        return self.fused.main.reads[-1].source

    def left(self, row: Any, k: tuple[Any, Any]) -> Any:
        """An element of the left-hand matrix; of rows beyond the last one the last's.

        ``k`` is a block of the depth, and the lane in it.
        """
        return self._at(self.fused.main.body.value.b.a, row, 0, 0, k)

    def term(self, row: Any, block: Any, lane: Any, k: tuple[Any, Any]) -> Any:
        """What is summed for an element of the result; of rows beyond the last one for the last's."""
        return self._at(self.fused.main.body.value.b, row, block, lane, k)

    def store(self, value: Any, row: Any, block: Any, lane: Any) -> tirx.Stmt:
        """Run what follows on an element."""
        return self.fused.store(value, self._index(row, block, lane))

    def _at(self, expression: Any, row: Any, block: Any, lane: Any, k: tuple[Any, Any]) -> Any:
        axes = [axis.var for axis in self.fused.main.iter_vars]
        # Tiles are whole.
        known = row if self.end_of_rows == 0 else tirx.min(row, int64(self.rows - 1))
        index = [*self._index(known, block, lane), *k]
        return substitute(expression, list(zip(axes, map(int64, index), strict=True)))

    def _index(self, row: Any, block: Any, lane: Any) -> list[Any]:
        place = unravel(row, self._sizes)
        if self._is_blocked:
            return [place[0], block, *place[1:], lane]
        return [*place, block * SIDE + lane]
