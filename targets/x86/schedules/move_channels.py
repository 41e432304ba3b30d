"""The schedule of copies that move blocks of channels: a loop for each run of blocks of one tensor."""

from __future__ import annotations

from math import prod
from typing import Any

from tvm import s_tir

from paddle_tvm.targets.x86.partitioning import PARTITION
from paddle_tvm.targets.x86.schedules.blocks import constant_extent, reduces, root_blocks
from paddle_tvm.targets.x86.schedules.epilogue import inline_epilogue
from paddle_tvm.targets.x86.schedules.generic import schedule_block
from paddle_tvm.targets.x86.tile import RUNS

# Elements to copy that are worth the start of other threads.
_PARALLEL_WORK = 1 << 14


def schedule_move_channels(schedule: s_tir.Schedule, main: Any) -> None:
    """Schedule a copy of blocks of channels and what follows it."""
    runs = [int(start) for start in schedule.get(main).annotations[RUNS]]
    blocks = root_blocks(schedule)
    position = [schedule.get(block).name_hint for block in blocks].index(schedule.get(main).name_hint)
    stages = inline_epilogue(schedule, blocks[position:])
    for number, block in enumerate([*blocks[:position], *stages]):
        if number == position and len(schedule.get_loops(block)) == 5 and not reduces(schedule, block):
            _schedule_copy(schedule, block, runs)
        else:
            schedule_block(schedule, block)


def _schedule_copy(schedule: s_tir.Schedule, block: Any, runs: list[int]) -> None:
    n, c, y, x, lane = schedule.get_loops(block)
    extents = [constant_extent(schedule, loop) for loop in (n, y, c, x, lane)]
    schedule.reorder(n, y, c, x, lane)
    schedule.annotate(c, PARTITION, runs)
    schedule.vectorize(lane)
    if None in extents or prod(extent or 0 for extent in extents) >= _PARALLEL_WORK:
        schedule.parallel(schedule.fuse(n, y))
