"""How products on AMX are divided among threads, and where they are faster than those in vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from paddle_tvm.targets.expressions import ceil_div
from paddle_tvm.targets.x86.amx import DEPTH, PARTS, STEP

# The model is for machines of two cores and more.
_THREADS = 2
# Into how many units rows are divided, and how many are enough for any machine.
_ROW_UNITS, _ENOUGH_UNITS = (1, 2, 4, 8, 16, 32), 8
# By so much the costs of divisions may differ that are about as good.
_ABOUT = 1.15
# One step of four tiles takes so many ns, and to split the rows of a step as long; measured.
_STEP_NS = 170.0
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


def divisions(sizes: Sizes) -> Sequence[int]:
    """Into how many units of work rows can be divided; 0: threads divide the columns."""
    columns = [0] if sizes.groups > 1 else []
    return [*columns, *(units for units in _ROW_UNITS if units <= sizes.pairs)]


def best_division(sizes: Sizes) -> int:
    """That with the lowest cost by the model, of those that give work to many threads."""
    ways = divisions(sizes)
    return min([way for way in ways if way == 0 or way >= _ENOUGH_UNITS] or ways, key=partial(cost, sizes))


def is_about_best(sizes: Sizes, division: int) -> bool:
    """Whether the model finds a division about as good as the best."""
    return cost(sizes, division) <= _ABOUT * cost(sizes, best_division(sizes))


def cost(sizes: Sizes, division: int) -> float:
    """Time of the thread that takes longest, in ns, by the model."""
    # While a group is used, the next one arrives.
    arrival = _STEP_BYTES / _BYTES_OF_NS if sizes.weight_bytes > _NEAR_BYTES else 0.0

    def unit(pairs: int, groups: int) -> float:
        return pairs * _STEP_NS + groups * max(pairs * _STEP_NS, arrival)

    if division == 0:
        return sizes.steps * unit(sizes.pairs, ceil_div(sizes.groups, _THREADS))
    shares = [(number + 1) * sizes.pairs // division - number * sizes.pairs // division for number in range(division)]
    most = ceil_div(division, _THREADS)
    threads = [shares[first : first + most] for first in range(0, division, most)]
    return sizes.steps * max(sum(unit(pairs, sizes.groups) for pairs in thread) for thread in threads)


def is_faster(sizes: Sizes) -> bool:
    """Whether the model finds a product faster in tiles than in vectors."""
    tiles = _THREADS * cost(sizes, best_division(sizes))
    steps = sizes.rows * sizes.columns * sizes.depth / (STEP * STEP * DEPTH)
    vectors = max(steps * _VECTOR_STEP_NS, sizes.depth * sizes.columns * 4 / _BYTES_OF_NS)
    return vectors > _BETTER * tiles
