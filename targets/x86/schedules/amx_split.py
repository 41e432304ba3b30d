"""Splits float32 into parts that are bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import tirx

from paddle_tvm.targets.expressions import ceil_div, simplify
from paddle_tvm.targets.x86.amx import DEPTH, PARTS, SIDE, STEP
from paddle_tvm.targets.x86.schedules.amx_product import Product
from paddle_tvm.targets.x86.schedules.loop_nest import int64, loop, opaque_block, sequence, vectors

_LEADING = 0xFFFF0000


@dataclass(frozen=True)
class Depth:
    """A run of the depth: which it is, of how many, and of how many steps each."""

    run: Any
    runs: int
    steps: int


@dataclass(frozen=True)
class SplitRows:
    """Pairs of tiles of rows of the left-hand matrix, in parts.

    Attributes
    ----------
    product
        What is computed.
    first
        The first of the pairs.
    parts
        [pair, step, part, half, 16, 32], bits of bfloat16; of one run of the depth.
    checks
        [pair, 16], sums that are not finite where a number in a row of the pair is not.
    """

    product: Product
    first: Any
    parts: Any
    checks: Any

    @staticmethod
    def of(product: Product, first: Any, pairs: int, steps: int) -> SplitRows:
        """So many pairs, and steps of the depth at a time."""
        parts = tirx.decl_buffer((pairs, steps, PARTS, 2, SIDE, DEPTH), "uint16", "parts")
        return SplitRows(product, first, parts, tirx.decl_buffer((pairs, SIDE), "float32", "checks"))

    def split(self, pair: Any, depth: Depth) -> tirx.Stmt:
        """Write a run of the parts of a pair, counted from the first."""

        def step(number: Any, *, is_whole: bool = True) -> tirx.Stmt:
            return loop("row", 0, STEP, lambda row: self._split_row(depth, pair, number, row, is_whole))

        zero = tirx.const(0, "float32")
        start = vectors(lambda lane: tirx.BufferStore(self.checks, zero, [pair, lane]))
        if depth.runs > 1:
            start = tirx.IfThenElse(tirx.EQ(depth.run, int64(0)), start, None)
        whole = depth.steps if self.product.depth % DEPTH == 0 else depth.steps - 1
        statements = [start, loop("step", 0, whole, step)] if whole else [start]
        return sequence([*statements, *([step(whole, is_whole=False)] if whole < depth.steps else [])])

    def _split_row(self, depth: Depth, pair: Any, step: Any, row: Any, is_whole: bool) -> tirx.Stmt:
        """The parts of the values of a row that are multiplied in one step.

        ``is_whole``: whether the depth does not end within it, in any run.
        """

        def value(half: int, lane: Any) -> Any:
            block = simplify(int64((depth.run * depth.steps + step) * 2 + half))
            place = (self.first + pair) * STEP + row
            if is_whole:
                return self.product.left(place, (block, lane))
            # What stands beyond the last channel of a blocked input may be anything, and beyond the last
            # block there is nothing to read.
            last = simplify(tirx.min(int64(block), int64(ceil_div(self.product.depth, SIDE) - 1)))
            loaded = self.product.left(place, (last, lane))
            known = int64(simplify(self.product.depth - block * SIDE))
            return tirx.Select(int64(lane) < known, loaded, tirx.const(0, "float32"))

        def check(rest: Any) -> tirx.Stmt:
            # An infinite number less itself is undefined, and stays that in every sum.
            return vectors(
                lambda lane: tirx.BufferStore(
                    self.checks,
                    self.checks[pair, lane] + (rest[lane] + rest[lane + SIDE]),
                    [pair, lane],
                )
            )

        odd = tirx.Ramp(tirx.IntImm("int16", 1), tirx.IntImm("int16", 2), DEPTH)
        place = [int64(row) // SIDE, int64(row) % SIDE]
        return _split(value, odd, lambda part: (self.parts, [pair, step, part, *place]), check)


def split_columns(product: Product, depth: Depth, group: Any, panel: Any) -> tirx.Stmt:
    """Write a run of the parts of a group of columns to ``panel``, [step, part, half, 16, 32]."""

    def step(number: Any) -> tirx.Stmt:
        def of(row: Any, half: int) -> tirx.Stmt:
            def value(vector: int, lane: Any) -> Any:
                index = [group, depth.run * depth.steps + number, row * 2 + vector, half * SIDE + lane]
                return tirx.BufferLoad(product.packed, [int64(place) for place in index])

            return _split(value, _interleaved(), lambda part: (panel, [number, part, half, row]))

        def row_of(row: Any) -> tirx.Stmt:
            return sequence([of(row, 0), of(row, 1)])

        return loop("row", 0, SIDE, row_of)

    return loop("step", 0, depth.steps, step)


def _interleaved() -> Any:
    """The upper halves of two vectors of floats, in turns: 1, 33, 3, 35, ..."""
    lane = tirx.Ramp(tirx.IntImm("int16", 0), tirx.IntImm("int16", 1), DEPTH)

    def every(value: int) -> Any:
        return tirx.Broadcast(tirx.IntImm("int16", value), DEPTH)

    return lane + every(1) + (lane & every(1)) * every(DEPTH - 1)


def _split(
    value: Callable[[int, Any], Any],
    order: Any,
    place: Callable[[int], tuple[Any, list[Any]]],
    check: Callable[[Any], tirx.Stmt] | None = None,
) -> tirx.Stmt:
    """Split two vectors of floats.

    Parameters
    ----------
    value
        A lane of one of them.
    order
        Which halves of the floats of both make a vector of a part: a vector of indices.
    place
        The buffer of a part's vector, and all of its indices but the last.
    check
        Runs on what is left beside the first part.
    """
    rest = tirx.decl_buffer((DEPTH,), "float32", "rest")

    def store(part: int) -> tirx.Stmt:
        # LLVM 22 takes five instructions for this one.
        halves = [
            tirx.reinterpret("int16x32", tirx.BufferLoad(rest, [tirx.Ramp(int64(start), int64(1), SIDE)]))
            for start in (0, SIDE)
        ]
        upper = tirx.call_llvm_pure_intrin(
            "int16x32", "llvm.x86.avx512.vpermi2var.hi.512", halves[0], order, halves[1]
        )
        buffer, index = place(part)
        lanes = tirx.Ramp(int64(0), int64(1), DEPTH)
        return tirx.BufferStore(buffer, tirx.reinterpret("uint16x32", upper), [*map(int64, index), lanes])

    def subtract(lane: Any) -> tirx.Stmt:
        bits = tirx.reinterpret("uint32", rest[lane]) & tirx.const(_LEADING, "uint32")
        return tirx.BufferStore(rest, rest[lane] - tirx.reinterpret("float32", bits), [lane])

    def load(vector: int) -> tirx.Stmt:
        return vectors(lambda lane: tirx.BufferStore(rest, value(vector, lane), [vector * SIDE + lane]))

    statements = [load(0), load(1), store(0), vectors(subtract, DEPTH)]
    if check is not None:
        statements.append(check(rest))
    for part in range(1, PARTS):
        statements.append(store(part))
        if part + 1 < PARTS:
            statements.append(vectors(subtract, DEPTH))
    return opaque_block("split", [rest], sequence(statements))
