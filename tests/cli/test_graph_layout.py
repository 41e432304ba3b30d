"""The layout of graphs: boxes do not overlap, and lines lead down."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from paddle_tvm.compiler.graph_layout import Node, lay_out


def _random_graph(size: int, seed: int) -> tuple[list[Node], list[tuple[int, int]]]:
    rng = np.random.default_rng(seed)
    nodes = [Node(float(rng.integers(60, 200)), float(rng.integers(20, 90))) for _ in range(size)]
    edges = [
        (int(start), end)
        for end in range(1, size)
        for start in set(rng.integers(max(0, end - 8), end, rng.integers(1, 4)).tolist())
    ]
    return nodes, edges


@pytest.mark.parametrize("seed", range(5))
def test_boxes_do_not_overlap_and_lines_lead_down(seed: int) -> None:
    nodes, edges = _random_graph(60, seed)
    layout = lay_out(nodes, edges)
    for index, node in enumerate(nodes):
        assert node.x - node.width / 2 >= -1e-6
        assert node.x + node.width / 2 <= layout.width + 1e-6
        for other in nodes[index + 1 :]:
            apart = abs(node.x - other.x) >= (node.width + other.width) / 2 - 1e-6
            assert apart or node.y + node.height <= other.y or other.y + other.height <= node.y
    for points, (start, end) in zip(layout.lines, edges, strict=True):
        assert points[0] == (nodes[start].x, nodes[start].y + nodes[start].height)
        assert points[-1] == (nodes[end].x, nodes[end].y)
        assert all(upper[1] <= lower[1] for upper, lower in pairwise(points))


def test_a_chain_is_a_straight_line() -> None:
    nodes = [Node(width, 20.0) for width in (50.0, 100.0, 70.0)]
    lay_out(nodes, [(0, 1), (1, 2)])
    assert {round(node.x, 6) for node in nodes} == {50.0}
