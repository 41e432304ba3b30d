"""Moves the last tile of a row back, so that it ends where the row does.

Where a row's length is not known, a tile may reach beyond its end. Clamped reads and guarded writes cost
every tile half of its speed. A row of at least one tile needs neither: its last tile computes a few
positions a second time, to the same values.
"""

from __future__ import annotations

from typing import Any

import tvm_ffi
from tvm import ir, tirx
from tvm.s_tir.stmt import SBlockRealize

# Set by a schedule on the loop over the tiles of a row: how many positions a tile has. Positions are
# ``loop * tile + position``, and whatever clamps or guards them is there for the last tile.
OVERLAP = "paddle_tvm.overlap"


def overlap_tiles(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Split each marked loop by whether the row holds a tile.

    Requires: opaque blocks whose indices are not simplified yet; whatever a tile writes is a function of
    its position alone. Ensures: the same results.
    """

    def split(loop: tirx.For) -> Any:
        if OVERLAP not in loop.annotations:
            return loop
        tile = int(loop.annotations[OVERLAP])
        length = _row_length(loop)
        if length is None:
            return loop
        start = tirx.min(loop.loop_var * tile, length - tile)
        whole = tirx.For(loop.loop_var, loop.min, loop.extent, loop.kind, _move(loop, tile, start))
        return tirx.IfThenElse(length >= tile, whole, loop)

    body = tvm_ffi.structural_map(function.body, (tirx.For, split))
    return function if body.same_as(function.body) else function.with_body(body)


def _row_length(loop: tirx.For) -> Any:
    """What the positions of a tile are compared with before they are written."""
    found: list[Any] = []

    def visit(realize: SBlockRealize) -> None:
        found.extend(
            part.b
            for part in conjuncts(realize.predicate)
            if isinstance(part, tirx.LT) and reads(part.a, loop.loop_var)
        )

    tvm_ffi.structural_walk(loop.body, (SBlockRealize, visit))
    return found[0] if found else None


def _move(loop: tirx.For, tile: int, start: Any) -> tirx.Stmt:
    """The body with its tile at ``start``, and without clamps and guards."""

    def place(product: tirx.Mul) -> Any:
        is_start = isinstance(product.b, tirx.IntImm) and int(product.b.value) == tile
        return start if is_start and product.a.same_as(loop.loop_var) else product

    def unclamp(clamp: tirx.Min) -> Any:
        # A minimum of what stands in a tensor is arithmetic of the model, as in relu6.
        return clamp.a if reads(clamp.a, loop.loop_var) and not _loads(clamp) else clamp

    def unguard(realize: SBlockRealize) -> Any:
        kept = [part for part in conjuncts(realize.predicate) if not reads(part, loop.loop_var)]
        predicate = tirx.all(*kept) if kept else tirx.const(True, "bool")
        return SBlockRealize(realize.iter_values, predicate, realize.block)

    free = tvm_ffi.structural_map(loop.body, ((tirx.Min, unclamp), (SBlockRealize, unguard)), order="pre")
    return tvm_ffi.structural_map(free, (tirx.Mul, place))


def conjuncts(condition: Any) -> list[Any]:
    if isinstance(condition, tirx.And):
        return [*conjuncts(condition.a), *conjuncts(condition.b)]
    return [condition]


def reads(expression: Any, variable: tirx.Var) -> bool:
    found: list[bool] = []

    def visit(other: ir.Var) -> None:
        if other.same_as(variable):
            found.append(True)

    tvm_ffi.structural_walk(expression, (tirx.Var, visit))
    return bool(found)


def _loads(expression: Any) -> bool:
    found: list[Any] = []
    tvm_ffi.structural_walk(expression, (ir.TensorLoad, found.append))
    return bool(found)
