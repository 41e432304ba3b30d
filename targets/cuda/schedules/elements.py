"""Kernels in which every thread computes elements of its own."""

from __future__ import annotations

from typing import Any

from tvm import tirx

from paddle_tvm.targets.cuda.schedules.results import compute, finish, redirect
from paddle_tvm.targets.cuda.schedules.stages import Axis, Group
from paddle_tvm.targets.cuda.schedules.threads import (
    THREADS,
    guarded,
    integer,
    launch,
    loop,
    positions,
    sequence,
    substitute,
)
from paddle_tvm.targets.expressions import ceil_div


def schedule_elements(group: Group) -> tirx.Stmt:
    """A thread for every element of a group that reduces nothing, or reduces little."""
    total = group.main.elements
    threads = min(THREADS, _warps(total)) if isinstance(total, int) else THREADS
    accumulators = accumulators_of(group) if group.main.reduction else []

    def body(block: Any, thread: Any) -> list[tirx.Stmt]:
        number = block * threads + thread
        places = positions(number, [axis.extent for axis in group.main.spatial])
        inside = [] if isinstance(total, int) and total % threads == 0 else [number < integer(total)]
        if not accumulators:
            return [guarded(inside, sequence(compute(group, places)))]
        statements = [
            *reduce_serially(group, places, accumulators),
            *finish(group, [accumulator[0] for accumulator in accumulators], places),
        ]
        return [guarded(inside, sequence(statements))]

    return launch(ceil_div(total, threads), threads, accumulators, body)


def _warps(total: int) -> int:
    return max(32, -(-total // 32) * 32)


def accumulators_of(group: Group) -> list[Any]:
    """A register for each result of a reduction."""
    return [
        tirx.decl_buffer((1,), output.dtype, f"{output.name}_sum", scope="local")
        for output in group.main.outputs
    ]


def reduce_serially(group: Group, places: list[Any], accumulators: list[Any]) -> list[tirx.Stmt]:
    """Reduce all of a place in one thread."""
    stage = group.main
    pairs = list(zip(stage.outputs, accumulators, strict=True))
    at = [(axis.variable, place) for axis, place in zip(stage.spatial, places, strict=True)]
    begin = redirect(substitute(stage.block.init, at), pairs)
    step = redirect(stage.body_at(places), pairs)
    return [begin, _nest(stage.reduction, step)]


def _nest(axes: tuple[Axis, ...], body: tirx.Stmt) -> tirx.Stmt:
    """Loops over axes, the last innermost."""
    if not axes:
        return body
    first, *others = axes

    def inside(at: Any) -> tirx.Stmt:
        return substitute(_nest(tuple(others), body), [(first.variable, at)])

    return loop(first.variable.name, first.extent, inside)
