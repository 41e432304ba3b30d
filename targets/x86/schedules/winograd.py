"""The schedule of Winograd convolutions: chunks of tiles, each through all stages while it is in cache.

Input transform, the products of all points, inverse transform and what follows run one after the other on
a chunk. Where there are few chunks and many channels, the transformed input is made first, for all, and
groups of output channels are the units of parallel work.
"""

from __future__ import annotations

from typing import Any

from tvm import s_tir

from paddle_tvm.targets.blocks import (
    block_extents,
    constant_extent,
    reduction_flags,
    root_blocks,
)
from paddle_tvm.targets.x86.clipping import READ_TILES, TILE_COLUMN, TILE_ROW, TILES
from paddle_tvm.targets.x86.prefetch import AHEAD_OF_POINT, are_large
from paddle_tvm.targets.x86.schedules.epilogue import inline_epilogue, inline_side_branches
from paddle_tvm.targets.x86.schedules.generic import schedule_block
from paddle_tvm.targets.x86.tile import BLOCKS, TILE
from paddle_tvm.targets.x86.winograd_plan import CHUNK, CLIPPED, GROUP, SHARED


def schedule_winograd(schedule: s_tir.Schedule, main: Any) -> None:
    """Schedule a function that holds the products of a Winograd convolution."""
    annotations = schedule.get(main).annotations
    m, chunk_rows, chunk_columns = (int(value) for value in annotations[CHUNK])
    transformed = schedule.get_producers(main)[0]
    half = schedule.get_producers(transformed)[0]
    patch = schedule.get_producers(half)[0]
    products = schedule.get_consumers(main)[0]
    half_output = schedule.get_consumers(products)[0]
    output = schedule.get_consumers(half_output)[0]
    gather = schedule.get_consumers(output)[0]

    own = {schedule.get(b).name_hint for b in (patch, half, transformed, main, products, half_output, output)}
    others = [block for block in root_blocks(schedule) if schedule.get(block).name_hint not in own]
    first = [schedule.get(block).name_hint for block in others].index(schedule.get(gather).name_hint)
    before = inline_side_branches(schedule, main, others[:first])
    result, *after = inline_epilogue(schedule, others[first:])

    shared = bool(int(annotations[SHARED]))
    n, o, y, x, lane = schedule.get_loops(output)
    outer, o = schedule.split(o, [None, int(annotations[GROUP])])
    row, tile_row, y = schedule.split(y, [None, chunk_rows, m])
    column, tile_column, x = schedule.split(x, [None, chunk_columns, m])
    units, serial = _divide(schedule, [row, column, n], [outer] if shared else [])
    innermost = [*units, *serial][-1]
    if not shared:
        serial.append(outer)
    schedule.reorder(*units, *serial, tile_row, tile_column, o, y, x, lane)
    schedule.reverse_compute_at(result, o, preserve_unit_loops=True)
    schedule.compute_at(half_output, o, preserve_unit_loops=True)
    schedule.compute_at(products, [*units, *serial][-1], preserve_unit_loops=True)
    if CLIPPED in annotations:
        schedule.annotate(tile_row, TILE_ROW, 1)
        schedule.annotate(tile_column, TILE_COLUMN, 1)
    sums = _multiply(schedule, main, products, chunk_rows, int(annotations[TILE]), int(annotations[BLOCKS]))
    if not shared:
        schedule.compute_at(transformed, innermost, preserve_unit_loops=True)
    _transform_input(schedule, patch, half, transformed, shared)
    for block in (half_output, output):
        schedule.set_scope(block, 0, "local")
        _in_registers(schedule, block, 3)
    _in_registers(schedule, result, 3)
    schedule.parallel(schedule.fuse(*units))
    # Last: TVM's primitives refuse what surrounds an accumulation without its start.
    for block, loop in sums:
        _in_registers(schedule, schedule.decompose_reduction(block, loop), 3)
    for block in [*before, *after]:
        schedule_block(schedule, block)


def _divide(schedule: s_tir.Schedule, loops: list[Any], more: list[Any]) -> tuple[list[Any], list[Any]]:
    """The loops that become one parallel loop, and those that stay inside of it.

    Only the first of those that become one may have an unknown extent: TVM does not see through a division
    by an unknown number, and the buffers in the loop would not have constant sizes.
    """
    known = [loop for loop in loops if constant_extent(schedule, loop) is not None]
    unknown = [loop for loop in loops if constant_extent(schedule, loop) is None]
    return [*unknown[:1], *known, *more], unknown[1:]


def _in_registers(schedule: s_tir.Schedule, block: Any, count: int) -> None:
    """Vectorise over the innermost of ``count`` loops and unroll the others."""
    *loops, lane = schedule.get_loops(block)[-count:]
    for loop in loops:
        schedule.unroll(loop)
    schedule.vectorize(lane)


def _transform_input(schedule: s_tir.Schedule, patch: Any, half: Any, transformed: Any, shared: bool) -> None:
    loops = schedule.get_loops(transformed)
    *outer, e, f, p, c, lane = loops
    schedule.reorder(c, p, e, f, lane)
    schedule.annotate(p, READ_TILES, 1)
    for block in (half, patch):
        schedule.compute_at(block, p)
        schedule.set_scope(block, 0, "local")
        _in_registers(schedule, block, 3)
    _in_registers(schedule, transformed, 3)
    # Without the offset the points of a tile lie in the same set of the caches.
    schedule.storage_align(
        transformed, 0, axis=len(schedule.get(transformed).iter_vars) - 4, factor=32, offset=16
    )
    if shared:
        units, serial = _divide(schedule, outer, [c])
        schedule.reorder(*units, *serial, p)
        schedule.parallel(schedule.fuse(*units))


def _ask_ahead(
    schedule: s_tir.Schedule, partial: Any, channel: Any, part: Any, points: int, blocks: int
) -> None:
    """Mark a loop for prefetches, where weights are many and several tiles pass over them."""
    *_, row, column, positions, outputs, parts, lanes, run = block_extents(schedule, partial)
    shares = positions // points
    if shares < 2 or not are_large(row * column * outputs * parts * run * lanes):
        return
    # As requests are spread in direct convolution.
    if shares <= blocks:
        schedule.annotate(channel, AHEAD_OF_POINT, [points, shares, 1, blocks])
    elif part is not None and shares <= run * blocks:
        schedule.annotate(part, AHEAD_OF_POINT, [points, shares, run, blocks])


def _multiply(
    schedule: s_tir.Schedule, partial: Any, products: Any, chunk_rows: int, points: int, blocks: int
) -> list[Any]:
    """Sum runs of channels in registers; returns the sums, each with its loop."""
    parts = reduction_flags(schedule, products)[-1:] == [True]
    *_, e, f, p, o, lane = schedule.get_loops(products)[: -1 if parts else None]
    outer, o = schedule.split(o, [None, blocks])
    tile, p = schedule.split(p, [None, points])
    schedule.annotate(tile, TILES, [chunk_rows, points])
    sums = []
    if parts:
        part = schedule.get_loops(products)[-1]
        schedule.reorder(e, f, outer, tile, part, p, o, lane)
        sums.append((products, part))
    else:
        part = tile
        schedule.reorder(e, f, outer, tile, p, o, lane)
    _in_registers(schedule, products, 3)
    schedule.compute_at(partial, part, preserve_unit_loops=True)
    schedule.set_scope(partial, 0, "local")
    *_, p, o, unit, lane, c = schedule.get_loops(partial)
    schedule.reorder(unit, c, p, o, lane)
    _in_registers(schedule, partial, 3)
    _ask_ahead(schedule, partial, c, part if parts else None, points, blocks)
    align = len(schedule.get(products).iter_vars) - 4 - len(sums)
    schedule.storage_align(products, 0, axis=align, factor=32, offset=16)
    return [*sums, (partial, c)]
