"""Direct convolution of blocked and plain inputs, against NumPy in float64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tvm_ffi
from graph_reference import CPUS, Graph, check, compare, compiled, evaluate
from tvm import relax, s_tir, tirx

from paddle_tvm.compiler.lowering import lower
from paddle_tvm.targets.x86 import x86_target
from paddle_tvm.targets.x86.direct import merge_groups

# input channels, output channels, kernel, stride, padding (top, left, bottom, right), dilation, groups
CASES = [
    pytest.param((3, 8, 7, 2, (3, 3, 3, 3), 1, 1), id="first-layer"),
    pytest.param((1, 16, 3, 1, (1, 1, 1, 1), 1, 1), id="1-channel-in"),
    pytest.param((4, 24, 3, 2, (1, 1, 1, 1), 1, 1), id="4-channels-in"),
    pytest.param((4, 3, 3, 1, (1, 1, 1, 1), 1, 1), id="image-to-image"),
    pytest.param((6, 1, 3, 1, (1, 1, 1, 1), 1, 1), id="1-channel-out"),
    pytest.param((24, 2, 1, 1, (0, 0, 0, 0), 1, 1), id="2-channels-out-1x1"),
    pytest.param((24, 3, 3, 2, (1, 1, 1, 1), 1, 1), id="3-channels-out"),
    pytest.param((24, 4, 1, 1, (0, 0, 0, 0), 1, 1), id="4-channels-out"),
    pytest.param((48, 97, 1, 1, (0, 0, 0, 0), 1, 1), id="97-channels-out"),
    pytest.param((97, 58, 3, 1, (1, 1, 1, 1), 1, 1), id="97-channels-in"),
    pytest.param((58, 24, 3, 1, (2, 2, 2, 2), 2, 1), id="dilation"),
    pytest.param((20, 24, 3, 1, (0, 1, 2, 0), 1, 1), id="uneven-padding"),
    pytest.param((16, 32, 1, 2, (0, 0, 0, 0), 1, 1), id="1x1-stride-2"),
    pytest.param((16, 32, 2, 3, (0, 0, 0, 0), 1, 1), id="stride-larger-than-kernel"),
    pytest.param((32, 32, 3, 1, (1, 1, 1, 1), 1, 16), id="groups-of-2"),
    pytest.param((64, 64, 3, 2, (1, 1, 1, 1), 1, 2), id="groups-of-32"),
    pytest.param((128, 64, 1, 1, (0, 0, 0, 0), 1, 4), id="groups-1x1"),
    pytest.param((24, 24, 3, 1, (1, 1, 1, 1), 1, 4), id="groups-of-6"),
    pytest.param((24, 48, 3, 1, (1, 1, 1, 1), 1, 24), id="two-filters-for-each-channel"),
    pytest.param((32, 16, 1, 1, (0, 0, 0, 0), 1, 16), id="groups-that-shrink"),
    pytest.param((96, 96, 3, 1, (1, 1, 1, 1), 1, 2), id="groups-of-48"),
    pytest.param((6, 12, 1, 1, (0, 0, 0, 0), 1, 3), id="few-groups"),
]


def filtered(options: Sequence[Any]) -> Any:
    def graph(g: Graph, x: relax.Expr) -> Any:
        y = g.conv(x, *options)
        biased = g.add(y, g.const(1, options[0], 1, 1))
        return g.clip(g.add(biased, g.relu(y)), -0.5, 1.5)

    return graph


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("case", CASES)
def test_convolution_of_an_input(case, mcpu):
    channels, *options = case
    check([[2, channels, 9, 11]], filtered(options), mcpu)


@pytest.mark.parametrize("case", CASES)
def test_convolution_of_blocks_at_sizes_that_are_not_known(case):
    channels, *options = case
    sizes = [{"n": 2, "h": 9, "w": 31}, {"n": 1, "h": 8, "w": 7}]
    cpu = CPUS[sum(map(ord, str(case))) % len(CPUS)]
    check([["n", 8, "h", "w"]], lambda g, x: filtered(options)(g, g.relu(g.conv(x, channels))), cpu, sizes)


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize(("channels", "groups"), [(38, 2), (50, 2), (57, 3), (76, 4), (66, 2)])
def test_groups_that_end_within_a_vector(channels, groups, kernel, mcpu):
    check([[2, channels, 6, 9]], lambda g, x: g.relu(g.conv(x, channels, kernel, groups=groups)), mcpu)


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 5), (14, 14)])
@pytest.mark.parametrize("channels", [16, 40])
def test_1x1_tiles_that_span_rows(size, channels, mcpu):
    def graph(g: Graph, x: relax.Expr) -> Any:
        y = g.relu(g.conv(x, channels))
        return g.minimum(g.add(g.conv(y, channels), y), g.conv(x, channels))

    check([[3, 24, *size]], graph, mcpu)


@pytest.mark.parametrize(
    ("total", "groups", "lanes", "left"), [(64, 32, 16, 4), (64, 4, 16, 4), (32, 2, 8, 2)]
)
def test_groups_join_until_they_fill_a_vector(total, groups, lanes, left):
    weight = np.random.default_rng(0).standard_normal((total, 3, 1, 1)).astype("float32")
    merged, number = merge_groups(weight, groups, lanes) or (None, 0)
    assert number == left
    assert merged is not None
    # What a channel reads is where its group lies among the inputs of the joined group.
    dense = np.zeros((total, 3 * groups), "float32")
    for channel in range(total):
        first = channel // (total // groups) * 3
        dense[channel, first : first + 3] = weight[channel, :, 0, 0]
    joined = np.zeros_like(dense)
    width = merged.shape[1]
    for channel in range(total):
        first = channel // (total // number) * width
        joined[channel, first : first + width] = merged[channel, :, 0, 0]
    np.testing.assert_array_equal(joined, dense)


@pytest.mark.parametrize(("total", "groups", "lanes"), [(24, 4, 16), (12, 3, 8), (48, 2, 16)])
def test_groups_that_fill_no_vector_stay(total, groups, lanes):
    assert merge_groups(np.ones((total, 3, 1, 1), "float32"), groups, lanes) is None


@pytest.mark.parametrize("size", [40, "h"])
@pytest.mark.parametrize(("channels", "groups"), [(24, 8), (33, 11), (20, 2)])
def test_no_thread_writes_channels_of_a_group_that_another_computes(channels, groups, size):
    module = Graph([1, channels, size, 40]).module(lambda g, x: g.conv(x, channels, 3, 1, 1, 1, groups))
    # Vectors of these groups are not full: what TVM makes of a tile's channels reaches into the next group.
    functions = [f for f in lower(module, x86_target()).functions.values() if isinstance(f, tirx.PrimFunc)]
    together = [blocks for function in functions for blocks in parallel_blocks(function)]
    assert {"conv2d_init", "conv2d_update"} in together
    assert {"unpack"} in together
    image = np.random.default_rng(2).standard_normal((1, channels, 40, 40)).astype("float32")
    for actual, expected in zip(
        compiled(module, None)(image), evaluate(module["main"], [image]), strict=True
    ):
        compare(actual, expected)


def parallel_blocks(function: tirx.PrimFunc) -> list[set[str]]:
    """The names of the blocks in each parallel loop."""
    found: list[set[str]] = []

    def visit(loop: tirx.For) -> None:
        if loop.kind == tirx.ForKind.PARALLEL:
            names: set[str] = set()
            tvm_ffi.structural_walk(loop.body, (s_tir.SBlock, lambda block: names.add(str(block.name_hint))))
            found.append(names)

    tvm_ffi.structural_walk(function.body, (tirx.For, visit))
    return found
