"""Four tiles of a product on AMX, and what follows on them; instructions of AMX as TIR."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from paddle_tvm.targets.expressions import ceil_div
from paddle_tvm.targets.x86.amx import DEPTH, SIDE, STEP
from paddle_tvm.targets.x86.prefetch import are_large, prefetch
from paddle_tvm.targets.x86.schedules.amx_product import Product
from paddle_tvm.targets.x86.schedules.amx_split import Depth, SplitRows
from paddle_tvm.targets.x86.schedules.loop_nest import int64, loop, sequence, vectors

# Registers: the first four sum, then come two of the left-hand matrix and two of the right-hand one.
_REGISTERS, _LEFT, _RIGHT = 8, 4, 6
_BYTES_OF_ROW = 64
_FLOATS_OF_LINE = 16
_INFINITE, _SIGNLESS = 0x7F800000, 0x7FFFFFFF
# Which parts of left and right are multiplied: between neighbours one of them stays.
_PRODUCTS = ((0, 2), (0, 1), (1, 1), (1, 0), (2, 0), (0, 0))


@dataclass(frozen=True)
class Tiles:
    """Two by two tiles of the result, or fewer at its ends.

    Attributes
    ----------
    product
        What is computed.
    rows
        The left-hand matrix in parts.
    panel
        The group's run of the right-hand matrix in parts, [step, part, half, 16, 32].
    sums
        Memory of the tiles, [group, pair, row of tiles, column of tiles, 16, 16]: of one pair and group where
        the depth is one run, else of all, zero before the first run.
    pair
        The pair of tiles of rows, counted from the first that is split.
    group
        The group of columns.
    sharing
        How many pairs pass over a group at least.
    tall, wide
        Tiles along rows and along columns.
    """

    product: Product
    rows: SplitRows
    panel: Any
    sums: Any
    pair: Any
    group: Any
    sharing: int
    tall: int
    wide: int

    def statement(self, depth: Depth) -> tirx.Stmt:
        """Add up a run of the depth; after the last one comes what follows."""
        rows = self._count_rows()
        plainly = loop("row", 0, rows, self._multiply_plainly)
        finish: tirx.Stmt = sequence(
            [tirx.IfThenElse(self._is_not_finite(), plainly, None), loop("row", 0, rows, self._finish)]
        )
        if depth.runs > 1:
            finish = tirx.IfThenElse(tirx.EQ(depth.run, int64(depth.runs - 1)), finish, None)
        return sequence([*self._multiply(depth), finish])

    @property
    def _first_row(self) -> Any:
        return (self.rows.first + self.pair) * STEP

    def _count_rows(self) -> Any:
        end, all_of_them = self.product.end_of_rows, self.tall * SIDE
        if end == 0:
            return all_of_them
        if self.tall == 1 and end is not None:
            return end
        return tirx.min(self.product.rows - self._first_row, int64(all_of_them))

    def _multiply(self, depth: Depth) -> list[tirx.Stmt]:
        """A run in parts."""
        tiles = [(row, column) for row in range(self.tall) for column in range(self.wide)]

        def each(body: Callable[[int, int], tirx.Stmt]) -> list[tirx.Stmt]:
            return [body(row, column) for row, column in tiles]

        def start(row: int, column: int) -> tirx.Stmt:
            register = 2 * row + column
            if depth.runs == 1:
                return amx("tilezero", _register(register))
            return _load(register, self.sums, *self._tile(row, column))

        return [
            *each(start),
            loop("step", 0, depth.steps, lambda step: self._step(depth, step, each)),
            *each(
                lambda row, column: amx(
                    "tilestored64",
                    _register(2 * row + column),
                    address(self.sums, *self._tile(row, column)),
                    int64(_BYTES_OF_ROW),
                )
            ),
        ]

    def _step(self, depth: Depth, step: Any, each: Callable[..., list[tirx.Stmt]]) -> tirx.Stmt:
        calls: list[tirx.Stmt] = []
        held = (-1, -1)
        for left, right in _PRODUCTS:
            if left != held[0]:
                calls += [
                    _load(_LEFT + row, self.rows.parts, self.pair, step, left, row, 0, 0)
                    for row in range(self.tall)
                ]
            if right != held[1]:
                calls += [
                    _load(_RIGHT + column, self.panel, step, right, column, 0, 0)
                    for column in range(self.wide)
                ]
            held = (left, right)
            calls += each(
                lambda row, column: amx(
                    "tdpbf16ps",
                    _register(2 * row + column),
                    _register(_LEFT + row),
                    _register(_RIGHT + column),
                )
            )
        return sequence(_spread(self._ask_ahead(depth, step), calls))

    def _ask_ahead(self, depth: Depth, step: Any) -> list[tirx.Stmt]:
        """Ask for a share of the next group's right-hand tiles, where they are not in the cache already."""
        if not are_large(self.product.depth * self.product.blocks * SIDE):
            return []
        lines = ceil_div(DEPTH * STEP // _FLOATS_OF_LINE, self.sharing)
        first = (self.pair * depth.steps + step) * lines
        start = [self.group + 1, depth.run * depth.steps, int64(0)]
        return [
            prefetch(self.product.packed, [*start, (first + line) * _FLOATS_OF_LINE]) for line in range(lines)
        ]

    def _is_not_finite(self) -> Any:
        # By bits: TVM 0.27 takes ``not a < b`` for ``b <= a`` where one is undefined.
        infinite = tirx.const(_INFINITE, "uint32")
        found: Any = tirx.const(False)
        for lane in range(SIDE):
            bits = tirx.reinterpret("uint32", self.rows.checks[self.pair, lane]) & tirx.const(
                _SIGNLESS, "uint32"
            )
            found = tirx.Or(found, bits >= infinite)
        return found

    def _multiply_plainly(self, row: Any) -> tirx.Stmt:
        """The product of a row as it is."""

        def vector(column: int) -> list[tirx.Stmt]:
            def store(value: Callable[[Any], Any]) -> tirx.Stmt:
                return vectors(
                    lambda lane: tirx.BufferStore(self.sums, value(lane), self._element(row, column, lane))
                )

            def add(k: Any) -> tirx.Stmt:
                return store(lambda lane: self._sum(row, column, lane) + self._term(row, column, lane, k))

            return [store(lambda _: tirx.const(0, "float32")), loop("k", 0, self.product.depth, add)]

        return sequence([statement for column in range(self.wide) for statement in vector(column)])

    def _term(self, row: Any, column: int, lane: Any, k: Any) -> Any:
        return self.product.term(self._first_row + row, self.group * 2 + column, lane, (k // SIDE, k % SIDE))

    def _finish(self, row: Any) -> tirx.Stmt:
        def store(column: int) -> tirx.Stmt:
            def lane_of(lane: Any) -> tirx.Stmt:
                value = self._sum(row, column, lane)
                return self.product.store(value, self._first_row + row, self.group * 2 + column, lane)

            return vectors(lane_of)

        return sequence([store(column) for column in range(self.wide)])

    def _sum(self, row: Any, column: int, lane: Any) -> Any:
        return tirx.BufferLoad(self.sums, self._element(row, column, lane))

    def _element(self, row: Any, column: int, lane: Any) -> list[Any]:
        return [*self._place(), row // SIDE, int64(column), row % SIDE, lane]

    def _tile(self, row: int, column: int) -> list[Any]:
        return [*self._place(), row, column, 0, 0]

    def _place(self) -> list[Any]:
        one = int(self.sums.shape[0]) == int(self.sums.shape[1]) == 1
        return [int64(0), int64(0)] if one else [self.group, self.pair]


def _spread(some: list[tirx.Stmt], among: list[tirx.Stmt]) -> list[tirx.Stmt]:
    """Some statements evenly among others: requests for memory in a burst would hold up what follows."""
    places = [(number * len(among) // max(1, len(some)), 0, one) for number, one in enumerate(some)]
    others = [(number, 1, one) for number, one in enumerate(among)]
    return [one for *_, one in sorted([*places, *others], key=lambda place: place[:2])]


def configure(memory: Any) -> list[tirx.Stmt]:
    """Make all registers tiles of 16 rows of 64 bytes; ``memory`` is a buffer of 64 bytes."""
    values = [0] * 64
    values[0] = 1
    for register in range(_REGISTERS):
        values[16 + 2 * register] = _BYTES_OF_ROW
        values[48 + register] = SIDE
    stores = [
        tirx.BufferStore(memory, tirx.IntImm("uint8", value), [int64(place)])
        for place, value in enumerate(values)
    ]
    return [*stores, amx("ldtilecfg", address(memory, 0))]


def amx(name: str, *arguments: Any) -> tirx.Stmt:
    """An instruction, by the name of LLVM's intrinsic."""
    return tirx.Evaluate(tirx.call_llvm_intrin("void", f"llvm.x86.{name}", *arguments))


def address(buffer: Any, *index: Any) -> Any:
    return tirx.address_of(tirx.BufferLoad(buffer, [int64(place) for place in index]))


def _load(register: int, buffer: Any, *index: Any) -> tirx.Stmt:
    return amx("tileloadd64", _register(register), address(buffer, *index), int64(_BYTES_OF_ROW))


def _register(number: int) -> Any:
    return tirx.IntImm("uint8", number)
