"""Loops in parts, and tiles that overlap."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
import tvm_ffi
from graph_reference import CPUS, Graph, check
from tvm import ir, relax, te, tirx

from paddle_tvm.targets.x86.partitioning import PARTITION, partition_loops


def choices(function: tirx.PrimFunc) -> int:
    found: list[ir.Call] = []

    def visit(call: ir.Call) -> None:
        if isinstance(call.op, ir.Op) and call.op.name == "prim.if_then_else":
            found.append(call)

    tvm_ffi.structural_walk(function.body, (ir.Call, visit))
    return len(found)


def joined(limits: list[int], length: int) -> tirx.PrimFunc:
    """Element i is that of another tensor from each limit on."""
    sources = [te.placeholder((length,), "float32", name=f"source_{n}") for n in range(len(limits) + 1)]

    def read(i: tirx.Var) -> ir.Expr:
        value = sources[-1][i]
        for limit, source in zip(reversed(limits), reversed(sources[:-1]), strict=True):
            value = tirx.if_then_else(i < limit, source[i], value)
        return value

    return te.create_prim_func([*sources, te.compute((length,), read, name="joined")])


def marked(function: tirx.PrimFunc, starts: list[int]) -> tirx.PrimFunc:
    schedule = tvm.s_tir.Schedule(function)
    (loop,) = schedule.get_loops("joined")
    schedule.annotate(loop, PARTITION, starts)
    return schedule.mod["main"]


def run(function: tirx.PrimFunc, sources: list[np.ndarray]) -> np.ndarray:
    result = tvm.runtime.tensor(np.zeros_like(sources[0]))
    kernel = tvm.compile(tvm.IRModule({"main": function.with_attr("global_symbol", "main")}), target="llvm")
    kernel["main"](*[tvm.runtime.tensor(source) for source in sources], result)
    return result.numpy()


@pytest.mark.parametrize("limits", [[4], [1, 9], [2, 5, 11]])
def test_parts_hold_no_choice_and_give_the_same_values(limits):
    sources = [np.arange(12, dtype="float32") + 100 * number for number in range(len(limits) + 1)]
    expected = np.select([np.arange(12) < limit for limit in limits], sources[:-1], sources[-1])
    function = marked(joined(limits, 12), [0, *limits])
    lowered = tvm.transform.Sequential(
        [
            tvm.s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
            tvm.s_tir.transform.ConvertBlocksToOpaque(),
        ]
    )(tvm.IRModule({"main": function}))["main"]
    parts = partition_loops(lowered)
    assert choices(lowered) == len(limits)
    assert choices(parts) == 0
    np.testing.assert_array_equal(run(parts, sources), expected)


def test_a_choice_that_a_part_does_not_decide_stays():
    lowered = tvm.transform.Sequential(
        [
            tvm.s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
            tvm.s_tir.transform.ConvertBlocksToOpaque(),
        ]
    )(tvm.IRModule({"main": marked(joined([4], 12), [0, 6])}))["main"]
    sources = [np.arange(12, dtype="float32"), np.arange(12, dtype="float32") + 100]
    parts = partition_loops(lowered)
    assert choices(parts) == 1
    np.testing.assert_array_equal(run(parts, sources), np.where(np.arange(12) < 4, *sources))


def test_functions_without_marked_loops_are_left_alone():
    function = joined([4], 12)
    assert partition_loops(function).same_as(function)


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("kernel", [1, 3])
def test_minima_of_values_are_kept_in_tiles_that_overlap(kernel, mcpu):
    """A clamp of positions goes, ``min`` of the model's values stays: relu6, residuals."""

    def graph(g: Graph, x: relax.Expr) -> tuple[relax.Expr, ...]:
        y = g.conv(x, 24, kernel, padding=kernel // 2)
        return g.clip(y, -0.2, 0.3), g.minimum(g.conv(x, 24, kernel, padding=kernel // 2), x)

    sizes = [{"n": 1, "h": 5, "w": 50}, {"n": 2, "h": 3, "w": 4}]
    check([["n", 24, "h", "w"]], graph, mcpu, sizes)
