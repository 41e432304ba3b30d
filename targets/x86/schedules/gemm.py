"""The schedule of matrix products.

The block marked by the legalization computes [..., row, column] from a left matrix and one that is packed
as [..., column / lanes, k, lane]. A tile of the result stays in registers over the whole reduction, and
what follows (bias, residual, activation) runs on it when it is done. Tiles are written out for each number
of rows that they may have: the last one computes no row in vain, and a single row is not computed as four.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import s_tir, tirx

from paddle_tvm.targets.expressions import ceil_div, extent
from paddle_tvm.targets.x86.prefetch import are_large, prefetch
from paddle_tvm.targets.x86.schedules.fused_stage import FusedStage, take_stage
from paddle_tvm.targets.x86.schedules.loop_nest import (
    PARALLEL,
    SERIAL,
    UNROLLED,
    VECTORIZED,
    int64,
    loop,
    opaque_block,
    sequence,
    substitute,
    unravel,
)
from paddle_tvm.targets.x86.tile import BLOCKS, LANES, TILE, UNITS, Tile

# Products of fewer multiply-adds take about as long as starting the threads.
_PARALLEL_WORK = 1 << 18
# Every so many steps of the depth a tile asks for memory.
_DEPTH_OF_PART = 8
# Where it is not known how many tiles of rows there are, all ask for a part as if there were so many.
_SHARES_OF_UNKNOWN = 8


def schedule_gemm(schedule: s_tir.Schedule, main: Any) -> None:
    """Schedule a function that holds a product of rows."""
    fused = take_stage(schedule, main)
    fused.replace(schedule, GemmKernel.read(fused).statement())


@dataclass(frozen=True)
class GemmKernel:
    """A product, what runs on its result, and the sizes of its tiles."""

    fused: FusedStage
    lanes: int
    tile: Tile
    # Groups of columns are divided into rows until there are so many units of work.
    units: int
    # Whether every matrix has its own right-hand side; where not, the rows of all are rows of one.
    batched: bool

    @staticmethod
    def read(fused: FusedStage) -> GemmKernel:
        """From the block, which carries the sizes as annotations."""
        lanes, points, blocks, units = (
            int(fused.main.annotations[name]) for name in (LANES, TILE, BLOCKS, UNITS)
        )
        # Of what the block reads, the right-hand matrix comes last.
        packed = fused.main.reads[-1].source
        return GemmKernel(fused, lanes, Tile(points, blocks), units, len(packed.shape) > 3)

    @property
    def shape(self) -> list[Any]:
        return [extent(size) for size in self.fused.result.shape]

    @property
    def _reduction(self) -> list[Any]:
        """Extents of the axes of the block that are summed: the depth, or its blocks and the lanes in one."""
        axes = self.fused.main.iter_vars
        return [extent(axis.dom.extent) for axis in axes if int(axis.iter_type) == tirx.IterVar.CommReduce]

    @property
    def _depth(self) -> Any:
        return _count(self._reduction)

    def _summed(self, k: Any) -> list[Any]:
        """Where a step of the depth stands on these axes."""
        *blocks, lanes = self._reduction
        return [k // lanes, k % lanes] if blocks else [k]

    def statement(self) -> tirx.Stmt:
        """All loops."""
        *batch, rows, columns = self.shape
        matrices = _count(batch) if self.batched else 1
        total = rows if self.batched else _count([*batch, rows])
        wide = self.lanes * self.tile.blocks
        whole = columns // wide if isinstance(columns, int) else tirx.floordiv(columns, wide)
        groups = ceil_div(columns, wide)
        tiles = ceil_div(total, self.tile.points)
        chunks = -(-self.units // groups) if isinstance(groups, int) else 4
        if isinstance(tiles, int):
            chunks = min(chunks, tiles)
        share = ceil_div(tiles, chunks)

        def unit(index: Any) -> tirx.Stmt:
            chunk = tirx.floormod(index, chunks)
            group = tirx.floormod(tirx.floordiv(index, chunks), groups)
            matrix = tirx.floordiv(index, chunks * groups)
            count = tirx.min(share, tiles - chunk * share)

            def over_rows(width: Any, vectors: int) -> tirx.Stmt:
                return loop(
                    "tile",
                    0,
                    tirx.max(count, tirx.IntImm("int64", 0)),
                    lambda tile: self._tile(
                        matrix, (chunk * share + tile) * self.tile.points, total, group, width, vectors
                    ),
                )

            rest = columns - whole * wide
            if isinstance(rest, int):
                if rest == 0:
                    return over_rows(wide, self.tile.blocks)
                narrow = over_rows(rest, ceil_div(rest, self.lanes))
                if whole == 0:
                    return narrow
            else:
                # The right-hand matrix is padded to whole groups.
                narrow = over_rows(rest, self.tile.blocks)
            return tirx.IfThenElse(group < whole, over_rows(wide, self.tile.blocks), narrow)

        work = _count([matrices, total, columns, self._depth])
        small = isinstance(work, int) and work < _PARALLEL_WORK
        return loop("unit", 0, matrices * groups * chunks, unit, SERIAL if small else PARALLEL)

    def _tile(self, matrix: Any, first: Any, total: Any, group: Any, width: Any, vectors: int) -> tirx.Stmt:
        """A tile of rows: all that there are, up to the height of a tile."""

        def of_rows(count: int) -> tirx.Stmt:
            return self._product(matrix, first, count, group, width, vectors)

        if isinstance(total, int):
            rest = total % self.tile.points
            if rest == 0 or total < self.tile.points:
                return of_rows(rest or self.tile.points)
            return tirx.IfThenElse(
                total - first >= self.tile.points, of_rows(self.tile.points), of_rows(rest)
            )
        statement = of_rows(1)
        for count in range(2, self.tile.points + 1):
            statement = tirx.IfThenElse(total - first >= count, of_rows(count), statement)
        return statement

    def _product(
        self, matrix: Any, first: Any, count: int, group: Any, width: Any, vectors: int
    ) -> tirx.Stmt:
        dtype = str(self.fused.result.ty.dtype)
        # In global scope, and one for each row: TVM 0.27 puts less than 1 KB on the stack, and LLVM that into
        # registers; for more, or in local scope, each tile would call TVMBackendAllocWorkspace.
        sums = [tirx.decl_buffer((vectors * self.lanes,), dtype, f"sums{row}") for row in range(count)]
        start = group * (self.lanes * self.tile.blocks)
        body = self.fused.main.body.value
        axes = [axis.var for axis in self.fused.main.iter_vars]
        places = [self._place(matrix, first + row) for row in range(count)]

        def row_of(row: int, body: Callable[[int, Any], tirx.Stmt]) -> tirx.Stmt:
            def vector(number: Any) -> tirx.Stmt:
                first = number * self.lanes
                return loop("lane", 0, self.lanes, lambda lane: body(row, first + lane), VECTORIZED)

            return loop("vector", 0, vectors, vector, UNROLLED)

        def each(body: Callable[[int, Any], tirx.Stmt]) -> tirx.Stmt:
            return sequence([row_of(row, body) for row in range(count)])

        def update(row: int, column: Any, k: Any) -> tirx.Stmt:
            index = [*places[row], start + column, *self._summed(k)]
            term = substitute(body.b, list(zip(axes, index, strict=True)))
            return tirx.BufferStore(sums[row], sums[row][column] + term, [column])

        def finish(row: int) -> tirx.Stmt:
            def store(column: Any) -> tirx.Stmt:
                return self.fused.store(sums[row][column], [*places[row], start + column])

            return loop("column", 0, width, store)

        zero = tirx.const(0, dtype)
        statements = [
            each(lambda row, column: tirx.BufferStore(sums[row], zero, [column])),
            *self._over_depth(group, first, lambda k: each(lambda row, column: update(row, column, k))),
            *[finish(row) for row in range(count)],
        ]
        return opaque_block("tile", sums, sequence(statements))

    def _over_depth(self, group: Any, first: Any, update: Callable[[Any], tirx.Stmt]) -> list[tirx.Stmt]:
        """Sum over the depth, asking now and then for a share of the next group of columns."""
        depth = self._depth
        shares = self._shares(depth)
        if shares < 2:
            return [loop("k", 0, depth, update)]
        packed = self.fused.main.reads[-1].source
        parts, rest = divmod(depth, _DEPTH_OF_PART)
        lines = ceil_div(depth * self.tile.blocks, shares * parts)
        tile = first // self.tile.points % shares

        def part(number: Any) -> tirx.Stmt:
            line = (tile * parts + number) * lines
            asked = [prefetch(packed, self._line(group + 1, line + more)) for more in range(lines)]
            first_k = number * _DEPTH_OF_PART
            return sequence([*asked, loop("k", 0, _DEPTH_OF_PART, lambda k: update(first_k + k))])

        statements = [loop("part", 0, parts, part)]
        if rest:
            statements.append(loop("k", parts * _DEPTH_OF_PART, rest, update))
        return statements

    def _line(self, group: Any, line: Any) -> list[Any]:
        """A vector of the right-hand matrix among those of a group of columns."""
        packed = self.fused.main.reads[-1].source
        if len(packed.shape) == 3:
            return [group * self.tile.blocks, line, int64(0)]
        # Wider tiles of columns lie side by side.
        wide = extent(packed.shape[-1])
        place = group * (self.tile.blocks * self.lanes // wide)
        return [place, int64(0), int64(0), line * self.lanes]

    def _shares(self, depth: Any) -> int:
        """How many tiles of rows share in asking for a group of columns; 0 where it is not worth while."""
        *batch, rows, columns = self.shape
        if self.batched or not (isinstance(depth, int) and isinstance(columns, int)):
            return 0
        if depth < _DEPTH_OF_PART or not are_large(depth * columns):
            return 0
        total = _count([*batch, rows])
        return ceil_div(total, self.tile.points) if isinstance(total, int) else _SHARES_OF_UNKNOWN

    def _place(self, matrix: Any, row: Any) -> list[Any]:
        """Indices of a row: of its matrix, and in it."""
        *batch, rows, _ = self.shape
        if self.batched:
            return [*unravel(matrix, batch), row]
        return unravel(row, [*batch, rows])


def _count(sizes: list[Any]) -> Any:
    product: Any = 1
    for size in sizes:
        product = size if isinstance(product, int) and product == 1 else product * size
    return product
