"""The schedule of what moves or mixes elements within each channel of blocked activations."""

from __future__ import annotations

from typing import Any

from tvm import s_tir
from tvm.s_tir.schedule import ScheduleError

from paddle_tvm.targets.blocks import root_blocks
from paddle_tvm.targets.expressions import simplify
from paddle_tvm.targets.x86.schedules.epilogue import inline_epilogue, inline_side_branches
from paddle_tvm.targets.x86.schedules.generic import schedule_block

# Below this number of vectors starting threads costs more than they save.
_PARALLEL_WORK = 1 << 12


def schedule_resize(schedule: s_tir.Schedule, main: Any) -> None:
    """Schedule a function that holds such a block; its tables stay stages of their own."""
    blocks = root_blocks(schedule)
    place = [schedule.get(block).name_hint for block in blocks].index(schedule.get(main).name_hint)
    inline_side_branches(schedule, main, blocks[:place])
    after = blocks[place + 1 :]
    stages = [main, *(inline_epilogue(schedule, after) if after else [])]
    if len(stages) > 1:
        try:
            schedule.compute_inline(main)
        except ScheduleError:
            # An output of the function.
            pass
        else:
            stages = stages[1:]
    for stage in stages:
        _schedule_vectors(schedule, stage)


def _schedule_vectors(schedule: s_tir.Schedule, block: Any) -> None:
    """Rows in parallel, vectors of channels inside."""
    axes = [axis.dom.extent for axis in schedule.get(block).iter_vars]
    loops = schedule.get_loops(block)
    if len(loops) != 5:
        schedule_block(schedule, block)
        return
    *outer, _, lane = loops
    schedule.vectorize(lane)
    work: Any = 1
    for size in axes[:4]:
        work = work * size
    work = simplify(work)
    if not isinstance(work, int) or work >= _PARALLEL_WORK:
        schedule.parallel(schedule.fuse(*outer))
