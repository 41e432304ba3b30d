"""Tiles beyond the last row and column of a map."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm import tirx

from paddle_tvm.targets.x86.clipping import clip_tiles

ROWS, COLUMNS = 4, 3

# Tiles of 2 x 2 in a chunk of 4 rows and 3 columns, of a map of unknown size: marks the tiles that are read,
# those of which something is made, ``points`` at a time, and the results that are written.
CHUNK = """
@T.prim_func(s_tir=True)
def main(
    was_read: T.Buffer((T.int64(12),), "float32"),
    was_made: T.Buffer((T.int64(12),), "float32"),
    was_written: T.Buffer((T.int64(8), T.int64(6)), "float32"),
    high: T.int64,
    wide: T.int64,
):
    for p in T.serial(T.int64(12), annotations={{"paddle_tvm.read_tiles": 1}}):
        with T.sblock("read"):
            T.reads()
            T.writes(was_read[p])
            was_read[p] = T.if_then_else(
                p % T.int64(4) * T.int64(2) < high and p // T.int64(4) * T.int64(2) < wide,
                T.float32(1),
                T.float32(2),
            )
    for tile in T.serial(T.int64({tiles}), annotations={{"paddle_tvm.tiles": [4, {points}]}}):
        for point in T.serial(T.int64({points})):
            with T.sblock("make"):
                T.reads()
                T.writes(was_made[tile * T.int64({points}) + point])
                was_made[tile * T.int64({points}) + point] = T.float32(1)
    for row in T.serial(T.int64(4), annotations={{"paddle_tvm.tile_row": 1}}):
        for column in T.serial(T.int64(3), annotations={{"paddle_tvm.tile_column": 1}}):
            for y, x in T.grid(T.int64(2), T.int64(2)):
                with T.sblock("write"):
                    T.where(row * T.int64(2) + y < high and column * T.int64(2) + x < wide)
                    T.reads()
                    T.writes(was_written[row * T.int64(2) + y, column * T.int64(2) + x])
                    was_written[row * T.int64(2) + y, column * T.int64(2) + x] = T.float32(1)
"""


def chunk(points: int) -> tirx.PrimFunc:
    return tvm.script.from_source(CHUNK.format(points=points, tiles=ROWS * COLUMNS // points))


def marks(function: tirx.PrimFunc, high: int, wide: int) -> list[np.ndarray]:
    """Tiles read, tiles made (both row by row), and results written."""
    arrays = [tvm.runtime.tensor(np.zeros(shape, "float32")) for shape in (12, 12, (2 * ROWS, 2 * COLUMNS))]
    kernel = tvm.compile(tvm.IRModule({"main": function.with_attr("global_symbol", "main")}), target="llvm")
    kernel["main"](*arrays, high, wide)
    read, made, written = (array.numpy() for array in arrays)
    return [read.reshape(COLUMNS, ROWS).T, made.reshape(COLUMNS, ROWS).T, written]


def inside(rows: int, columns: int, high: int, wide: int) -> np.ndarray:
    return ((np.arange(rows)[:, None] < high) & (np.arange(columns) < wide)).astype("float32")


@pytest.mark.parametrize(("high", "wide"), [(8, 6), (7, 5), (4, 6), (8, 1), (1, 1), (3, 4)])
def test_only_tiles_of_the_map_are_read_made_and_written(high, wide):
    read, made, written = marks(clip_tiles(chunk(1)), high, wide)
    tiles = inside(ROWS, COLUMNS, -(-high // 2), -(-wide // 2))
    np.testing.assert_array_equal(read, tiles)
    np.testing.assert_array_equal(made, tiles)
    np.testing.assert_array_equal(written, inside(2 * ROWS, 2 * COLUMNS, high, wide))


# Tiles at a time; tiles that are made for a map that holds 1 of 4 rows and 2 of 3 columns of them.
@pytest.mark.parametrize(("points", "rows", "columns"), [(2, 2, 2), (4, 4, 2), (6, 4, 3), (12, 4, 3)])
def test_tiles_that_are_made_at_once_are_left_out_together(points, rows, columns):
    _, made, _ = marks(clip_tiles(chunk(points)), 2, 4)
    np.testing.assert_array_equal(made, inside(ROWS, COLUMNS, rows, columns))


def test_without_marks_all_tiles_are_made():
    source = CHUNK.format(points=4, tiles=3).replace("tile_column", "other")
    plain = tvm.script.from_source(source)
    assert clip_tiles(plain).same_as(plain)
