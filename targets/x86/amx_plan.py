"""How products on AMX are divided among threads, and where they are faster than those in vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from paddle_tvm.targets.expressions import ceil_div
from paddle_tvm.targets.x86.amx import DEPTH, PARTS, STEP

# The model is for machines of two cores and more.
_THREADS = 2
# Into how many units rows are divided, and how many are enough for any machine.
_ROW_UNITS, _ENOUGH_UNITS = (1, 2, 4, 8, 16, 32, 64, 128, 256), 8
# By so much the costs of divisions may differ that are about as good.
_ABOUT = 1.15
# In ns, as measured in models on two threads: four tiles in a step of the depth, what is split for it of rows
# and of columns, and what follows on four tiles.
_STEP_NS, _SPLIT_ROWS_NS, _SPLIT_COLUMNS_NS, _FINISH_NS = 222.0, 416.0, 73.0, 178.0
# To keep the sums of four tiles for the next run of the depth, and to go on from them.
_RESUME_NS = 165.0
# What it takes to read such rows that are in part in the caches of other cores.
_FROM_OTHERS_NS = 312.0
# The same products in vectors; and how many bytes of weights arrive from memory in a ns.
_VECTOR_STEP_NS, _BYTES_OF_NS = 510.0, 3.6
# Weights that stay in the second-level cache, and what the parts of a unit's rows may take of it: where there
# is AMX it has 2 MB.
_NEAR_BYTES, _PARTS_BYTES = 1 << 20, 1 << 20
# By so much the model has to find tiles faster than vectors.
_BETTER = 1.03


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
    if division == 0:
        share = _unit_cost(sizes, sizes.pairs, ceil_div(sizes.groups, _THREADS), far=True)
        return share + sizes.steps * sizes.pairs * _FROM_OTHERS_NS
    bounds = [number * sizes.pairs // division for number in range(division + 1)]
    shares = [stop - start for start, stop in pairwise(bounds)]
    most = ceil_div(division, _THREADS)
    near = sizes.columns * sizes.depth * 4 <= _NEAR_BYTES
    return max(
        sum(
            _unit_cost(sizes, pairs, sizes.groups, far=not (near and number))
            for number, pairs in enumerate(shares[first : first + most])
        )
        for first in range(0, division, most)
    )


def _unit_cost(sizes: Sizes, pairs: int, groups: int, *, far: bool) -> float:
    """Time of a unit of work: what is split and multiplied, while groups of columns arrive."""
    arrival = STEP * DEPTH * 4 / _BYTES_OF_NS if far else 0.0
    step = pairs * _SPLIT_ROWS_NS + groups * max(pairs * _STEP_NS + _SPLIT_COLUMNS_NS, arrival)
    runs = count_runs(sizes.steps, pairs)
    resume = runs * _RESUME_NS if runs > 1 else 0.0
    return sizes.steps * step + pairs * groups * (_FINISH_NS + resume)


def count_runs(steps: int, pairs: int) -> int:
    """In how many runs of equal length the depth is passed, so that the parts of a run stay in the cache."""
    most = max(1, _PARTS_BYTES // (pairs * PARTS * STEP * DEPTH * 2))
    return next(runs for runs in range(1, steps + 1) if steps % runs == 0 and steps // runs <= most)


def is_faster(sizes: Sizes) -> bool:
    """Whether the model finds a product faster in tiles than in vectors."""
    if 0 in (sizes.rows, sizes.columns, sizes.depth):
        # There is nothing to divide.
        return False
    tiles = _THREADS * cost(sizes, best_division(sizes))
    steps = sizes.rows * sizes.columns * sizes.depth / (STEP * STEP * DEPTH)
    vectors = max(steps * _VECTOR_STEP_NS, sizes.depth * sizes.columns * 4 / _BYTES_OF_NS)
    return vectors > _BETTER * tiles
