"""The forms that a matrix product can have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

from paddle_tvm.targets.expressions import ceil_div, extent
from paddle_tvm.targets.workload import WORKLOAD, Config, Workload
from paddle_tvm.targets.x86.tile import (
    GEMM_UNITS,
    Tile,
    gemm_annotations,
    gemm_tile,
    possible_gemm_tiles,
    tile_efficiency,
)

# By so much the efficiencies of tiles may differ that are about as good.
_ABOUT = 1.15
# Of parallel work: candidates.
_UNITS = (4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class MatMul(Workload):
    """Products of float32 matrices [rows, depth] and [depth, columns].

    Attributes
    ----------
    matrices
        How many right-hand matrices there are. Where it is 1, ``rows`` are those of all left-hand ones.
    rows, depth, columns
        None where not known.
    lanes
        Columns in a vector.

    The parameters of a form: ``points`` rows by ``blocks`` vectors of columns are a register tile, and
    columns are divided into rows of tiles until there are about ``units`` of work for threads.
    """

    operator: ClassVar[str] = "matmul"

    matrices: int | None
    rows: int | None
    depth: int | None
    columns: int | None
    lanes: int

    @staticmethod
    def of(left: Any, packed: Any, shape: Sequence[Any], lanes: int) -> MatMul:
        """The workload of a product, by the shapes of its operands and of its result."""
        *outer, rows, columns = (size if isinstance(size, int) else None for size in map(extent, shape))
        depth = extent(left[-1])
        batched = len(packed) > 3
        own = [*([] if batched else outer), rows]
        return MatMul(
            matrices=_product(outer) if batched else 1,
            rows=_product(own),
            depth=depth if isinstance(depth, int) else None,
            columns=columns,
            lanes=lanes,
        )

    def family(self) -> tuple[object, ...]:
        return (self.matrices == 1, self.lanes)

    def sizes(self) -> tuple[int | None, ...]:
        return (self.matrices, self.rows, self.depth, self.columns)

    def flops(self) -> int | None:
        total = _product([self.matrices, self.rows, self.depth, self.columns])
        return None if total is None else 2 * total

    def default(self) -> Config:
        return _default(self.lanes)

    def candidates(self) -> Sequence[Config]:
        # Of the forms in vectors, also where another one is the default.
        default = _default(self.lanes)
        # Tiles with more rows than there are, or more columns, are no other form.
        most = ceil_div(self.columns, self.lanes) if self.columns else None

        def fits(tile: Tile) -> bool:
            if self.rows is not None and tile.points > self.rows:
                return False
            # A right-hand matrix of unknown width is packed before its product is known.
            return tile.blocks <= most if most is not None else tile.blocks == default["blocks"]

        forms: list[Config] = [
            {"points": tile.points, "blocks": tile.blocks, "units": units}
            for tile in possible_gemm_tiles(self.lanes)
            if fits(tile)
            for units in _UNITS
        ]
        return forms if default in forms else [default, *forms]

    def agrees(self, config: Config) -> bool:
        efficiency, best = (
            tile_efficiency(Tile(form["points"], form["blocks"]), self.rows, self.lanes, self.depth or 0)
            for form in (config, self.default())
        )
        return _ABOUT * efficiency >= best

    def notes(self, config: Config) -> Mapping[str, Any]:
        tile = Tile(config["points"], config["blocks"])
        return {WORKLOAD: self.key, **gemm_annotations(self.lanes, tile, config["units"])}


def _default(lanes: int) -> Config:
    tile = gemm_tile(lanes)
    return {"points": tile.points, "blocks": tile.blocks, "units": GEMM_UNITS}


def _product(sizes: Sequence[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return prod(known) if len(known) == len(sizes) else None
