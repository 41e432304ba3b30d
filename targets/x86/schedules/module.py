"""Gives every TIR function of a module its schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tvm
from tvm import s_tir, tirx

from paddle_tvm.targets.blocks import is_empty, root_blocks
from paddle_tvm.targets.unchecked_schedule import UncheckedSchedule
from paddle_tvm.targets.x86.amx import AMX
from paddle_tvm.targets.x86.dimensions import name_dimensions
from paddle_tvm.targets.x86.resize import RESIZE
from paddle_tvm.targets.x86.schedules.amx import schedule_amx
from paddle_tvm.targets.x86.schedules.gemm import schedule_gemm
from paddle_tvm.targets.x86.schedules.generic import schedule_loops
from paddle_tvm.targets.x86.schedules.lane_reduction import is_lane_reduction, schedule_lane_reduction
from paddle_tvm.targets.x86.schedules.move_channels import schedule_move_channels
from paddle_tvm.targets.x86.schedules.register_tile import schedule_register_tile
from paddle_tvm.targets.x86.schedules.resize import schedule_resize
from paddle_tvm.targets.x86.schedules.sliding_window import schedule_sliding_window
from paddle_tvm.targets.x86.schedules.winograd import schedule_winograd
from paddle_tvm.targets.x86.sliding_window import SLIDING_WINDOW
from paddle_tvm.targets.x86.tile import RULE

SCHEDULED = "tirx.is_scheduled"
LANE_REDUCTION = "lane_reduction"

# A legalization names the schedule of its kernel in the annotation RULE of the kernel's main block.
RULES: Mapping[str, Callable[[s_tir.Schedule, Any], None]] = {
    "register_tile": schedule_register_tile,
    "winograd": schedule_winograd,
    "gemm": schedule_gemm,
    AMX: schedule_amx,
    "move_channels": schedule_move_channels,
    SLIDING_WINDOW: schedule_sliding_window,
    LANE_REDUCTION: schedule_lane_reduction,
    RESIZE: schedule_resize,
}


def schedule_module(module: tvm.IRModule) -> tvm.IRModule:
    """Schedule every TIR function that does not say that it is scheduled already."""
    functions = {
        name: schedule_function(function)
        if isinstance(function, tirx.PrimFunc) and not _is_scheduled(function)
        else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _is_scheduled(function: tirx.PrimFunc) -> bool:
    return function.attrs is not None and SCHEDULED in function.attrs and bool(function.attrs[SCHEDULED])


def _find_rule(schedule: s_tir.Schedule) -> tuple[str | None, Any]:
    """The rule that a block of the function asks for, or that is known for what it does, and the block."""
    blocks = root_blocks(schedule)
    for block in blocks:
        annotations = schedule.get(block).annotations
        if RULE in annotations:
            return str(annotations[RULE]), block
    for block in blocks:
        if is_lane_reduction(schedule, block):
            return LANE_REDUCTION, block
    return None, None


def schedule_function(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """One TIR function, parallel and vectorised."""
    plain = name_dimensions(function).with_attr("global_symbol", "main")
    schedule = UncheckedSchedule(tvm.IRModule({"main": plain}))
    if is_empty(schedule):
        # Nothing runs, and TVM's primitives refuse loops of no iteration.
        pass
    else:
        rule, main = _find_rule(schedule)
        if rule is None:
            schedule_loops(schedule)
        else:
            RULES[rule](schedule, main)
    result = schedule.mod["main"].with_attr(SCHEDULED, True)
    if function.attrs is not None and "global_symbol" in function.attrs:
        return result.with_attr("global_symbol", function.attrs["global_symbol"])
    return result.without_attr("global_symbol")
