"""Leaves out what a chunk of tiles has beyond the last row and column of the map.

A chunk has as many tiles whatever the size of the map. Buffers keep that size: only the loops over tiles
pass over those of which nothing is written.
"""

from __future__ import annotations

from typing import Any

import tvm_ffi
from tvm import ir, tirx
from tvm.s_tir.stmt import SBlockRealize

from paddle_tvm.targets.x86.overlap import conjuncts, reads

# Set by a schedule on the loops over the rows and over the columns of tiles in which results are written.
TILE_ROW = "paddle_tvm.tile_row"
TILE_COLUMN = "paddle_tvm.tile_column"
# Set on the loop over the tiles whose input is read.
READ_TILES = "paddle_tvm.read_tiles"
# Set on other loops over the tiles of the chunk, column after column: how many rows of tiles a chunk has, and
# how many tiles an iteration takes.
TILES = "paddle_tvm.tiles"


def clip_tiles(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Guard each marked loop by whether any result of its tiles is written.

    Requires: opaque blocks, with the guards of writes as their predicates; what a tile's results are made
    of is read for them alone. Ensures: the same results.
    """
    marked: dict[str, list[tirx.For]] = {TILE_ROW: [], TILE_COLUMN: []}

    def find(loop: tirx.For) -> None:
        for mark, loops in marked.items():
            if mark in loop.annotations:
                loops.append(loop)

    tvm_ffi.structural_walk(function.body, (tirx.For, find))
    if not marked[TILE_COLUMN]:
        return function
    (tile_row,), (tile_column,) = marked.values()
    row, column = tile_row.loop_var, tile_column.loop_var
    written = _written(tile_column, row, column)

    def guard(loop: tirx.For) -> Any:
        if TILE_COLUMN in loop.annotations:
            return _guarded(loop, written)
        if TILES in loop.annotations:
            rows, tiles = (int(value) for value in loop.annotations[TILES])
            first = loop.loop_var * tiles
            # Tiles of several columns are all beyond the last row only where the first row is.
            in_column = first % rows if rows % tiles == 0 else tirx.IntImm("int64", 0)
            places = {row: in_column, column: first // rows}
            return _guarded(loop, [_replace(part, places) for part in written])
        if READ_TILES in loop.annotations:
            return _guarded(loop, _read(loop))
        return loop

    body = tvm_ffi.structural_map(function.body, (tirx.For, guard))
    return function.with_body(body)


def _written(tile_column: tirx.For, row: tirx.Var, column: tirx.Var) -> list[Any]:
    """Whether the first result of a tile is in the map, from what is asked before it is written."""
    zero = tirx.IntImm("int64", 0)
    inner = {variable: zero for variable in _inner(tile_column)}
    conditions: list[Any] = []

    def collect(realize: SBlockRealize) -> None:
        conditions.extend(
            part
            for part in conjuncts(realize.predicate)
            if isinstance(part, tirx.LT) and (reads(part.a, row) or reads(part.a, column))
        )

    tvm_ffi.structural_walk(tile_column.body, (SBlockRealize, collect))
    return [_replace(part, inner) for part in conditions]


def _read(loop: tirx.For) -> list[Any]:
    """What is asked before anything of a tile is read, and does not differ within the tile."""
    inner = _inner(loop)
    conditions: list[Any] = []

    def collect(call: ir.Call) -> None:
        if call.op.name == "prim.if_then_else":
            conditions.extend(
                part
                for part in conjuncts(call.args[0])
                if isinstance(part, tirx.LT)
                and reads(part.a, loop.loop_var)
                and not any(reads(part, variable) for variable in inner)
            )

    tvm_ffi.structural_walk(loop.body, (ir.Call, collect))
    return conditions


def _inner(loop: tirx.For) -> list[tirx.Var]:
    variables: list[tirx.Var] = []
    tvm_ffi.structural_walk(loop.body, (tirx.For, lambda inner: variables.append(inner.loop_var)))
    return variables


def _replace(expression: Any, values: dict[Any, Any]) -> Any:
    return tvm_ffi.structural_map(expression, (tirx.Var, lambda found: values.get(found, found)))


def _guarded(loop: tirx.For, conditions: list[Any]) -> tirx.For:
    if not conditions:
        return loop
    body = tirx.IfThenElse(tirx.all(*conditions), loop.body, None)
    return tirx.For(loop.loop_var, loop.min, loop.extent, loop.kind, body)
