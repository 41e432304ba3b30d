"""The schedule of everything without a rule of its own: parallel outside, vectorisable inside.

Innermost loops are left for LLVM to vectorise: it handles lengths that are not known, and tails, where
an explicit vector loop in TIR would fall back to scalars.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

from tvm import s_tir
from tvm.s_tir.schedule import ScheduleError

from paddle_tvm.targets.blocks import (
    constant_extent,
    contiguous_axes,
    neighbouring_axes,
    reads_whole_vectors,
    reduces,
    reduction_flags,
    root_blocks,
)

# Lanes of blocked tensors.
_VECTORS = (4, 8, 16)
# Loops shorter than this do not fill vectors: the next one outwards joins them.
_VECTOR_LOOP = 64
# Reductions shorter than this leave most of their time in what comes before and after the vector loop.
_ROW = 512
# Starting the thread pool costs a few microseconds; so does this much elementwise work.
_PARALLEL_WORK = 1 << 14
# Reductions over windows up to this size are unrolled inside the vector loop.
_WINDOW = 64


def schedule_loops(schedule: s_tir.Schedule) -> None:
    """Schedule all blocks of a function."""
    inline_elementwise(schedule)
    for block in root_blocks(schedule):
        schedule_block(schedule, block)


def inline_elementwise(schedule: s_tir.Schedule) -> None:
    """Compute elementwise stages where they are used, unless that computes them more than once."""
    for block in root_blocks(schedule)[:-1]:
        if reduces(schedule, block):
            continue
        consumers = schedule.get_consumers(block)
        if len(consumers) != 1 or reduces(schedule, consumers[0]):
            continue
        try:
            schedule.compute_inline(block)
        except ScheduleError:
            # An output of the function, or written in several places: it stays a stage of its own.
            continue


def schedule_block(schedule: s_tir.Schedule, block: Any) -> None:
    """One block under the root."""
    loops = schedule.get_loops(block)
    flags = reduction_flags(schedule, block)
    if not loops or len(loops) != len(flags):
        return
    if any(constant_extent(schedule, loop) == 0 for loop in loops):
        return
    spatial = [loop for loop, reduction in zip(loops, flags, strict=True) if not reduction]
    reduction = [loop for loop, reduction in zip(loops, flags, strict=True) if reduction]
    if not reduction:
        _parallel_outside(schedule, block, spatial)
        return
    extents = [constant_extent(schedule, loop) for loop in reduction]
    work = prod(extent for extent in extents if extent is not None)
    window = None not in extents and work <= _WINDOW
    contiguous = contiguous_axes(schedule, block)
    rows = any(flags[axis] for axis in contiguous) and not window
    if rows or not spatial:
        # The reduction itself runs along memory: LLVM vectorises it, the rest is rows.
        schedule.reorder(*spatial, *reduction)
        _parallel(schedule, spatial, work)
        axes = [axis for axis, flag in enumerate(flags) if flag]
        reduction = _join_short_loops(schedule, block, reduction, axes)
        # A loop that may run no time would never reach the start value; and over two axes LLVM does not
        # vectorise a loop that asks each time whether it is the first.
        schedule.decompose_reduction(block, reduction[0])
    elif window:
        schedule.reorder(*spatial, *reduction)
        for loop in reduction:
            schedule.unroll(loop)
        _parallel(schedule, spatial[:-1], work * (constant_extent(schedule, spatial[-1]) or 1))
    else:
        # Outputs lie along memory: accumulate a row of them at once.
        schedule.reorder(*spatial[:-1], *reduction, spatial[-1])
        _parallel(schedule, spatial[:-1], work * (constant_extent(schedule, spatial[-1]) or 1))
        schedule.decompose_reduction(block, reduction[0])


def _join_short_loops(schedule: s_tir.Schedule, block: Any, loops: list[Any], axes: list[int]) -> list[Any]:
    """Make the innermost loop a long one, where lengths are known and memory goes on from row to row."""
    loops = list(loops)
    neighbours = neighbouring_axes(schedule, block)
    for pair in reversed(list(pairwise(axes))):
        lengths = [constant_extent(schedule, loop) for loop in loops[-2:]]
        if None in lengths or (lengths[1] or 0) >= _ROW or pair not in neighbours:
            break
        loops[-2:] = [schedule.fuse(*loops[-2:])]
    return loops


def _parallel_outside(schedule: s_tir.Schedule, block: Any, loops: list[Any]) -> None:
    """Keep a long enough loop innermost, and run the others in parallel."""
    loops = list(loops)
    inner = loops.pop()
    length = constant_extent(schedule, inner)
    if length in _VECTORS and len(loops) > 1 and constant_extent(schedule, loops[-1]) is None:
        # Vectors in a row of unknown length, which costs no division as a loop of its own.
        loops.pop()
        if reads_whole_vectors(schedule, block):
            schedule.vectorize(inner)
        _parallel(schedule, loops, length)
        return
    while loops and length is not None and length < _VECTOR_LOOP:
        outer = constant_extent(schedule, loops[-1])
        if outer is None:
            break
        inner = schedule.fuse(loops.pop(), inner)
        length *= outer
    if not loops and length is not None and length >= 2 * _PARALLEL_WORK:
        chunk, inner = schedule.split(inner, [None, _PARALLEL_WORK // 4])
        loops = [chunk]
        length = _PARALLEL_WORK // 4
    _parallel(schedule, loops, length or 1)


def _parallel(schedule: s_tir.Schedule, loops: list[Any], work: int) -> None:
    """Run loops in parallel, where they are enough work; ``work`` is that of one iteration of them all."""
    if not loops:
        return
    extents = [constant_extent(schedule, loop) for loop in loops]
    total = work * prod(extent for extent in extents if extent is not None)
    if None not in extents and total < _PARALLEL_WORK:
        return
    schedule.parallel(schedule.fuse(*loops) if len(loops) > 1 else loops[0])
