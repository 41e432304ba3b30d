"""The schedule of depthwise convolution and pooling in the blocked layout.

It writes its loops itself: a tile of positions along the row has its sums in registers over the whole
window, rows of the window that lie in the padding are left out by the bounds of a loop, columns as
``row_tiles`` says, so that no padded copy is made. What follows runs on the tile in registers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tvm import s_tir, tirx

from paddle_tvm.targets.expressions import ceil_div, extent, simplify
from paddle_tvm.targets.x86.schedules.fused_stage import FusedStage, take_stage
from paddle_tvm.targets.x86.schedules.loop_nest import (
    PARALLEL,
    UNROLLED,
    int64,
    loop,
    opaque_block,
    replace_loads,
    sequence,
    substitute,
    vectors,
    without_conditions,
)
from paddle_tvm.targets.x86.schedules.row_tiles import (
    RowPlan,
    RowTile,
    Taps,
    best_width,
    fits,
    inner_tiles,
    long_row,
    shortest,
    whole_row,
)
from paddle_tvm.targets.x86.sliding_window import (
    ROWS_OF_UNIT,
    WIDEST,
    WIDEST_TILE,
    WINDOW,
    WindowAxis,
    rows_of_unit,
)
from paddle_tvm.targets.x86.tile import LANES, TILE

# Shown in profiles.
KERNEL, STRIDE = "paddle_tvm.kernel", "paddle_tvm.stride"

_NARROWEST = 4
# Rows of up to this many tiles are written out.
_WRITTEN_OUT = 4
# For symbolic rows: the widths of tiles to choose from when it runs.
_SYMBOLIC_WIDTHS = (8, 4, 2)
# Below this number of vector operations starting threads costs more than they save.
_PARALLEL_WORK = 1 << 14


def schedule_sliding_window(schedule: s_tir.Schedule, main: Any) -> None:
    """Schedule a function that holds a block to slide."""
    fused = take_stage(schedule, main)
    kernel = SlidingKernel.read(fused)
    fused.replace(schedule, kernel.statement())
    for name, value in kernel.notes().items():
        schedule.annotate(schedule.get_sblock("root"), name, value)


@dataclass(frozen=True)
class _Place:
    """Where a tile stands: batch, block and row, and the start of the tile in the row."""

    batch: Any
    block: Any
    row: Any
    column: Any


@dataclass(frozen=True)
class SlidingKernel:
    """A window's block and what runs on its result, and the loops that are made of them."""

    fused: FusedStage
    rows: WindowAxis
    columns: WindowAxis
    # Most positions of a tile; rows of a parallel unit, 0: as the number of rows suggests.
    widest: int = WIDEST_TILE
    unit: int = 0

    @staticmethod
    def read(fused: FusedStage) -> SlidingKernel:
        """From the block, which carries the window as an annotation."""
        numbers = [int(number) for number in fused.main.annotations[WINDOW]]
        data = next(region.source for region in fused.main.reads if len(region.source.shape) == 5)

        def axis(number: int) -> WindowAxis:
            kernel, stride, dilation, before, after = numbers[5 * number : 5 * number + 5]
            size, output = extent(data.shape[2 + number]), extent(fused.result.shape[2 + number])
            return WindowAxis(size, output, kernel, stride, dilation, before, after)

        notes = fused.main.annotations
        widest = int(notes[WIDEST]) if WIDEST in notes else WIDEST_TILE
        unit = int(notes[ROWS_OF_UNIT]) if ROWS_OF_UNIT in notes else 0
        return SlidingKernel(fused, axis(0), axis(1), widest, unit)

    @property
    def result(self) -> Any:
        return self.fused.result

    @property
    def lanes(self) -> int:
        return int(self.result.shape[4])

    def statement(self) -> tirx.Stmt:
        """All loops."""
        batch, blocks = extent(self.result.shape[0]), extent(self.result.shape[1])
        rows = self._rows_together()
        chunks = ceil_div(self.rows.output, rows)

        def chunk(n: Any, c: Any, r: Any) -> tirx.Stmt:
            first = r * rows
            whole = isinstance(self.rows.output, int) and self.rows.output % rows == 0
            count = rows if whole else tirx.min(rows, self.rows.output - first)
            return loop("y", first, count, lambda y: self._row(n, c, y))

        if not self._is_parallel(batch, blocks):
            return loop(
                "n",
                0,
                batch,
                lambda n: loop("c", 0, blocks, lambda c: loop("r", 0, chunks, lambda r: chunk(n, c, r))),
            )
        units = simplify(batch * blocks * chunks)
        return loop(
            "unit",
            0,
            units,
            lambda u: chunk(u // (blocks * chunks), u % blocks, u // blocks % chunks),
            PARALLEL,
        )

    def notes(self) -> dict[str, str | int]:
        """What profiles show of the schedule: for ``tile`` widths, with ``/`` where a row's size decides."""
        plan = self._fixed_row()
        if isinstance(plan, RowPlan):
            tile = str(plan.width)
        elif plan is not None:
            tile = "+".join(str(part.width) for part in plan)
        else:
            tile = "/".join([*(str(width) for width in _SYMBOLIC_WIDTHS if fits(self.columns, width)), "1"])
        return {
            TILE: tile,
            ROWS_OF_UNIT: self._rows_together(),
            LANES: self.lanes,
            KERNEL: f"{self.rows.kernel}x{self.columns.kernel}",
            STRIDE: f"{self.rows.stride}x{self.columns.stride}",
        }

    def _work(self) -> Any:
        """Vector operations of a row."""
        return self.columns.output * self.rows.kernel * self.columns.kernel

    def _is_parallel(self, batch: Any, blocks: int) -> bool:
        total = simplify(batch * blocks * self.rows.output * self._work())
        return not isinstance(total, int) or total >= _PARALLEL_WORK

    def _rows_together(self) -> int:
        """Rows of a parallel unit."""
        return self.unit or rows_of_unit(self.rows.output)

    def _fixed_row(self) -> RowPlan | tuple[RowTile, ...] | None:
        """How every row is cut; None where that is found out when it runs."""
        axis = self.columns
        if isinstance(axis.size, int) and isinstance(axis.output, int):
            width = best_width(axis, _NARROWEST, self.widest)
            if width is not None and axis.output > _WRITTEN_OUT * self.widest:
                return long_row(axis, width)
            if axis.output <= 2 * _WRITTEN_OUT * self.widest:
                return whole_row(axis, self.widest)
        return None

    def _row(self, n: Any, c: Any, y: Any) -> tirx.Stmt:
        axis, plan = self.columns, self._fixed_row()
        if isinstance(plan, RowPlan):
            return self._long_row(n, c, y, plan)
        if plan is not None:
            return sequence([self._end(_Place(n, c, y, tile.start), tile) for tile in plan])
        result = self._single(n, c, y)
        for width in sorted(_SYMBOLIC_WIDTHS):
            if fits(axis, width):
                row = self._long_row(n, c, y, long_row(axis, width))
                result = tirx.IfThenElse(axis.output >= int64(shortest(axis, width)), row, result)
        return result

    def _long_row(self, n: Any, c: Any, y: Any, plan: RowPlan) -> tirx.Stmt:
        output, width = self.columns.output, plan.width

        def inner(tile: Any) -> tirx.Stmt:
            start = tile * width + width
            if not (isinstance(output, int) and output % width == 0):
                start = tirx.min(start, output - (plan.right + width))
            return self._tile(_Place(n, c, y, start), width, plan.inner)

        first, last = plan.ends
        return sequence(
            [
                self._end(_Place(n, c, y, 0), first),
                loop("tile", 0, inner_tiles(plan, output), inner),
                self._end(_Place(n, c, y, output + last.start), last),
            ]
        )

    def _end(self, place: _Place, tile: RowTile) -> tirx.Stmt:
        """A tile at the end of a row: of its variants the one for the size of the input."""
        axis = self.columns
        statement = self._tile(place, tile.width, tile.variants[0])
        if len(tile.variants) > 1:
            reach = axis.dilation * (axis.kernel - 1)
            unread = (axis.size + (axis.before + axis.after - reach - 1)) % axis.stride
            for number, taps in enumerate(tile.variants[1:], 1):
                variant = self._tile(place, tile.width, taps)
                statement = tirx.IfThenElse(tirx.EQ(unread, int64(number)), variant, statement)
        return statement

    def _single(self, n: Any, c: Any, y: Any) -> tirx.Stmt:
        """A row position by position, for sizes and windows that no plan fits."""
        return loop("x", 0, self.columns.output, lambda x: self._tile(_Place(n, c, y, x), 1, None))

    def _tile(self, place: _Place, width: int, taps: Sequence[Taps] | None) -> tirx.Stmt:
        """A tile of positions; without taps those of a single position are found when it runs."""
        # In global scope: there TVM 0.27 puts less than 1 KB on the stack, and LLVM that into registers. For
        # a local buffer each tile would call TVMBackendAllocWorkspace.
        sums = tirx.decl_buffer((width, self.lanes), str(self.result.ty.dtype), "sums")

        def columns(i: Any) -> tirx.Stmt:
            if taps is None:
                first, count = _inside(self.columns, place.column)
                return loop("j", first, count, lambda j: self._update(sums, place, 0, 1, i, j))
            return sequence(
                [self._update(sums, place, tap.first, tap.last - tap.first, i, tap.column) for tap in taps]
            )

        def store(t: Any, lane: Any) -> tirx.Stmt:
            index = [place.batch, place.block, place.row, place.column + t, lane]
            return self.fused.store(tirx.BufferLoad(sums, [t, lane]), index)

        first, count = _inside(self.rows, place.row)
        statements = [
            self._each(
                0, width, lambda t, lane: tirx.BufferStore(sums, self.fused.main.init.value, [t, lane])
            )
        ]
        if taps is None or taps:
            statements.append(loop("i", first, count, columns))
        statements.append(self._each(0, width, store))
        return opaque_block("tile", [sums], sequence(statements))

    def _each(self, first: int, count: int, body: Any) -> tirx.Stmt:
        """For each vector of a tile."""
        return loop(
            "t",
            first,
            count,
            lambda t: vectors(lambda lane: body(t, lane), self.lanes),
            UNROLLED,
        )

    def _update(self, sums: Any, place: _Place, first: int, count: int, i: Any, j: Any) -> tirx.Stmt:
        """Combine one row and column of the window into the sums."""
        axes = [axis.var for axis in self.fused.main.iter_vars]
        value = without_conditions(self.fused.main.body.value)

        def update(t: Any, lane: Any) -> tirx.Stmt:
            index = [place.batch, place.block, place.row, place.column + t, lane, i, j]
            combined = substitute(value, list(zip(axes, map(int64, index), strict=True)))
            sums_here = replace_loads(combined, self.result, lambda load: tirx.BufferLoad(sums, [t, lane]))
            return tirx.BufferStore(sums, sums_here, [t, lane])

        return self._each(first, count, update)


def _inside(axis: WindowAxis, place: Any) -> tuple[Any, Any]:
    """First tap of a window that is inside, and the number of those that are."""
    if not axis.before and not axis.after:
        return 0, axis.kernel
    origin = place * axis.stride - axis.before
    first = tirx.max(0, tirx.floordiv(axis.dilation - 1 - origin, axis.dilation))
    last = tirx.min(axis.kernel, tirx.floordiv(axis.size - 1 - origin, axis.dilation) + 1)
    return first, last - first
