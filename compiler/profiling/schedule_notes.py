"""Reads from a TIR function which schedule it got."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tvm_ffi
from tvm import ir, relax, tirx
from tvm.s_tir import stmt as s_tir

from paddle_tvm.compiler.profiling.expressions import amount
from paddle_tvm.compiler.profiling.kernel_table import Schedule
from paddle_tvm.targets.workload import WORKLOAD, Choice
from paddle_tvm.targets.x86.every_thread import ON_EVERY_THREAD

# Annotations of blocks; the one of this name is the rule, others are its parameters. Legalizations set them
# on the main block, and schedules that write their loops themselves on the root block.
_PREFIX = "paddle_tvm."
_RULE = "schedule"
_WORKLOAD = WORKLOAD.removeprefix(_PREFIX)
# Set on functions that no schedule touches; those that have it from the start are their own schedule.
_SCHEDULED = "tirx.is_scheduled"
HAND_WRITTEN = "hand-written"


def read_schedule(plain: tirx.PrimFunc, scheduled: tirx.PrimFunc, choices: Mapping[str, Choice]) -> Schedule:
    """The schedule of a kernel.

    Parameters
    ----------
    plain
        The function before scheduling, whose main block tells the rule.
    scheduled
        The function after it.
    choices
        The forms that workloads got, by their key.
    """
    notes = {**_annotations(plain), **_annotations(scheduled)}
    rule = notes.pop(_RULE, None)
    workload = notes.pop(_WORKLOAD, None)
    if rule is None and plain.attrs is not None and _SCHEDULED in plain.attrs:
        rule = HAND_WRITTEN
    return Schedule(
        None if rule is None else str(rule),
        notes,
        tuple(amount(extent) for extent in _parallel_extents(scheduled)),
        # Functions that are written out by hand have no root block, which TVM's analysis insists on.
        isinstance(scheduled.body, s_tir.SBlockRealize)
        and bool(relax.analysis.has_reshape_pattern(scheduled)),
        None if workload is None else str(workload),
        None if workload is None else choices[str(workload)],
    )


def _annotations(function: tirx.PrimFunc) -> dict[str, int | str]:
    """What the blocks of a function are told, those of a block with a rule first."""
    found: dict[str, int | str] = {}

    def visit(block: Any) -> None:
        for name, value in block.annotations.items():
            if str(name).startswith(_PREFIX):
                found.setdefault(str(name).removeprefix(_PREFIX), _plain(value))

    tvm_ffi.structural_walk(function.body, (s_tir.SBlock, visit))
    return found


def _plain(value: Any) -> int | str:
    if isinstance(value, ir.StringImm):
        return str(value.value)
    if isinstance(value, tirx.IntImm):
        return int(value.value)
    return value if isinstance(value, int) else str(value)


def _parallel_extents(function: tirx.PrimFunc) -> list[Any]:
    extents: list[Any] = []

    def visit(loop: Any) -> None:
        axis = loop.thread_binding
        # On a GPU, blocks of threads.
        blocks = axis is not None and str(axis.thread_tag).startswith("blockIdx")
        shared = loop.kind == tirx.ForKind.PARALLEL and ON_EVERY_THREAD not in loop.annotations
        if shared or blocks:
            extents.append(loop.extent)

    tvm_ffi.structural_walk(function.body, (tirx.For, visit), order="pre")
    return extents
