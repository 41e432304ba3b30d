"""How products on AMX are divided among threads, and where they are faster than those in vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paddle_tvm.targets.expressions import ceil_div
from paddle_tvm.targets.workload import Config
from paddle_tvm.targets.x86.amx import DEPTH, PARTS, STEP

# The model is for machines of two cores and more.
_THREADS = 2
# Into how many units rows or columns are divided at most, and how many units are enough for any machine.
_DIVISIONS = (1, 2, 4, 8, 16)
_ENOUGH_UNITS = 8
# More units may cost so much more than fewer.
_ABOUT = 1.05
# By so much the costs of divisions may differ that are about as good.
_ABOUT_BEST = 1.15
# One step of four tiles takes so many ns, and to split the rows of a step as long; measured.
_STEP_NS = 170.0
# What it takes to start threads once more.
_START_NS = 4000.0
# The same products in vectors; and how many bytes of weights arrive from memory in a ns.
_VECTOR_STEP_NS, _BYTES_OF_NS = 420.0, 9.0
# What a group of columns takes in a step, and weights that stay in the second-level cache.
_STEP_BYTES, _NEAR_BYTES = PARTS * STEP * DEPTH * 2, 1 << 20
# By so much the model has to find tiles faster than vectors.
_BETTER = 1.25


@dataclass(frozen=True)
class Sizes:
    """Of a product: its rows, columns, and the products in each of its sums."""

    rows: int
    columns: int
    depth: int

    @property
    def pairs(self) -> int:
        """Of tiles of rows."""
        return int(ceil_div(self.rows, STEP))

    @property
    def groups(self) -> int:
        """Of two tiles of columns."""
        return int(ceil_div(self.columns, STEP))

    @property
    def steps(self) -> int:
        """Of the depth."""
        return int(ceil_div(self.depth, DEPTH))

    @property
    def weight_bytes(self) -> int:
        """Of the parts of the right-hand matrix."""
        return self.groups * self.steps * _STEP_BYTES


def divisions(sizes: Sizes) -> Sequence[Config]:
    """Ways to divide a product into units of work: into so many parts along rows, and along columns."""
    return [
        {"row_units": rows, "column_units": columns}
        for rows in _DIVISIONS
        for columns in _DIVISIONS
        if rows <= sizes.pairs and columns <= sizes.groups
    ]


def best_division(sizes: Sizes) -> Config:
    """That with the lowest cost; of those that cost about the same the first with enough units."""
    ways = divisions(sizes)
    least = min(cost(sizes, way) for way in ways)
    about = [way for way in ways if cost(sizes, way) <= _ABOUT * least]
    enough = [way for way in about if _units(way) >= _ENOUGH_UNITS]
    return min(enough or about, key=lambda way: (_units(way) if enough else -_units(way), cost(sizes, way)))


def cost(sizes: Sizes, way: Config) -> float:
    """Time of the thread that takes longest, in ns, by the model."""
    pairs, groups = (
        [(number + 1) * total // units - number * total // units for number in range(units)]
        for total, units in ((sizes.pairs, way["row_units"]), (sizes.groups, way["column_units"]))
    )
    # While a group is used, the next one arrives.
    arrival = _STEP_BYTES / _BYTES_OF_NS if sizes.weight_bytes > _NEAR_BYTES else 0.0
    products = [group * max(count * _STEP_NS, arrival) for group in groups for count in pairs]
    if len(groups) > 1:
        # All rows are split before, and half of the parts come from another core's cache.
        split = 2 * ceil_div(sizes.pairs, _THREADS) * _STEP_NS
        return _START_NS + sizes.steps * (split + _longest(products))
    return sizes.steps * _longest([count * _STEP_NS + work for count, work in zip(pairs, products, strict=True)])


def _longest(work: Sequence[float]) -> float:
    """Of the thread that has most, where each gets as many units that follow each other."""
    share = ceil_div(len(work), _THREADS)
    return max(sum(work[first : first + share]) for first in range(0, len(work), share))


def is_about_best(sizes: Sizes, way: Config) -> bool:
    """Whether the model finds a division about as good as the best."""
    return cost(sizes, way) <= _ABOUT_BEST * cost(sizes, best_division(sizes))


def is_faster(sizes: Sizes) -> bool:
    """Whether the model finds a product faster in tiles than in vectors."""
    tiles = _THREADS * cost(sizes, best_division(sizes))
    steps = sizes.rows * sizes.columns * sizes.depth / (STEP * STEP * DEPTH)
    vectors = max(steps * _VECTOR_STEP_NS, sizes.depth * sizes.columns * 4 / _BYTES_OF_NS)
    return vectors > _BETTER * tiles


def _units(way: Config) -> int:
    return way["row_units"] * way["column_units"]
