"""Weights that kernels ask for ahead of their turn."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import pytest
import tvm_ffi
from graph_reference import CPUS, Graph, check
from tvm import relax, tirx
from tvm.s_tir.stmt import SBlockRealize
from tvm.sym import Analyzer

from paddle_tvm.compiler.lowering import lower
from paddle_tvm.targets.workload import Choice
from paddle_tvm.targets.x86 import x86_target
from paddle_tvm.targets.x86.prefetch import prefetch_weights

# channels, kernel, stride, and the size of the map
CONVOLUTIONS = [
    pytest.param((512, 1, 1, (7, 7)), id="1x1"),
    pytest.param((512, 1, 1, (14, 14)), id="1x1-rows-in-chunks"),
    pytest.param((256, 3, 2, (14, 14)), id="3x3-stride-2"),
    pytest.param((176, 3, 2, (27, 33)), id="11-blocks"),
]


def convolved(case: tuple[Any, ...]) -> Any:
    channels, kernel, stride, _ = case
    padding = (kernel // 2,) * 4

    def graph(g: Graph, x: relax.Expr) -> Any:
        return g.relu(g.conv(g.relu(g.conv(x, channels)), channels, kernel, stride, padding))

    return graph


def prefetches(module: Any) -> list[tuple[list[tirx.For], list[Any], Any]]:
    """Of each prefetch the loops around it, outermost first, the index, and the buffer."""
    found: list[tuple[list[tirx.For], list[Any], Any]] = []

    def look(statement: Any, loops: list[tirx.For]) -> None:
        if isinstance(statement, tirx.For):
            look(statement.body, [*loops, statement])
        elif isinstance(statement, tirx.SeqStmt):
            for part in statement.seq:
                look(part, loops)
        elif isinstance(statement, tirx.IfThenElse):
            look(statement.then_case, loops)
            if statement.else_case is not None:
                look(statement.else_case, loops)
        elif isinstance(statement, SBlockRealize):
            look(statement.block.body, loops)
        elif isinstance(statement, tirx.Evaluate) and statement.value.op.name == "tirx.prefetch":
            load = statement.value.args[0].args[0]
            found.append((loops, list(load.indices), load.source))

    for function in module.functions.values():
        if isinstance(function, tirx.PrimFunc):
            look(prefetch_weights(function).body, [])
    return found


def places_asked_for(module: Any) -> tuple[set[tuple[int, ...]], Any]:
    """The places that are asked for, and the buffer that they are in."""
    analyzer = Analyzer()
    asked = set()
    found = prefetches(module)
    for loops, index, _ in found:
        for values in product(*(range(int(loop.extent)) for loop in loops)):
            known = dict(zip((loop.loop_var for loop in loops), values, strict=True))

            def value(variable: tirx.Var, known: dict[Any, int] = known) -> tirx.IntImm:
                return tirx.IntImm("int64", known[variable])

            asked.add(
                tuple(
                    int(analyzer.simplify(tvm_ffi.structural_map(part, (tirx.Var, value)))) for part in index
                )
            )
    return asked, found[0][2]


def line_of(place: tuple[int, ...], shape: list[int]) -> int:
    """Which line of memory that is: a vector of 16 lanes is one."""
    line = 0
    for at, size in zip(place[:-1], shape[:-1], strict=True):
        line = line * size + at
    return line


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions_that_ask_ahead_compute_the_same(case, mcpu):
    check([[2, 8, *case[-1]]], convolved(case), mcpu)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("mcpu", CPUS)
def test_so_do_those_of_many_weights_over_unknown_sizes(mcpu, kernel):
    channels = 1024 if kernel == 1 else 256
    case = (channels, kernel, 2, ())
    sizes = [{"n": 1, "h": 14, "w": 14}, {"n": 2, "h": 5, "w": 19}]
    check([["n", 512, "h", "w"]], convolved(case), mcpu, sizes)
    module = Graph(["n", 512, "h", "w"]).module(convolved(case))
    assert prefetches(lower(module, x86_target("icelake-server")))


@pytest.mark.parametrize("rows", [40, "n"])
@pytest.mark.parametrize("mcpu", CPUS)
def test_products_that_ask_ahead_compute_the_same(mcpu, rows):
    sizes = [{"n": 5}, {"n": 61}]
    check([[rows, 101]], lambda g, x: g.relu(g.matmul(x, g.const(101, 1500))), mcpu, sizes)


@pytest.mark.parametrize("case", [(512, 1, 1, (7, 7)), (512, 1, 1, (14, 14)), (128, 3, 2, (14, 14))])
def test_every_line_of_the_next_block_is_asked_for(case):
    module = Graph([1, 8, *case[-1]]).module(convolved(case))
    places, weight = places_asked_for(lower(module, x86_target("icelake-server")))
    shape = [int(size) for size in weight.shape]
    assert {line_of(place, shape) for place in places} >= set(range(prod(shape[:-1])))


@pytest.mark.parametrize(("channels", "size", "tiles"), [(256, (7, 7), 2), (128, (14, 14), 7)])
def test_winograd_asks_for_every_line_of_the_next_point(channels, size, tiles):

    def graph(g: Graph, x: relax.Expr) -> Any:
        return g.relu(g.conv(g.relu(g.conv(x, channels)), channels, 3, 1, 1))

    class InTiles:
        def of(self, workload: Any) -> Choice:
            for form in workload.candidates():
                if form.get("winograd") == 2 and form["rows"] * form["columns"] == tiles * form["points"]:
                    return Choice(form)
            return Choice(workload.default())

    module = Graph([1, 8, *size]).module(graph)
    target = replace(x86_target("icelake-server"), choices=InTiles())
    places, weight = places_asked_for(lower(module, target))
    shape = [int(extent) for extent in weight.shape]
    # No point comes before the first.
    first = prod(shape[2:-1])
    assert {line_of(place, shape) for place in places} >= set(range(first, prod(shape[:-1])))


def test_small_weights_are_not_asked_for():
    module = Graph([1, 8, 7, 7]).module(convolved((64, 1, 1, (7, 7))))
    assert not prefetches(lower(module, x86_target("icelake-server")))
