"""Splits rows of float32 into parts that are bfloat16."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm import tirx

from paddle_tvm.targets.expressions import simplify
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

    def split(self, pair: Any, depth: Depth) -> list[tirx.Stmt]:
        """Write a run of the parts of a pair, counted from the first."""

        def step(number: Any) -> tirx.Stmt:
            return loop("row", 0, STEP, lambda row: self._split_row(depth, pair, number, row))

        zero = tirx.const(0, "float32")
        start = vectors(lambda lane: tirx.BufferStore(self.checks, zero, [pair, lane]))
        if depth.runs > 1:
            start = tirx.IfThenElse(tirx.EQ(depth.run, int64(0)), start, None)
        whole = depth.steps if self.product.depth % DEPTH == 0 else depth.steps - 1
        statements = [start, loop("step", 0, whole, step)] if whole else [start]
        return [*statements, step(whole)] if whole < depth.steps else statements

    def _split_row(self, depth: Depth, pair: Any, step: Any, row: Any) -> tirx.Stmt:
        """The parts of the values of a row that are multiplied in one step."""
        rest = tirx.decl_buffer((DEPTH,), "float32", "rest")

        def load(half: int) -> tirx.Stmt:
            block = simplify(int64((depth.run * depth.steps + step) * 2 + half))
            # What stands beyond the last channel of a blocked input may be anything.
            known = min(SIDE, self.product.depth - block * SIDE) if isinstance(block, int) else SIDE

            def value(lane: Any) -> Any:
                zero = tirx.const(0, "float32")
                if known <= 0:
                    return zero
                loaded = self.product.left((self.first + pair) * STEP + row, (block, lane))
                return loaded if known == SIDE else tirx.Select(lane < known, loaded, zero)

            return vectors(lambda lane: tirx.BufferStore(rest, value(lane), [half * SIDE + lane]))

        def store(part: int) -> tirx.Stmt:
            # The upper halves of the floats of two registers: LLVM 22 takes five instructions for this one.
            halves = [
                tirx.reinterpret("int16x32", tirx.BufferLoad(rest, [tirx.Ramp(int64(start), int64(1), SIDE)]))
                for start in (0, SIDE)
            ]
            odd = tirx.Ramp(tirx.IntImm("int16", 1), tirx.IntImm("int16", 2), DEPTH)
            upper = tirx.call_llvm_pure_intrin(
                "int16x32", "llvm.x86.avx512.vpermi2var.hi.512", halves[0], odd, halves[1]
            )
            lanes = tirx.Ramp(int64(0), int64(1), DEPTH)
            place = [int64(pair), int64(step), int64(part), row // SIDE, row % SIDE, lanes]
            return tirx.BufferStore(self.parts, tirx.reinterpret("uint16x32", upper), place)

        def subtract(lane: Any) -> tirx.Stmt:
            bits = tirx.reinterpret("uint32", rest[lane]) & tirx.const(_LEADING, "uint32")
            return tirx.BufferStore(rest, rest[lane] - tirx.reinterpret("float32", bits), [lane])

        def check(lane: Any) -> tirx.Stmt:
            # An infinite number less itself is undefined, and stays that in every sum.
            total = self.checks[pair, lane] + (rest[lane] + rest[lane + SIDE])
            return tirx.BufferStore(self.checks, total, [pair, lane])

        statements = [load(0), load(1), store(0), vectors(subtract, DEPTH), vectors(check)]
        for part in range(1, PARTS):
            statements.append(store(part))
            if part + 1 < PARTS:
                statements.append(vectors(subtract, DEPTH))
        return opaque_block("split", [rest], sequence(statements))
