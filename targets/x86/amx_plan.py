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
_ROW_UNITS, _ENOUGH_UNITS = (1, 2, 4, 8, 16, 32), 8
# By so much the costs of divisions may differ that are about as good.
_ABOUT = 1.15
# One step of four tiles takes so many ns, and to split the rows of a step as long; measured.
_STEP_NS = 170.0
# What it takes to read such rows that are in part in the caches of other cores.
_FROM_OTHERS_NS = 250.0
# What it takes to split a group of columns.
_SPLIT_GROUP_NS = 90.0
# The same products in vectors; and how many bytes of weights arrive from memory in a ns.
_VECTOR_STEP_NS, _BYTES_OF_NS = 420.0, 7.0
# What a group of columns takes in a step, and weights that stay in the second-level cache.
_STEP_BYTES, _NEAR_BYTES = PARTS * STEP * DEPTH * 2, 1 << 20
# By so much the model has to find tiles faster than vectors.
_BETTER = 1.1


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


@dataclass(frozen=True)
class Plan:
    """How a product is computed.

    ``row_units``: into how many units of work rows are divided; 0: threads divide the columns. ``in_parts``:
    whether weights are kept in parts, of 6 bytes, or as float32, of 4, and split when they are used.
    """

    row_units: int
    in_parts: bool


def possible_plans(sizes: Sizes) -> Sequence[Plan]:
    """All plans for a product."""
    columns = [0] if sizes.groups > 1 else []
    units = [*columns, *(units for units in _ROW_UNITS if units <= sizes.pairs)]
    return [Plan(row_units, in_parts) for row_units in units for in_parts in (True, False)]


def best_plan(sizes: Sizes) -> Plan:
    """That with the lowest cost by the model, of those that give work to many threads."""
    plans = possible_plans(sizes)
    enough = [plan for plan in plans if plan.row_units == 0 or plan.row_units >= _ENOUGH_UNITS]
    return min(enough or plans, key=partial(cost, sizes))


def is_about_best(sizes: Sizes, plan: Plan) -> bool:
    """Whether the model finds a plan about as good as the best."""
    return cost(sizes, plan) <= _ABOUT * cost(sizes, best_plan(sizes))


def cost(sizes: Sizes, plan: Plan) -> float:
    """Time of the thread that takes longest, in ns, by the model."""
    if plan.row_units == 0:
        share = _unit_step(plan, sizes.pairs, ceil_div(sizes.groups, _THREADS), far=True)
        return sizes.steps * (share + sizes.pairs * _FROM_OTHERS_NS)
    bounds = [number * sizes.pairs // plan.row_units for number in range(plan.row_units + 1)]
    shares = [stop - start for start, stop in pairwise(bounds)]
    most = ceil_div(plan.row_units, _THREADS)
    near = sizes.weight_bytes <= _NEAR_BYTES
    return sizes.steps * max(
        sum(
            _unit_step(plan, pairs, sizes.groups, far=not (near and number))
            for number, pairs in enumerate(shares[first : first + most])
        )
        for first in range(0, plan.row_units, most)
    )


def _unit_step(plan: Plan, pairs: int, groups: int, *, far: bool) -> float:
    """Time of a step of the depth: rows are split, and multiplied with groups, which may arrive meanwhile."""
    step_bytes = _STEP_BYTES if plan.in_parts else STEP * DEPTH * 4
    split = 0.0 if plan.in_parts else _SPLIT_GROUP_NS
    arrival = step_bytes / _BYTES_OF_NS if far else 0.0
    return pairs * _STEP_NS + groups * max(pairs * _STEP_NS + split, arrival)


def is_faster(sizes: Sizes) -> bool:
    """Whether the model finds a product faster in tiles than in vectors."""
    tiles = _THREADS * cost(sizes, best_plan(sizes))
    steps = sizes.rows * sizes.columns * sizes.depth / (STEP * STEP * DEPTH)
    vectors = max(steps * _VECTOR_STEP_NS, sizes.depth * sizes.columns * 4 / _BYTES_OF_NS)
    return vectors > _BETTER * tiles
