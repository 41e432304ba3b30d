"""The schedule of convolutions and matrix products: a tile of the output in registers.

The block marked by the legalization computes [..., position, channel]. Its accumulators stay in
registers over the whole reduction; what follows (bias, residual, activation) runs on the tile when it is
done.
"""

from __future__ import annotations

from math import prod
from typing import Any

from tvm import s_tir, tirx
from tvm.s_tir.schedule import ScheduleError

from paddle_tvm.targets.blocks import (
    block_extents,
    constant_extent,
    reduces,
    reduction_flags,
    root_blocks,
)
from paddle_tvm.targets.expressions import ceil_div
from paddle_tvm.targets.x86.overlap import OVERLAP
from paddle_tvm.targets.x86.prefetch import AHEAD, are_large
from paddle_tvm.targets.x86.schedules.epilogue import inline_epilogue, inline_side_branches
from paddle_tvm.targets.x86.schedules.generic import schedule_block
from paddle_tvm.targets.x86.tile import (
    APART,
    BLOCKED,
    BLOCKS,
    CHUNKS,
    FLAT,
    LANES,
    MANY_WEIGHTS,
    PHASES,
    ROW_CHUNKS,
    TILE,
    WRITTEN_OUT,
    row_chunks,
)

# Fewer parallel units than this do not spread evenly over cores: tiles become the units.
_FEW_UNITS = 64
# Tiles that are units cannot overlap, which costs more than an uneven end.
_FEW_DYNAMIC_UNITS = 8
# How much dearer it is that every thread reads all activations than that it reads all weights: activations
# lie where the next kernels write, and to write what several cores have read takes ten times as long.
_DEARER = 4
# Tiles of a row, and of a map, whose size is not known: as if it were 7 by 7. In larger ones, lines are asked
# for again.
_TILES_OF_UNKNOWN = (2, 14)
# So many float32 weights are dear to read once more from beyond the second-level cache.
_REREAD_WEIGHTS = 1 << 18
# So many multiply-adds take as long as waking another thread.
_LITTLE_WORK = 1 << 17


def schedule_register_tile(schedule: s_tir.Schedule, main: Any) -> None:
    """Schedule a function that holds a block to tile."""
    blocks = root_blocks(schedule)
    position = [schedule.get(block).name_hint for block in blocks].index(schedule.get(main).name_hint)
    before = inline_side_branches(schedule, main, blocks[:position])
    stages = inline_epilogue(schedule, blocks[position + 1 :])
    units, inner = _split(schedule, main)
    tile_loop = inner[-1]
    # Before loops are fused: with symbolic sizes TVM does not see through the division that undoes it.
    if not reduces(schedule, stages[0]):
        _flatten_positions(schedule, main, stages[0])
        if _move_into_tile(schedule, main, stages[0], tile_loop):
            if BLOCKED in schedule.get(main).annotations:
                _vectorize_epilogue(schedule, stages[0], tile_loop)
            stages = stages[1:]
    _run_in_parallel(schedule, main, units, inner)
    _ask_ahead(schedule, main)
    _registers(schedule, main)
    for block in [*before, *stages]:
        schedule_block(schedule, block)


def _move_into_tile(schedule: s_tir.Schedule, main: Any, stage: Any, tile_loop: Any) -> bool:
    """Run what follows on each tile when it is done; False where it reads something that is not ready."""
    annotations = schedule.get(main).annotations
    if APART in annotations or (PHASES in annotations and not len(annotations[PHASES])):
        return False
    try:
        schedule.reverse_compute_at(stage, tile_loop, preserve_unit_loops=True)
    except ScheduleError:
        return False
    schedule.set_scope(main, 0, "local")
    return True


def _vectorize_epilogue(schedule: s_tir.Schedule, stage: Any, tile_loop: Any) -> None:
    """Unroll what follows the tile down to whole vectors, so that it takes them from registers."""
    loops = schedule.get_loops(stage)
    depth = [schedule.get(loop) for loop in loops].index(schedule.get(tile_loop))
    for loop in loops[depth + 1 : -1]:
        schedule.unroll(loop)
    schedule.vectorize(loops[-1])


def _flatten_positions(schedule: s_tir.Schedule, main: Any, stage: Any) -> None:
    """Walk the result as the tile does: a tile may span rows, which a box over two axes cannot say."""
    annotations = schedule.get(main).annotations
    if PHASES in annotations and len(annotations[PHASES]):
        _split_phases(schedule, stage, *(int(stride) for stride in annotations[PHASES]))
    if FLAT not in annotations:
        return
    axes = schedule.get(stage).iter_vars
    second = len(axes) - 1 - int(annotations[FLAT])
    width = axes[second].dom.extent

    def flatten(*index: Any) -> list[Any]:
        place = index[second - 1] * width + index[second]
        return [*index[: second - 1], place, *index[second + 1 :]]

    schedule.transform_block_layout(stage, tirx.IndexMap.from_func(flatten, ndim=len(axes)))


def _split_phases(schedule: s_tir.Schedule, stage: Any, stride_y: int, stride_x: int) -> None:
    """Walk a blocked result [n, c, y, x, lane] phase by phase."""

    def split(n: Any, c: Any, y: Any, x: Any, lane: Any) -> list[Any]:
        return [n, c, y // stride_y, y % stride_y, x % stride_x, x // stride_x, lane]

    schedule.transform_block_layout(stage, tirx.IndexMap.from_func(split, ndim=5))


def _split(schedule: s_tir.Schedule, main: Any) -> tuple[list[Any], list[Any]]:
    """Split and order the loops; returns those to run in parallel, and those inside down to the tiles."""
    annotations = schedule.get(main).annotations
    loops = schedule.get_loops(main)
    flags = reduction_flags(schedule, main)
    *outer, position, channel = (loop for loop, flag in zip(loops, flags, strict=True) if not flag)
    reduction = [loop for loop, flag in zip(loops, flags, strict=True) if flag]
    split = [None, int(annotations[BLOCKS]), int(annotations[LANES])]
    block_outer, block_inner, lane = schedule.split(channel, split)
    tile_loop, position_inner = schedule.split(position, [None, int(annotations[TILE])])
    if BLOCKED in annotations and _takes_rows(schedule, main):
        units, inner, tile_loop = _by_rows(schedule, main, outer, block_outer, tile_loop)
    else:
        # Weights of a block are used for all rows before the next block's are read.
        units, inner = [*outer[:-1], block_outer, *outer[-1:]], []
    # Positions outside, blocks inside: LLVM spills accumulators in the other order.
    schedule.reorder(*units, *inner, tile_loop, *reduction, position_inner, block_inner, lane)
    return units, [*inner, tile_loop]


def _takes_rows(schedule: s_tir.Schedule, main: Any) -> bool:
    """Whether a thread takes rows and all their channels; else it takes blocks of channels."""
    annotations = schedule.get(main).annotations
    if WRITTEN_OUT in annotations:
        return False
    return bool(annotations[CHUNKS]) if CHUNKS in annotations else not _is_mostly_weights(schedule, main)


def _is_mostly_weights(schedule: s_tir.Schedule, main: Any) -> bool:
    """Whether a convolution reads far more weights than activations: then a thread takes a share of those."""
    sizes = block_extents(schedule, main)
    flags = reduction_flags(schedule, main)
    *positions, channels = (size for size, flag in zip(sizes, flags, strict=True) if not flag)
    depth, height, width, step = (size for size, flag in zip(sizes, flags, strict=True) if flag)
    weights = channels * depth * step * height * width
    if not all(isinstance(size, int) for size in positions):
        # Maps of many channels are small.
        return bool(weights >= MANY_WEIGHTS)
    return bool(weights > _DEARER * prod(positions) * (depth * step + channels))


def _by_rows(
    schedule: s_tir.Schedule, main: Any, outer: list[Any], block_outer: Any, tile_loop: Any
) -> tuple[list[Any], list[Any], Any]:
    """Order loops so that a thread's share is a chunk of rows, and all channels of it.

    Within a chunk, weights of a block are used for all rows before the next block's are read.
    """
    if FLAT in schedule.get(main).annotations:
        count = _chunks(schedule, main, constant_extent(schedule, tile_loop))
        chunk, tile_loop = schedule.split(tile_loop, [count, None])
        return [*outer, chunk, block_outer], [], tile_loop
    batch, row, *phases = outer
    rows = constant_extent(schedule, row)
    if rows is None:
        return [batch, row, block_outer], phases, tile_loop
    chunk, row = schedule.split(row, [_chunks(schedule, main, rows), None])
    return [batch, chunk, block_outer], [row, *phases], tile_loop


def _chunks(schedule: s_tir.Schedule, main: Any, length: int | None) -> int:
    """Chunks of equal length: as asked for, else about eight, or single rows for odd lengths.

    Where every chunk reads many weights anew, images count as chunks.
    """
    annotations = schedule.get(main).annotations
    if CHUNKS in annotations:
        return int(annotations[CHUNKS])
    assert length is not None
    sizes, flags = block_extents(schedule, main), reduction_flags(schedule, main)
    batch, *_, channels = (size for size, flag in zip(sizes, flags, strict=True) if not flag)
    weights = channels * prod(size for size, flag in zip(sizes, flags, strict=True) if flag)
    if isinstance(batch, int) and batch > 1 and weights >= _REREAD_WEIGHTS:
        most = ceil_div(ROW_CHUNKS, batch)
        return max(count for count in range(1, most + 1) if length % count == 0)
    return row_chunks(length) or length


def _run_in_parallel(schedule: s_tir.Schedule, main: Any, units: list[Any], inner: list[Any]) -> None:
    """Run rows of tiles in parallel, or tiles where there are few rows, or nothing where all is little."""
    sizes = block_extents(schedule, main)
    if all(isinstance(size, int) for size in sizes) and prod(sizes) < _LITTLE_WORK:
        return
    units, inner = list(units), list(inner)
    if WRITTEN_OUT in schedule.get(main).annotations:
        schedule.unroll(inner.pop())
        schedule.parallel(schedule.fuse(*units))
        return
    tiles = constant_extent(schedule, inner[-1])
    few = _FEW_UNITS if tiles is not None else _FEW_DYNAMIC_UNITS
    # As few loops as will do: a thread finds its place in all of them anew for each unit.
    while inner and _is_below(few, [constant_extent(schedule, loop) for loop in units]):
        units.append(inner.pop(0))
    if inner and tiles is None:
        schedule.annotate(inner[-1], OVERLAP, int(schedule.get(main).annotations[TILE]))
    schedule.parallel(schedule.fuse(*units))


def _ask_ahead(schedule: s_tir.Schedule, main: Any) -> None:
    """Mark the reduction for prefetches, where weights are many and several tiles pass over each block."""
    annotations = schedule.get(main).annotations
    if BLOCKED not in annotations or PHASES in annotations:
        return
    sizes, flags = block_extents(schedule, main), reduction_flags(schedule, main)
    *outer, positions, channels = (size for size, flag in zip(sizes, flags, strict=True) if not flag)
    reduction = [size for size, flag in zip(sizes, flags, strict=True) if flag]
    takes_rows = _takes_rows(schedule, main)
    if all(isinstance(size, int) for size in sizes):
        tiles = ceil_div(positions, int(annotations[TILE]))
        # What a thread takes of a block of channels.
        shares = prod([*outer[1:], tiles])
        if takes_rows:
            shares //= _chunks(schedule, main, tiles if FLAT in annotations else outer[-1])
    elif takes_rows:
        return
    else:
        tiles, shares = _TILES_OF_UNKNOWN
    if not are_large(channels * prod(reduction)) or shares < 2:
        return
    # A core has few requests under way at once, so they are spread: innermost if each tile has one to make.
    for depth in (len(reduction) - 1, len(reduction) - 2, 0):
        if shares <= prod(reduction[depth + 1 :]) * int(annotations[BLOCKS]):
            loop = schedule.get_loops(main)[depth - 3 - len(reduction)]
            schedule.annotate(loop, AHEAD, [int(annotations[TILE]), tiles, shares])
            return


def _is_below(count: int, extents: list[int | None]) -> bool:
    """Whether loops have fewer iterations; not known to where one has an unknown extent."""
    known = [extent for extent in extents if extent is not None]
    return len(known) == len(extents) and prod(known) < count


def _registers(schedule: s_tir.Schedule, main: Any) -> None:
    """Unroll the tile, so that its accumulators become registers."""
    flags = reduction_flags(schedule, main)
    loops = schedule.get_loops(main)
    for loop in loops[-3:-1]:
        schedule.unroll(loop)
    schedule.vectorize(loops[-1])
    first_reduction = loops[len(loops) - 3 - sum(flags)]
    init = schedule.decompose_reduction(main, first_reduction)
    loops = schedule.get_loops(init)
    for loop in loops[-3:-1]:
        schedule.unroll(loop)
    schedule.vectorize(loops[-1])
