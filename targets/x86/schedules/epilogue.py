"""What stands around the main block of a kernel: side branches inlined, the epilogue one stage."""

from __future__ import annotations

from typing import Any

from tvm import s_tir
from tvm.s_tir.schedule import ScheduleError

from paddle_tvm.targets.x86.schedules.blocks import reduces


def inline_side_branches(schedule: s_tir.Schedule, main: Any, blocks: list[Any]) -> list[Any]:
    """Compute where it is used what the epilogue reads beside the tile; returns the other blocks."""
    remaining = []
    tiled = schedule.get(main).name_hint
    for block in blocks:
        consumers = [schedule.get(consumer).name_hint for consumer in schedule.get_consumers(block)]
        if tiled in consumers or reduces(schedule, block):
            remaining.append(block)
            continue
        try:
            schedule.compute_inline(block)
        except ScheduleError:
            # An output of the function.
            remaining.append(block)
    return remaining


def inline_epilogue(schedule: s_tir.Schedule, blocks: list[Any]) -> list[Any]:
    """Join what follows into as few stages as can be; the first of them reads the tile."""
    remaining = []
    for block in blocks[:-1]:
        try:
            schedule.compute_inline(block)
        except ScheduleError:
            # A sum over the products (conv2d_transpose), or an output of the function.
            remaining.append(block)
    return [*remaining, blocks[-1]]
