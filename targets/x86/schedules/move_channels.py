"""The schedule of copies that move blocks of channels: a loop for each run of blocks of one tensor."""

from __future__ import annotations

from math import prod
from typing import Any

from tvm import s_tir
from tvm_ffi import structural_equal

from paddle_tvm.targets.blocks import block_extents, constant_extent, reduces, root_blocks
from paddle_tvm.targets.x86.partitioning import PARTITION
from paddle_tvm.targets.x86.schedules.epilogue import inline_epilogue
from paddle_tvm.targets.x86.schedules.generic import schedule_block
from paddle_tvm.targets.x86.tile import RUNS

# Elements to copy that are worth the start of other threads.
_PARALLEL_WORK = 1 << 14


def schedule_move_channels(schedule: s_tir.Schedule, main: Any) -> None:
    """Schedule a copy of blocks of channels and what follows it, which may be another copy."""
    blocks = root_blocks(schedule)
    position = [schedule.get(block).name_hint for block in blocks].index(schedule.get(main).name_hint)
    copies = [
        (block_extents(schedule, block), [int(start) for start in schedule.get(block).annotations[RUNS]])
        for block in blocks[position:]
        if RUNS in schedule.get(block).annotations
    ]
    stages = inline_epilogue(schedule, blocks[position:])
    for block in [*blocks[:position], *stages]:
        own = block_extents(schedule, block)
        # A stage of other extents has a copy inlined, but its loops do not run over those blocks.
        runs = next((runs for extents, runs in reversed(copies) if structural_equal(extents, own)), None)
        if runs is None or reduces(schedule, block):
            schedule_block(schedule, block)
        else:
            _schedule_copy(schedule, block, runs)


def _schedule_copy(schedule: s_tir.Schedule, block: Any, runs: list[int]) -> None:
    n, c, y, x, lane = schedule.get_loops(block)
    extents = [constant_extent(schedule, loop) for loop in (n, y, c, x, lane)]
    schedule.reorder(n, y, c, x, lane)
    schedule.annotate(c, PARTITION, runs)
    schedule.vectorize(lane)
    if None in extents or prod(extent or 0 for extent in extents) >= _PARALLEL_WORK:
        schedule.parallel(schedule.fuse(n, y))
