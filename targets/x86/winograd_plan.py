"""How the work of a Winograd convolution is divided, by a model of its cost.

Costs are in cycles of a core that does one multiply-add of vectors in each. The constants were measured on
Zen 4 with AVX-512; with other vectors all of them change alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from paddle_tvm.targets.expressions import ceil_div

# Annotations of the block of products, beside TILE and BLOCKS.
CHUNK = "paddle_tvm.winograd_chunk"
GROUP = "paddle_tvm.winograd_group"
SHARED = "paddle_tvm.winograd_shared"
CLIPPED = "paddle_tvm.winograd_clipped"

# Cycles for the input transform of a tile and a block of channels, and for the inverse transform with what
# follows, for each value of a tile's transform.
_INPUT, _OUTPUT = 8.0, 12.0
# What the direct convolution reaches of a multiply-add a cycle.
_DIRECT_EFFICIENCY = 0.8
# Bytes a cycle from the second- and third-level caches, for a core, and from memory, for all.
_SECOND_LEVEL, _THIRD_LEVEL, _MEMORY = 64.0, 32.0, 12.0
_HALF_OF_SECOND_LEVEL = 512 * 1024
# What can be counted on: the cache is shared, and weights pass through it.
_THIRD_LEVEL_SIZE = 8 * 1024 * 1024
_FORK = 10_000.0
# Sizes of the output for which a convolution over unknown sizes should do well.
_TYPICAL = ((14, 14), (20, 20), (28, 28), (40, 40), (56, 56), (12, 160), (112, 112), (160, 160))
# The same for many channels, whose maps are small.
_TYPICAL_OF_MANY = {
    384: ((10, 10), (14, 14), (20, 20), (28, 28)),
    192: ((14, 14), (20, 20), (28, 28), (40, 40), (56, 56)),
}


@dataclass(frozen=True)
class Plan:
    """Parameters of the schedule.

    Attributes
    ----------
    rows, columns
        Tiles in a chunk, which passes through all stages together.
    points, blocks
        The register tile of the products: tiles by blocks of output channels.
    group
        Blocks of output channels whose products are made before they are transformed back.
    shared
        Whether the input of all chunks is transformed first, and groups are units of parallel work.
    """

    rows: int
    columns: int
    points: int
    blocks: int
    group: int
    shared: bool


@dataclass(frozen=True)
class Workload:
    """A convolution: output tiles of m x m, channels, vectors of ``lanes``; sizes as (rows, columns).

    ``serial_columns`` where neither rows nor columns are known: then rows of chunks are the parallel units.
    ``clipped`` where either is unknown: then chunks reach beyond the map, and what lies there is left out.
    """

    m: int
    depth: int
    blocks: int
    lanes: int
    batch: int
    sizes: tuple[tuple[int, int], ...]
    threads: int
    serial_columns: bool
    clipped: bool

    @property
    def weight_bytes(self) -> float:
        return float((self.m + 2) ** 2 * self.depth * self.blocks * self.lanes * 4)


def typical_sizes(rows: object, columns: object, depth: int) -> tuple[tuple[int, int], ...]:
    """The sizes that a plan should serve: the known one, or a choice where one is an expression.

    ``depth`` are the channels of the input.
    """
    if isinstance(rows, int) and isinstance(columns, int):
        return ((rows, columns),)
    fixed = rows if isinstance(rows, int) else None, columns if isinstance(columns, int) else None
    typical = next((sizes for many, sizes in _TYPICAL_OF_MANY.items() if depth >= many), _TYPICAL)
    return tuple(dict.fromkeys((fixed[0] or high, fixed[1] or wide) for high, wide in typical))


def direct_cost(work: Workload, size: tuple[int, int]) -> float:
    """Cycles of the direct convolution."""
    multiplies = 9 * work.depth * work.blocks * size[0] * size[1] * work.batch
    weights = 9 * work.depth * work.blocks * work.lanes * 4
    return float(multiplies / _DIRECT_EFFICIENCY / work.threads + weights / _MEMORY)


def plan_cost(work: Workload, plan: Plan, size: tuple[int, int]) -> float:
    """Cycles with a plan, for an output of a size."""
    points = (work.m + 2) ** 2
    high, wide = (ceil_div(extent, work.m) for extent in size)
    chunks = work.batch * ceil_div(high, plan.rows)
    serial = ceil_div(wide, plan.columns)
    tiles = float(plan.rows * plan.columns)
    if work.clipped:
        # Register tiles are whole: parts of a column, or several columns.
        part, columns = min(plan.points, plan.rows), max(1, plan.points // plan.rows)
        used = ceil_div(ceil_div(wide, serial), columns) * columns / ceil_div(wide, serial)
        tiles = min(plan.rows, ceil_div(high, part) * part) * used * wide / serial
    if not work.serial_columns:
        chunks, serial = chunks * serial, 1
    depth_blocks = ceil_div(work.depth, work.lanes)
    groups = work.blocks // plan.group
    vector = work.lanes * 4
    loads = plan.points + plan.blocks
    multiplies = plan.points * plan.blocks
    # A tile of few values waits for loads, and for the sums of the step before; where sizes are unknown
    # small tiles were found to lose more.
    efficiency = multiplies / max(multiplies + (2.0 if work.clipped else 1.0), 1.2 * loads, 5.0)
    compute = points * tiles * work.depth * plan.group / efficiency
    compute += points * tiles * plan.group * _OUTPUT
    weights = points * work.depth * plan.group * vector
    transformed = points * tiles * work.depth * 4
    products = points * tiles * plan.group * vector
    far = work.weight_bytes > 2 * _HALF_OF_SECOND_LEVEL
    traffic = weights / (_THIRD_LEVEL if far else _SECOND_LEVEL)
    if transformed > _HALF_OF_SECOND_LEVEL:
        traffic += transformed / _THIRD_LEVEL
    if products > _HALF_OF_SECOND_LEVEL:
        # Written in one order and read in another.
        traffic += 2 * products / (_THIRD_LEVEL / 2)
    group_cost = compute + traffic
    transform = points * tiles * depth_blocks * _INPUT
    memory = work.weight_bytes / _MEMORY
    if work.weight_bytes > 2 * _THIRD_LEVEL_SIZE:
        # They come from memory for each chunk anew.
        memory *= serial * _spread(chunks, work.threads)
    if plan.shared:
        everything = 2 * chunks * serial * transformed
        near = everything < _THIRD_LEVEL_SIZE
        memory += everything / (work.threads * _THIRD_LEVEL if near else _MEMORY)
        # The last of it finds no room in the cache even if nothing else is there: what is written to memory
        # is read from there first, and read again in another order.
        memory += 4 * max(0.0, everything - 2 * _THIRD_LEVEL_SIZE) / _MEMORY
        first = _spread(chunks * depth_blocks, work.threads) * transform / depth_blocks
        second = _spread(chunks * groups, work.threads) * group_cost
        return float(serial * (first + second) + _FORK + memory)
    return float(serial * _spread(chunks, work.threads) * (transform + groups * group_cost) + memory)


def _spread(units: int, threads: int) -> float:
    """Units of the thread that does the most."""
    return float(ceil_div(units, threads))


def _candidates(work: Workload) -> Sequence[Plan]:
    high = max(ceil_div(size[0], work.m) for size in work.sizes)
    wide = max(ceil_div(size[1], work.m) for size in work.sizes)
    plans = []
    for rows, columns in product(range(1, min(high, 14) + 1), range(1, min(wide, 28) + 1)):
        tiles = rows * columns
        # Fewer tiles leave the weights unused, more do not fit into the cache.
        if tiles > 112 or (tiles < 4 and tiles < high * wide):
            continue
        for group in range(1, min(work.blocks, 8) + 1):
            if work.blocks % group:
                continue
            fitting = {_register_tile(tiles, group, work.lanes)}
            if work.clipped:
                # What lies beyond the map is left out where register tiles are columns, or parts of one.
                fitting = {tile for tile in fitting if tile[0] % rows == 0}
                fitting.add(_register_tile(rows, group, work.lanes))
            for points, blocks in sorted(fitting):
                plans += [Plan(rows, columns, points, blocks, group, shared) for shared in (False, True)]
    return plans


def _register_tile(tiles: int, group: int, lanes: int) -> tuple[int, int]:
    """The tile without remainder that has the most multiply-adds for each load."""
    # As for the direct convolution: LLVM spills where more than half of 32 registers accumulate.
    budget = 16 if lanes == 16 else 12
    fitting = [
        (points, blocks)
        for points, blocks in product(range(1, 15), (1, 2, 3, 4))
        if points * blocks <= budget and tiles % points == 0 and group % blocks == 0
    ]
    return max(fitting, key=lambda tile: (tile[0] * tile[1] / (tile[0] + tile[1]), tile[0]))


def relative_cost(work: Workload, plan: Plan) -> float:
    """The cost of a plan relative to that of direct convolution, summed over the sizes."""
    return sum(plan_cost(work, plan, size) / direct_cost(work, size) for size in work.sizes)


def near_plans(work: Workload, factor: float) -> list[Plan]:
    """Plans of up to ``factor`` times the least cost."""
    limit = factor * relative_cost(work, best_plan(work))
    return [plan for plan in _candidates(work) if relative_cost(work, plan) <= limit]


@lru_cache(maxsize=1024)
def best_plan(work: Workload) -> Plan:
    """The plan with the least cost."""
    return min(_candidates(work), key=lambda plan: relative_cost(work, plan))
