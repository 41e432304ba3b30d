"""Every form that a kernel may have computes the same; those of tests elsewhere are the default ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_reference import CPUS, Graph, check
from tvm import relax

from paddle_tvm.targets.workload import Choice, GraphWorkload, Workload
from paddle_tvm.targets.x86.conv2d_workload import Conv2d


class Picks:
    """Takes a random form for each workload, the ``turn``-th of them."""

    def __init__(self, turn: int) -> None:
        self.turn = turn
        self.picked: dict[Workload, Any] = {}

    def of(self, workload: Workload) -> Choice:
        forms = workload.candidates()
        order = np.random.default_rng(len(forms)).permutation(len(forms))
        config = forms[order[self.turn % len(forms)]]
        self.picked[workload] = config
        return Choice(config, "tuned", "test")


def followed(g: Graph, y: relax.Expr) -> relax.Expr:
    """Something fused behind: a bias, a residual, an activation."""
    return g.relu(g.add(g.add(y, g.const(1, int(y.ty.shape[1]), 1, 1)), y))


def convolutions(g: Graph, x: relax.Expr) -> Any:
    image = followed(g, g.conv(x, 32, 3, 2, 1))
    wide = followed(g, g.conv(image, 72, 1))
    square = followed(g, g.conv(wide, 48, 3, 1, 1))
    grouped = followed(g, g.conv(square, 96, 3, 2, 1, groups=2))
    strided = followed(g, g.conv(square, 24, 5, 2, 2, dilation=1))
    return grouped, strided, g.conv(strided, 2, 3, 1, 1)


def depthwise(g: Graph, x: relax.Expr) -> Any:
    y = g.conv(x, 40, 1)
    near = followed(g, g.conv(y, 40, 3, 1, 1, groups=40))
    far = followed(g, g.conv(y, 40, 5, 2, 2, groups=40))
    return near, far, g.conv(y, 40, 3, 1, 2, dilation=2, groups=40)


GRAPHS = {"convolutions": (convolutions, 3), "depthwise": (depthwise, 20)}
TURNS = range(8)


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("graph", GRAPHS)
def test_forms_for_known_sizes(graph, turn):
    body, channels = GRAPHS[graph]
    picks = Picks(turn)
    check([[2, channels, 38, 29]], body, CPUS[turn % len(CPUS)], choices=picks)
    assert len(picks.picked) >= 3


@pytest.mark.parametrize("turn", TURNS[::2])
@pytest.mark.parametrize("graph", GRAPHS)
def test_forms_for_sizes_that_are_not_known(graph, turn):
    body, channels = GRAPHS[graph]
    sizes = [{"n": 1, "h": 38, "w": 29}, {"n": 2, "h": 21, "w": 64}]
    check([["n", channels, "h", "w"]], body, CPUS[turn // 2 % len(CPUS)], sizes, choices=Picks(turn))


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("mcpu", CPUS)
def test_forms_of_convolution_by_winograd(turn, mcpu):
    class Winograd(Picks):
        def of(self, workload: Workload) -> Choice:
            forms = [form for form in workload.candidates() if form.get("winograd")]
            if not forms:
                return Choice(workload.default())
            config = forms[(self.turn * 37) % len(forms)]
            self.picked[workload] = config
            return Choice(config)

    picks = Winograd(turn)
    check([[1, 32, 19, 30]], lambda g, x: followed(g, g.conv(x, 64, 3, 1, 1)), mcpu, choices=picks)
    assert picks.picked


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("mcpu", CPUS)
def test_forms_of_convolution_in_tiles_across_the_ends_of_rows(turn, mcpu):
    class Across(Picks):
        def of(self, workload: Workload) -> Choice:
            forms = [form for form in workload.candidates() if "across" in form]
            if not forms:
                return Choice(workload.default())
            config = forms[(self.turn * 5) % len(forms)]
            self.picked[workload] = config
            return Choice(config)

    def graph(g: Graph, x: relax.Expr) -> Any:
        first = followed(g, g.conv(x, 32, 3, 2, 1))
        grouped = g.conv(first, 96, 3, 1, 1, groups=2)
        return followed(g, g.conv(first, 72, 1, 2)), followed(g, grouped), g.conv(first, 48, 2, dilation=2)

    picks = Across(turn)
    check([[2, 16, 13, 11]], graph, mcpu, choices=picks)
    assert len(picks.picked) >= 3


def test_tiles_lie_across_the_ends_of_rows_where_that_computes_less_in_vain():
    def default(rows: int, columns: int, outputs: int) -> Any:
        window = {"kernel": (3, 3), "strides": (2, 2), "dilation": (1, 1), "padding": (1, 1, 1, 1)}
        sizes = {"batch": 1, "rows": rows, "columns": columns, "channels": 64, "outputs": outputs}
        return Conv2d(**sizes, **window, groups=1, lanes_in=16, lanes=16).default()

    # Rows of 3 would leave most registers empty.
    assert default(6, 6, 512) == {"winograd": 0, "points": 9, "blocks": 2, "across": 1}
    # Too few blocks of channels to share among threads; and maps of many tiles.
    assert "across" not in default(6, 6, 64)
    assert "across" not in default(56, 30, 512)


@pytest.mark.parametrize("rows", [1, 5, 128, "m"])
@pytest.mark.parametrize("turn", TURNS[::2])
def test_forms_of_matrix_products(rows, turn):
    def graph(g: Graph, x: relax.Expr) -> Any:
        y = g.relu(g.add(g.matmul(x, g.const(48, 100)), g.const(100)))
        return y, g.matmul(y, g.permute_dims(y, [1, 0]))

    check(
        [[rows, 48]],
        graph,
        CPUS[turn // 2 % len(CPUS)],
        [{"m": 1}, {"m": 37}] if rows == "m" else [{}],
        choices=Picks(turn),
    )


def test_default_is_among_the_forms_and_keys_lead_back():
    seen: dict[Workload, Any] = {}

    class Sees:
        def of(self, workload: Workload) -> Choice:
            seen[workload] = workload.default()
            return Choice(workload.default())

    for body, channels in GRAPHS.values():
        check([[1, channels, 38, 29]], body, None, choices=Sees())
    assert len(seen) >= 8
    for workload, default in seen.items():
        assert default in workload.candidates()
        assert Workload.from_key(workload.key) == workload
        flops = workload.flops()
        if isinstance(workload, GraphWorkload):
            assert flops is None
            continue
        assert flops is not None
        assert flops > 0
