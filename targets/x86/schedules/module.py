"""Gives every TIR function of a module its schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tvm
from tvm import s_tir, tirx

from paddle_tvm.targets.x86.schedules.blocks import is_empty, root_blocks
from paddle_tvm.targets.x86.schedules.generic import schedule_loops
from paddle_tvm.targets.x86.schedules.register_tile import schedule_register_tile
from paddle_tvm.targets.x86.tile import RULE

SCHEDULED = "tirx.is_scheduled"

# A legalization names the schedule of its kernel in the annotation RULE of the kernel's main block.
RULES: Mapping[str, Callable[[s_tir.Schedule, Any], None]] = {
    "register_tile": schedule_register_tile,
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
    """The rule that a block of the function asks for, and the block."""
    for block in root_blocks(schedule):
        annotations = schedule.get(block).annotations
        if RULE in annotations:
            return str(annotations[RULE]), block
    return None, None


def schedule_function(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """One TIR function, parallel and vectorised."""
    schedule = s_tir.Schedule(tvm.IRModule({"main": function.with_attr("global_symbol", "main")}))
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
