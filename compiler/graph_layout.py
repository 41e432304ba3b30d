"""Places boxes in layers from top to bottom, with few crossings, and routes the lines between them.

Sugiyama's method: layers by longest path, chains of bends for lines over several layers, order by
barycentres, and then positions that pull each box over its neighbours without overlaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

GAP_X = 28.0
GAP_Y = 44.0
_SWEEPS = 8


@dataclass(eq=False)
class Node:
    """A box, or a bend of a line (of width 0); ``x`` is its middle, ``y`` its top."""

    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    layer: int = 0
    above: list[Node] = field(default_factory=list)
    below: list[Node] = field(default_factory=list)

    @property
    def is_bend(self) -> bool:
        return self.width == 0


@dataclass(frozen=True)
class Layout:
    """Where everything goes; a line passes through its points."""

    lines: list[list[tuple[float, float]]]
    width: float
    height: float


def lay_out(nodes: Sequence[Node], edges: Sequence[tuple[int, int]]) -> Layout:
    """Place nodes, of which every edge leads to a later one, and route the edges."""
    _assign_layers(nodes, edges)
    layers: list[list[Node]] = [[] for _ in range(1 + max((node.layer for node in nodes), default=0))]
    for node in nodes:
        layers[node.layer].append(node)
    paths = [_add_bends(nodes[start], nodes[end], layers) for start, end in edges]
    _order(layers)
    _place(layers)
    left = min((node.x - node.width / 2 for layer in layers for node in layer), default=0.0)
    for layer in layers:
        for node in layer:
            node.x -= left
    top = 0.0
    for layer in layers:
        height = max((node.height for node in layer), default=0.0)
        for node in layer:
            node.y = top
            if node.is_bend:
                node.height = height
        top += height + GAP_Y
    width = max((node.x + node.width / 2 for layer in layers for node in layer), default=0.0)
    return Layout([_points(path) for path in paths], width, max(top - GAP_Y, 0.0))


def _assign_layers(nodes: Sequence[Node], edges: Sequence[tuple[int, int]]) -> None:
    outgoing: dict[int, list[int]] = {}
    incoming: dict[int, list[int]] = {}
    for start, end in edges:
        outgoing.setdefault(start, []).append(end)
        incoming.setdefault(end, []).append(start)
    for index, node in enumerate(nodes):
        node.layer = max((nodes[start].layer + 1 for start in incoming.get(index, ())), default=0)
    # A source far above its only reader would drag a long line: move it down.
    for index in range(len(nodes) - 1, -1, -1):
        if index not in incoming and index in outgoing:
            nodes[index].layer = min(nodes[end].layer for end in outgoing[index]) - 1


def _add_bends(start: Node, end: Node, layers: list[list[Node]]) -> list[Node]:
    path = [start]
    for layer in range(start.layer + 1, end.layer):
        bend = Node(0.0, 0.0, layer=layer)
        layers[layer].append(bend)
        path.append(bend)
    path.append(end)
    for upper, lower in pairwise(path):
        upper.below.append(lower)
        lower.above.append(upper)
    return path


def _order(layers: list[list[Node]]) -> None:
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        for layer, fixed in _neighbouring(layers, downwards):
            rank = {node: index / max(len(fixed), 1) for index, node in enumerate(fixed)}
            own = {node: index / max(len(layer), 1) for index, node in enumerate(layer)}

            def barycentre(node: Node, rank: dict[Node, float] = rank, own: dict[Node, float] = own) -> float:
                near = node.above if downwards else node.below  # noqa: B023 (called within the iteration)
                return sum(rank[other] for other in near) / len(near) if near else own[node]

            layer.sort(key=barycentre)


def _neighbouring(layers: list[list[Node]], downwards: bool) -> list[tuple[list[Node], list[Node]]]:
    """Layers beside the one to align with, in the order of a sweep."""
    pairs = list(zip(layers[1:], layers, strict=False))
    return pairs if downwards else [(upper, lower) for lower, upper in reversed(pairs)]


def _place(layers: list[list[Node]]) -> None:
    for layer in layers:
        _spread(layer, [0.0] * len(layer))
    for sweep in range(_SWEEPS):
        downwards = sweep % 2 == 0
        for layer, _ in _neighbouring(layers, downwards):
            wishes = []
            for node in layer:
                near = node.above if downwards else node.below
                places = sorted(other.x for other in near)
                # The median keeps a long line straight where the mean would bend it.
                wishes.append(
                    (places[(len(places) - 1) // 2] + places[len(places) // 2]) / 2 if places else node.x
                )
            _spread(layer, wishes)


def _spread(layer: list[Node], wishes: Sequence[float]) -> None:
    """Positions closest to the wishes (least squares) in the given order without overlaps.

    Pool-adjacent-violators: after taking off each node's distance from the first, the positions must not
    decrease, so runs that would are pooled at their mean.
    """
    offsets = [0.0]
    for left, right in pairwise(layer):
        gap = GAP_X if not (left.is_bend and right.is_bend) else GAP_X / 2
        offsets.append(offsets[-1] + left.width / 2 + gap + right.width / 2)
    pools: list[tuple[float, float, int]] = []
    for node, wish, offset in zip(layer, wishes, offsets, strict=True):
        # Lines weigh more: a bent line disturbs more than a box out of the middle.
        weight = 2.0 if node.is_bend else 1.0
        total, weights, count = (wish - offset) * weight, weight, 1
        while pools and pools[-1][0] / pools[-1][1] > total / weights:
            other_total, other_weights, other_count = pools.pop()
            total, weights, count = total + other_total, weights + other_weights, count + other_count
        pools.append((total, weights, count))
    index = 0
    for total, weights, count in pools:
        for _ in range(count):
            layer[index].x = total / weights + offsets[index]
            index += 1


def _points(path: list[Node]) -> list[tuple[float, float]]:
    points = [(path[0].x, path[0].y + path[0].height)]
    for bend in path[1:-1]:
        points += [(bend.x, bend.y), (bend.x, bend.y + bend.height)]
    return [*points, (path[-1].x, path[-1].y)]
