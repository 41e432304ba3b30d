"""Gives every TIR function of a module its kernels."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir.schedule import ScheduleError
from tvm.s_tir.stmt import SBlock, SBlockRealize

from paddle_tvm.targets.base import RECURRENCE
from paddle_tvm.targets.blocks import is_empty, reduces, root_blocks
from paddle_tvm.targets.cuda.contraction import is_contraction
from paddle_tvm.targets.cuda.recurrence import recurrence_by_steps
from paddle_tvm.targets.cuda.schedules.elements import schedule_elements
from paddle_tvm.targets.cuda.schedules.products import schedule_product
from paddle_tvm.targets.cuda.schedules.rows import is_row_reduction, schedule_rows, schedule_whole_rows
from paddle_tvm.targets.cuda.schedules.stages import Group, groups_of, stages_of
from paddle_tvm.targets.cuda.schedules.threads import sequence
from paddle_tvm.targets.cuda.schedules.written import bind_written
from paddle_tvm.targets.unchecked_schedule import UncheckedSchedule

SCHEDULED = "tirx.is_scheduled"


def schedule_module(module: tvm.IRModule) -> tvm.IRModule:
    """Schedule every TIR function."""
    functions = {
        name: schedule_function(function) if isinstance(function, tirx.PrimFunc) else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def schedule_function(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """One TIR function, as kernels that run one after the other."""
    if function.attrs is not None and RECURRENCE in function.attrs:
        return recurrence_by_steps(function, str(function.attrs[RECURRENCE])).with_attr(SCHEDULED, True)
    written = function.attrs is not None and bool(function.attrs.get(SCHEDULED, False))
    if not written:
        function = _inlined(function)
    stages = None if written else stages_of(function)
    if stages is None:
        return bind_written(function).with_attr(SCHEDULED, True)
    if any(axis.extent == 0 for stage in stages for axis in (*stage.spatial, *stage.reduction)):
        if all(axis.extent != 0 for axis in stages[-1].spatial):
            return bind_written(function).with_attr(SCHEDULED, True)
        # Nothing is computed, and CUDA refuses grids of no block.
        return function.with_body(_emptied(function.body)).with_attr(SCHEDULED, True)
    groups = groups_of(function, stages)
    kept = [buffer for group in groups for buffer in group.kept]
    results = [parameter for parameter in function.params if isinstance(parameter.ty, tirx.BufferType)]
    rows = schedule_whole_rows(groups, results)
    if rows is not None:
        return function.with_body(_with_root(function.body, [rows], [])).with_attr(SCHEDULED, True)
    kernels = [_kernel(group) for group in groups]
    return function.with_body(_with_root(function.body, kernels, kept)).with_attr(SCHEDULED, True)


def _inlined(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Compute stages where they are used, if they are used once and not by a contraction."""
    plain = function.with_attr("global_symbol", "main")
    schedule = UncheckedSchedule(tvm.IRModule({"main": plain}))
    if is_empty(schedule):
        return function
    for block in root_blocks(schedule)[:-1]:
        if reduces(schedule, block):
            continue
        consumers = schedule.get_consumers(block)
        if len(consumers) != 1 or is_contraction(schedule.get(consumers[0]).annotations):
            continue
        try:
            schedule.compute_inline(block)
        except ScheduleError:
            # An output of the function, or written in several places: it stays a stage of its own.
            continue
    return function.with_body(schedule.mod["main"].body)


def _kernel(group: Group) -> tirx.Stmt:
    stage = group.main
    if is_contraction(stage.annotations):
        return schedule_product(group)
    if is_row_reduction(stage):
        return schedule_rows(group)
    return schedule_elements(group)


def _with_root(body: Any, statements: list[tirx.Stmt], written: list[Any]) -> tirx.Stmt:
    """The function's root block with other statements, and of its buffers those that they write."""
    root = body.block
    buffers = [buffer for buffer in root.alloc_buffers if any(buffer.same_as(kept) for kept in written)]
    return SBlockRealize(
        [],
        True,
        SBlock(
            [], root.reads, root.writes, root.name_hint, sequence(statements), None, buffers, [],
            root.annotations,
        ),
    )  # fmt: skip


def _emptied(body: Any) -> tirx.Stmt:
    return _with_root(body, [tirx.Evaluate(tirx.IntImm("int32", 0))], [])
