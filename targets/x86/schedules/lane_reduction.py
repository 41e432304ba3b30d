"""The schedule of reductions over rows and columns of blocked activations.

Each vector of channels is reduced on its own, into several accumulators: one would wait for every addition
to be done before the next.
"""

from __future__ import annotations

from typing import Any

import tvm_ffi
from tvm import ir, s_tir, tirx
from tvm.s_tir.schedule import ScheduleError

from paddle_tvm.targets.blocks import reduces, reduction_flags
from paddle_tvm.targets.expressions import extent, simplify
from paddle_tvm.targets.x86.schedules.fused_stage import FusedStage, take_stage
from paddle_tvm.targets.x86.schedules.loop_nest import (
    PARALLEL,
    SERIAL,
    UNROLLED,
    int64,
    loop,
    opaque_block,
    replace_loads,
    sequence,
    substitute,
    vectors,
)

_LANES = (4, 8, 16)
_SUMS = 8
# Below this number of vector operations starting threads costs more than they save.
_PARALLEL_WORK = 1 << 14
_COMBINERS = (tirx.Add, tirx.Max, tirx.Min)


def is_lane_reduction(schedule: s_tir.Schedule, block: Any) -> bool:
    """Whether a block reduces vectors that lie in the last dimension of what it reads and writes."""
    body = schedule.get(block)
    flags = reduction_flags(schedule, block)
    if not any(flags) or not isinstance(body.body, tirx.BufferStore) or body.init is None:
        return False
    spatial = [axis for axis, flag in zip(body.iter_vars, flags, strict=True) if not flag]
    if not spatial or extent(spatial[-1].dom.extent) not in _LANES:
        return False
    store = body.body
    if len(store.indices) != len(spatial) or not all(map(_steps, store.indices, spatial)):
        return False
    if not isinstance(store.value, _COMBINERS) or not _is_load(store.value.a, store.buffer):
        return False
    loads: list[ir.TensorLoad] = []
    tvm_ffi.structural_walk(store.value.b, (ir.TensorLoad, loads.append))
    return bool(loads) and all(
        _steps(load.indices[-1], spatial[-1]) and not load.source.same_as(store.buffer) for load in loads
    )


def _steps(index: Any, axis: Any) -> bool:
    """Whether an index is an axis, which is zero where it has one element."""
    return bool(index.same_as(axis.var)) or (extent(index) == 0 and extent(axis.dom.extent) == 1)


def _is_load(value: Any, buffer: Any) -> bool:
    return isinstance(value, ir.TensorLoad) and bool(value.source.same_as(buffer))


def schedule_lane_reduction(schedule: s_tir.Schedule, main: Any) -> None:
    """Schedule a function that holds such a block."""
    flags = reduction_flags(schedule, main)
    _inline_operand(schedule, main)
    fused = take_stage(schedule, main)
    fused.replace(schedule, _loops(fused, flags))


def _inline_operand(schedule: s_tir.Schedule, main: Any) -> None:
    """Compute elementwise what is reduced where it is read: every element is read once."""
    for block in schedule.get_producers(main):
        if reduces(schedule, block) or len(schedule.get_consumers(block)) != 1:
            continue
        try:
            schedule.compute_inline(block)
        except ScheduleError:
            # An output of the function.
            continue
        _inline_operand(schedule, main)
        return


def _loops(fused: FusedStage, flags: list[bool]) -> tirx.Stmt:
    axes = fused.main.iter_vars
    *outer, lanes = [extent(axis.dom.extent) for axis, flag in zip(axes, flags, strict=True) if not flag]
    reduced = [extent(axis.dom.extent) for axis, flag in zip(axes, flags, strict=True) if flag]
    work: Any = 1
    for size in (*outer, *reduced):
        work = work * size
    units: Any = 1
    for size in outer:
        units = units * size

    def unit(number: Any) -> tirx.Stmt:
        index: list[Any] = []
        rest = number
        for size in reversed(outer[1:]):
            # An axis of one element takes no part, so that no division is left for it.
            index.insert(0, int64(0) if size == 1 else rest % size)
            rest = rest if size == 1 else rest // size
        return _reduce(fused, flags, [rest, *index] if outer else [], int(lanes), reduced)

    total = simplify(work)
    parallel = not isinstance(total, int) or total >= _PARALLEL_WORK
    return loop("unit", 0, simplify(units), unit, PARALLEL if parallel else SERIAL)


def _reduce(
    fused: FusedStage, flags: list[bool], outer: list[Any], lanes: int, reduced: list[Any]
) -> tirx.Stmt:
    """One vector of the result."""
    store = fused.main.body
    axes = [axis.var for axis in fused.main.iter_vars]
    count = _accumulators(reduced[-1])
    # In global scope, for the reason that sliding_window.py gives.
    sums = tirx.decl_buffer((count, lanes), str(fused.result.ty.dtype), "sums")

    def vector(body: Any) -> tirx.Stmt:
        return vectors(body, lanes)

    def update(place: list[Any], t: Any) -> tirx.Stmt:
        def combine(lane: Any) -> tirx.Stmt:
            spatial, inner = iter([*outer, lane]), iter(place)
            index = [next(inner) if flag else next(spatial) for flag in flags]
            value = substitute(store.value, list(zip(axes, map(int64, index), strict=True)))
            here = replace_loads(value, fused.result, lambda _: tirx.BufferLoad(sums, [t, lane]))
            return tirx.BufferStore(sums, here, [t, lane])

        return vector(combine)

    def row(place: list[Any]) -> tirx.Stmt:
        length = reduced[-1]
        whole = length // count

        def tile(number: Any) -> tirx.Stmt:
            return loop("t", 0, count, lambda t: update([*place, number * count + t], t), UNROLLED)

        rest = simplify(length - whole * count)
        tiles = [loop("tile", 0, whole, tile)]
        if not isinstance(rest, int) or rest > 0:
            tiles.append(loop("k", 0, rest, lambda k: update([*place, whole * count + k], int64(0))))
        return sequence(tiles)

    def rows(place: list[Any]) -> tirx.Stmt:
        axis = len(place)
        if axis == len(reduced) - 1:
            return row(place)
        return loop("k", 0, reduced[axis], lambda k: rows([*place, k]))

    def first(t: Any) -> tirx.Stmt:
        return vector(lambda lane: tirx.BufferStore(sums, fused.main.init.value, [t, lane]))

    def join(t: Any) -> tirx.Stmt:
        def combine(lane: Any) -> tirx.Stmt:
            parts = tirx.BufferLoad(sums, [int64(0), lane]), tirx.BufferLoad(sums, [t, lane])
            return tirx.BufferStore(sums, type(store.value)(*parts), [int64(0), lane])

        return vector(combine)

    def finish(lane: Any) -> tirx.Stmt:
        return fused.store(tirx.BufferLoad(sums, [int64(0), lane]), [*outer, lane])

    statements = [loop("t", 0, count, first, UNROLLED), rows([])]
    if count > 1:
        statements.append(loop("t", 1, count - 1, join, UNROLLED))
    return opaque_block("reduce", [sums], sequence([*statements, vector(finish)]))


def _accumulators(length: Any) -> int:
    """As many as leave the fewest elements of a row over."""
    if not isinstance(length, int):
        return 4
    if length <= _SUMS:
        return max(1, length)
    return min(range(_SUMS // 2, _SUMS + 1), key=lambda count: (length % count, -count))
