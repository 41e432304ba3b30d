"""Local buffers of tiles become single variables."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
import tvm_ffi
from tvm import s_tir, te, tirx

from paddle_tvm.targets.x86.registers import split_registers


def allocated(function: tirx.PrimFunc) -> list[int]:
    """The numbers of elements of a function's own buffers."""
    found: list[int] = []

    def visit(statement: tirx.AllocBuffer) -> None:
        found.append(int(np.prod([int(dim) for dim in statement.buffer.shape])))

    tvm_ffi.structural_walk(function.body, (tirx.AllocBuffer, visit))
    return found


def tiled(tile: int, *, unrolled: bool) -> tirx.PrimFunc:
    """Twice x in a local buffer, and one more than that, ``tile`` elements at a time."""
    x = te.placeholder((4 * tile,), "float32", name="x")
    twice = te.compute(x.shape, lambda i: x[i] * 2, name="twice")
    schedule = s_tir.Schedule(
        te.create_prim_func([x, te.compute(x.shape, lambda i: twice[i] + 1, name="more")])
    )
    outside, inside = schedule.split(schedule.get_loops("more")[0], [None, tile])
    schedule.compute_at("twice", outside)
    schedule.set_scope("twice", 0, "local")
    if unrolled:
        schedule.unroll(inside)
        schedule.unroll(schedule.get_loops("twice")[-1])
    return flat(schedule.mod["main"])


def flat(function: tirx.PrimFunc) -> tirx.PrimFunc:
    passes = [
        s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
        s_tir.transform.ConvertBlocksToOpaque(),
        s_tir.transform.CompactBufferAllocation(),
        s_tir.transform.LowerOpaqueBlock(),
        tirx.transform.FlattenBuffer(),
        tirx.transform.UnrollLoop(),
        s_tir.transform.StmtSimplify(),
    ]
    module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
    return tvm.transform.Sequential(passes)(module)["main"]


def run(function: tirx.PrimFunc, x: np.ndarray) -> np.ndarray:
    result = tvm.runtime.tensor(np.zeros_like(x))
    tvm.compile(tvm.IRModule({"main": function}), target="llvm")["main"](tvm.runtime.tensor(x), result)
    return result.numpy()


def test_every_element_of_an_unrolled_tile_becomes_a_variable():
    x = np.arange(32, dtype="float32")
    function = tiled(8, unrolled=True)
    split = split_registers(function)
    assert allocated(function) == [8]
    assert allocated(split) == [1] * 8
    np.testing.assert_array_equal(run(split, x), 2 * x + 1)


@pytest.mark.parametrize(
    ("tile", "unrolled"), [(8, False), (65, True)], ids=["loop", "larger-than-registers"]
)
def test_buffers_that_cannot_be_registers_stay(tile, unrolled):
    x = np.arange(4 * tile, dtype="float32")
    split = split_registers(tiled(tile, unrolled=unrolled))
    assert allocated(split) == [tile]
    np.testing.assert_array_equal(run(split, x), 2 * x + 1)


def test_functions_without_local_buffers_are_left_alone():
    x = te.placeholder((4,), "float32", name="x")
    function = flat(te.create_prim_func([x, te.compute(x.shape, lambda i: x[i] * 2)]))
    assert split_registers(function).same_as(function)
