"""What stands around the main block of a kernel: side branches inlined, the epilogue one stage."""

from __future__ import annotations

from typing import Any

from tvm import s_tir
from tvm.s_tir.schedule import ScheduleError

from paddle_tvm.targets.blocks import block_extents, reduces


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
        if _is_spread(schedule, block):
            remaining.append(block)
            continue
        try:
            schedule.compute_inline(block)
        except ScheduleError:
            # A sum over the products (conv2d_transpose), or an output of the function.
            remaining.append(block)
    return [*remaining, blocks[-1]]


def _is_spread(schedule: s_tir.Schedule, block: Any) -> bool:
    """Whether something broadcasts a block's result: inlined, it would be computed for each copy."""
    own = block_extents(schedule, block)
    return any(
        _broadcasts(own, block_extents(schedule, consumer)) for consumer in schedule.get_consumers(block)
    )


def _broadcasts(own: list[Any], other: list[Any]) -> bool:
    if len(own) == len(other):
        return any(mine == 1 and its != 1 for mine, its in zip(own, other, strict=True))
    # One element broadcasts whatever its rank.
    return all(mine == 1 for mine in own) and any(its != 1 for its in other)
