"""Questions about the blocks of a TIR function that schedules ask."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import tvm_ffi
from tvm import ir, s_tir, tirx
from tvm.tirx import IterVar


def root_blocks(schedule: s_tir.Schedule) -> list[Any]:
    """The blocks of the function in the order in which they run."""
    return list(schedule.get_child_blocks(schedule.get_sblock("root")))


def constant_extent(schedule: s_tir.Schedule, loop: Any) -> int | None:
    """The extent of a loop, None where it depends on the input's shape."""
    extent = schedule.get(loop).extent
    return int(extent.value) if isinstance(extent, tirx.IntImm) else None


def block_extents(schedule: s_tir.Schedule, block: Any) -> list[Any]:
    """The extents of a block's axes: ints where they are constant."""
    extents = (axis.dom.extent for axis in schedule.get(block).iter_vars)
    return [int(extent.value) if isinstance(extent, tirx.IntImm) else extent for extent in extents]


def is_empty(schedule: s_tir.Schedule) -> bool:
    """Whether a block of the function runs over an axis of no element."""
    return any(
        isinstance(axis.dom.extent, tirx.IntImm) and int(axis.dom.extent.value) == 0
        for block in root_blocks(schedule)
        for axis in schedule.get(block).iter_vars
    )


def reduces(schedule: s_tir.Schedule, block: Any) -> bool:
    """Whether a block has reduction axes."""
    return any(_is_reduction(var) for var in schedule.get(block).iter_vars)


def _is_reduction(var: IterVar) -> bool:
    return int(var.iter_type) == int(IterVar.CommReduce)


def reduction_flags(schedule: s_tir.Schedule, block: Any) -> list[bool]:
    """For each axis of a block whether it is a reduction."""
    return [_is_reduction(var) for var in schedule.get(block).iter_vars]


def contiguous_axes(schedule: s_tir.Schedule, block: Any) -> set[int]:
    """Axes of a block that step through the last dimension of something it reads."""
    return {axis for indices in _read_indices(schedule, block) if len(indices) for axis in indices[-1]}


def neighbouring_axes(schedule: s_tir.Schedule, block: Any) -> set[tuple[int, int]]:
    """Pairs of axes of a block that step through neighbouring dimensions of something it reads."""
    return {
        (left, right)
        for indices in _read_indices(schedule, block)
        for outer, inner in pairwise(indices)
        for left in outer
        for right in inner
    }


def reads_whole_vectors(schedule: s_tir.Schedule, block: Any) -> bool:
    """Whether the last axis of a block is the last index of whatever it reads, or no index of it."""
    last = len(schedule.get(block).iter_vars) - 1
    variable = schedule.get(block).iter_vars[last].var
    return all(
        last not in axes or (place == len(indices) - 1 and indices[place].same_as(variable))
        for indices, by_axis in _reads(schedule, block)
        for place, axes in enumerate(by_axis)
    )


def _read_indices(schedule: s_tir.Schedule, block: Any) -> list[list[set[int]]]:
    """For everything that a block reads but its own result, the axes that each index depends on."""
    return [axes for _, axes in _reads(schedule, block)]


def _reads(schedule: s_tir.Schedule, block: Any) -> list[tuple[list[Any], list[set[int]]]]:
    """For everything that a block reads but its own result, the indices, and the axes that each is of."""
    body = schedule.get(block)
    written: list[tirx.Buffer] = []
    tvm_ffi.structural_walk(body.body, (tirx.BufferStore, lambda store: written.append(store.buffer)))
    reads: list[tuple[list[Any], list[set[int]]]] = []

    def axes_of(index: tirx.Expr) -> set[int]:
        used = _variables(index)
        return {
            axis
            for axis, axis_var in enumerate(body.iter_vars)
            if any(variable.same_as(axis_var.var) for variable in used)
        }

    def visit(load: ir.TensorLoad) -> None:
        if not any(load.source.same_as(buffer) for buffer in written):
            reads.append((list(load.indices), [axes_of(index) for index in load.indices]))

    tvm_ffi.structural_walk(body.body, (ir.TensorLoad, visit), order="post")
    return reads


def _variables(expression: tirx.Expr) -> list[tirx.Var]:
    found: list[tirx.Var] = []
    tvm_ffi.structural_walk(expression, (tirx.Var, found.append), order="post")
    return found
