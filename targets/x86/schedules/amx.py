"""The schedule of float32 products on AMX; ``paddle_tvm.targets.x86.amx`` says how they are made.

Rows of the left-hand matrix are split into parts, in a buffer that stays in the second-level cache, and
multiplied with one group of columns after the other, which is split when its turn comes: parts take 6
bytes, a float32 takes 4, and weights come from memory. Threads divide the rows, or, where there are few, the
columns: then each splits all rows for itself, which is faster than to read parts from the cache of another
core. The tiles of a result go through memory to what follows, which runs in vectors. Rows that hold infinite
or undefined numbers, which parts do not express, are multiplied as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import s_tir, tirx
from tvm.tirx import ForKind

from paddle_tvm.targets.expressions import ceil_div
from paddle_tvm.targets.x86.amx import DEPTH, PARTS, ROW_UNITS, SIDE, STEP
from paddle_tvm.targets.x86.amx_plan import count_runs
from paddle_tvm.targets.x86.every_thread import on_every_thread
from paddle_tvm.targets.x86.schedules.amx_product import Product
from paddle_tvm.targets.x86.schedules.amx_split import Depth, SplitRows, split_columns
from paddle_tvm.targets.x86.schedules.amx_tile import Tiles, amx, configure
from paddle_tvm.targets.x86.schedules.fused_stage import take_stage
from paddle_tvm.targets.x86.schedules.gemm import GemmKernel
from paddle_tvm.targets.x86.schedules.loop_nest import (
    PARALLEL,
    SERIAL,
    clear,
    int64,
    loop,
    opaque_block,
    sequence,
)
from paddle_tvm.targets.x86.tile import GEMM_UNITS, gemm_tile

# Where it is not known how many rows there are: so many pairs of tiles are split at a time, and up to so many
# rows are multiplied in vectors, for weights arrive as fast as these go through them.
_PAIRS_OF_UNKNOWN, _ROWS_IN_VECTORS = 4, 32


def schedule_amx(schedule: s_tir.Schedule, main: Any) -> None:
    """Schedule a function that holds a product for AMX."""
    fused = take_stage(schedule, main)
    product = Product(fused)
    pairs, units = ceil_div(product.rows, STEP), int(fused.main.annotations[ROW_UNITS])
    if units == 0:
        if isinstance(pairs, int):
            every = Share(0, pairs, pairs, pairs)
            fused.replace(schedule, on_every_thread(Unit(product, every, PARALLEL).statement()))
        else:
            tiled = on_every_thread(_of_unknown_rows(product, pairs))
            few = tirx.LE(product.rows, int64(_ROWS_IN_VECTORS))
            fused.replace(schedule, tirx.IfThenElse(few, _in_vectors(product), tiled))
        return

    def unit(number: Any) -> tirx.Stmt:
        return Unit(product, Share.of(number, pairs, units), SERIAL).statement()

    fused.replace(schedule, loop("unit", 0, units, unit, SERIAL if units == 1 else PARALLEL))


def _of_unknown_rows(product: Product, pairs: Any) -> tirx.Stmt:
    """A few pairs of tiles of rows at a time."""
    most = _PAIRS_OF_UNKNOWN

    def part(number: Any) -> tirx.Stmt:
        first = number * most
        rows = Share(first, tirx.min(pairs - first, int64(most)), most, most)
        return Unit(product, rows, PARALLEL).statement()

    return loop("part", 0, ceil_div(pairs, most), part)


def _in_vectors(product: Product) -> tirx.Stmt:
    return GemmKernel(product.fused, SIDE, gemm_tile(SIDE), GEMM_UNITS, batched=False).statement()


@dataclass(frozen=True)
class Share:
    """What one of several gets: the first, how many, and how many any of them gets at most and at least."""

    first: Any
    count: Any
    most: int
    least: int

    @staticmethod
    def of(number: Any, total: int, shares: int) -> Share:
        """The share of ``number``; they differ by one at most."""
        most = ceil_div(total, shares)
        if total % shares == 0:
            return Share(number * most, most, most, most)
        first = number * total // shares
        return Share(first, (number + 1) * total // shares - first, most, total // shares)


class Unit:
    """Some pairs of tiles of rows with all groups of two tiles of columns, in a loop of ``kind``."""

    def __init__(self, product: Product, pairs: Share, kind: ForKind) -> None:
        self._product = product
        self._pairs = pairs
        self._kind = kind
        self._groups = ceil_div(product.blocks, 2)
        steps = ceil_div(product.depth, DEPTH)
        self._runs = count_runs(steps, pairs.most)
        self._steps = steps // self._runs
        self._rows = SplitRows.of(product, pairs.first, pairs.most, self._steps)
        self._panel = tirx.decl_buffer((self._steps, PARTS, 2, SIDE, DEPTH), "uint16", "panel")
        # Where the depth is divided, the sums of all tiles wait for the next run.
        waiting = (1, 1) if self._runs == 1 else (self._groups, pairs.most)
        self._sums = tirx.decl_buffer((*waiting, 2, 2, SIDE, SIDE), "float32", "sums")

    def statement(self) -> tirx.Stmt:
        def over_pairs(body: Callable[[Any], tirx.Stmt]) -> tirx.Stmt:
            return loop("pair", 0, self._pairs.count, body)

        def run(number: Any) -> tirx.Stmt:
            depth = Depth(number, self._runs, self._steps)

            def tiles(group: Any) -> tirx.Stmt:
                multiply = over_pairs(lambda pair: self._tiles(depth, pair, group))
                return sequence([split_columns(self._product, depth, group, self._panel), multiply])

            return sequence(
                [
                    over_pairs(lambda pair: self._rows.split(pair, depth)),
                    loop("group", 0, self._groups, tiles, self._kind),
                ]
            )

        configuration = tirx.decl_buffer((64,), "uint8", "configuration")
        body = [
            *configure(configuration),
            # TVM gives a buffer the size of what TIR reads and writes of it, and sees nothing of what tiles
            # do. So this is done also where tiles are cleared before they add.
            clear(self._sums),
            loop("run", 0, self._runs, run),
            # Else the system saves the registers with every switch to another thread.
            amx("tilerelease"),
        ]
        buffers = [self._rows.parts, self._rows.checks, self._panel, self._sums, configuration]
        return opaque_block("unit", buffers, sequence(body))

    def _tiles(self, depth: Depth, pair: Any, group: Any) -> tirx.Stmt:
        """A run of two by two tiles, or of what there is of them."""
        blocks, end = self._product.blocks, self._product.end_of_rows

        def of(tall: int, wide: int) -> tirx.Stmt:
            return Tiles(
                product=self._product,
                rows=self._rows,
                panel=self._panel,
                sums=self._sums,
                pair=int64(pair),
                group=int64(group),
                sharing=self._pairs.least,
                tall=tall,
                wide=wide,
            ).statement(depth)

        def of_columns(wide: int) -> tirx.Stmt:
            if end is not None and not 0 < end <= SIDE:
                return of(2, wide)
            if end == self._product.rows:
                return of(1, wide)
            left = self._product.rows - (self._pairs.first + pair) * STEP
            return tirx.IfThenElse(left <= SIDE, of(1, wide), of(2, wide))

        if blocks % 2 == 0:
            return of_columns(2)
        if blocks == 1:
            return of_columns(1)
        return tirx.IfThenElse(int64(group) < blocks // 2, of_columns(2), of_columns(1))
