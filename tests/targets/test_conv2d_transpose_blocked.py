"""Transposed convolution in the blocked layout, against NumPy in float64."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from graph_reference import CPUS, Graph, check
from tvm import relax

# kernel, stride, padding, output padding
WINDOWS = [
    (kernel, stride, padding, extra)
    for kernel, stride, padding, extra in product((1, 2, 3, 4, 5), (1, 2, 3), (0, 1, 2), (0, 1))
    if extra < stride and padding < kernel
]


def transposed(
    window: tuple[int, ...], outputs: int, depth: int = 24, dilation: int = 1, groups: int = 1
) -> Any:
    kernel, stride, padding, extra = window

    def graph(g: Graph, x: relax.Expr) -> Any:
        weight = np.random.default_rng(kernel).standard_normal((depth, outputs // groups, kernel, kernel))
        y = g.conv2d_transpose(
            g.conv(x, depth),
            relax.const((weight / np.sqrt(depth * kernel**2 / stride**2)).astype("float32")),
            strides=(stride, stride),
            padding=[padding] * 4,
            output_padding=(extra, extra),
            dilation=(dilation, dilation),
            groups=groups,
        )
        return g.clip(g.add(g.relu(y), g.add(y, g.const(1, outputs, 1, 1))), -0.8, 1.4)

    return graph


def cpu_of(window: tuple[int, ...]) -> str | None:
    """Each window on one CPU, the CPUs in turn."""
    return CPUS[WINDOWS.index(window) % len(CPUS)]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_window(window):
    check([[2, 8, 4, 7]], transposed(window, 20), cpu_of(window))


@pytest.mark.parametrize("window", WINDOWS[1::4], ids=str)
def test_window_with_few_output_channels(window):
    check([[2, 8, 4, 7]], transposed(window, 2), cpu_of(window))


@pytest.mark.parametrize("outputs", [2, 20])
@pytest.mark.parametrize("window", WINDOWS[::4], ids=str)
def test_window_at_sizes_that_are_not_known(window, outputs):
    sizes = [{"n": 1, "h": 5, "w": 35}, {"n": 2, "h": 3, "w": 4}]
    check([["n", 8, "h", "w"]], transposed(window, outputs), cpu_of(window), sizes)


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("outputs", [1, 3, 4, 8, 24, 97])
def test_channels(outputs, mcpu):
    check([[1, 8, 6, 9]], transposed((4, 2, 1, 0), outputs, depth=58), mcpu)


@pytest.mark.parametrize("mcpu", CPUS)
def test_dilation_and_groups(mcpu):
    check([[1, 8, 6, 9]], transposed((3, 2, 1, 1), 24, dilation=2), mcpu)
    check([[1, 8, 6, 9]], transposed((2, 2, 0, 0), 24, groups=3), mcpu)


def test_uneven_strides_and_padding():
    def graph(g: Graph, x: relax.Expr) -> Any:
        weight = g.const(24, 20, 2, 5)
        y = g.conv2d_transpose(
            g.conv(x, 24), weight, strides=(2, 3), padding=(0, 1, 1, 2), output_padding=(1, 0)
        )
        return g.multiply(y, relax.const(np.float32(0.05)))

    check([[2, 8, 4, 7]], graph, None)


@pytest.mark.parametrize("mcpu", CPUS)
def test_sizes_that_are_quotients_of_sizes_that_are_not_known(mcpu):
    """As in a feature pyramid: down by strides, up again, with what the tile's schedule must divide."""

    def graph(g: Graph, x: relax.Expr) -> Any:
        y = g.relu(g.conv(g.conv(x, 24, 3, stride=2, padding=1), 24, 3, stride=2, padding=1))
        for _ in range(2):
            y = g.conv2d_transpose(y, g.const(24, 24, 2, 2), strides=(2, 2))
            y = g.relu(g.multiply(g.add(y, g.const(1, 24, 1, 1)), relax.const(np.float32(0.1))))
        return y

    check([["n", 3, "h", "w"]], graph, mcpu, [{"n": 1, "h": 17, "w": 70}, {"n": 2, "h": 8, "w": 5}])


def test_sizes_that_are_not_known_and_larger_than_those_of_the_input_times_the_stride() -> None:
    def graph(g: Graph, x: relax.Expr) -> Any:
        weight = g.const(12, 24, 5, 5)
        return g.relu(g.conv2d_transpose(x, weight, strides=(2, 2), padding=(4,) * 4, output_padding=(1, 1)))

    check([["n", 12, "h", "w"]], graph, None, [{"n": 1, "h": 14, "w": 14}, {"n": 2, "h": 9, "w": 21}])
