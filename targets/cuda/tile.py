"""How a contraction is cut into tiles, and what an analytic model thinks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from paddle_tvm.targets.expressions import ceil_div

Engine = Literal["fma", "tf32", "f16", "bf16"]
"""What multiplies: the cores of threads, or tensor cores on operands of a type."""

# Of the devices that these kernels are for: an A100 has 108 multiprocessors, an H100 132.
MULTIPROCESSORS = 108
# Multiply-adds of a multiprocessor of an A100 in a cycle (NVIDIA A100 Tensor Core GPU Architecture, 2020).
_PER_CYCLE: Mapping[Engine, int] = {"fma": 64, "tf32": 512, "f16": 1024, "bf16": 1024}
# Bytes that it gets from the cache of the whole device in a cycle, and from memory.
_CACHE_BYTES, _MEMORY_BYTES = 48, 10
# Cycles from a request for memory to its use, of which blocks on the same multiprocessor hide parts.
_LATENCY, _RESIDENT = 600, 4
# Cycles to start a kernel.
_LAUNCH = 4000


@dataclass(frozen=True)
class Tile:
    """A block of threads computes ``rows`` x ``columns`` results, ``depth`` products at a time.

    With tensor cores, each warp computes ``part_rows`` x ``part_columns`` of them; without, each thread.
    """

    rows: int
    columns: int
    depth: int
    part_rows: int
    part_columns: int

    def threads(self, engine: Engine) -> int:
        """Threads of a block."""
        parts = (self.rows // self.part_rows) * (self.columns // self.part_columns)
        return parts if engine == "fma" else 32 * parts


def item_bytes(engine: Engine) -> int:
    """Bytes of an element in shared memory."""
    return 2 if engine in ("f16", "bf16") else 4


def pad(engine: Engine) -> int:
    """Elements between rows of a tile in shared memory, so that what a warp reads lies in different banks."""
    return 4 if engine == "fma" else 8


_THREAD_TILES = (
    Tile(128, 128, 8, 8, 8), Tile(128, 64, 8, 8, 8), Tile(64, 64, 8, 4, 8), Tile(64, 64, 16, 4, 4),
    Tile(64, 32, 16, 4, 4), Tile(32, 64, 16, 4, 4), Tile(32, 32, 16, 4, 2), Tile(16, 64, 16, 2, 4),
)  # fmt: skip
_WARP_TILES = (
    (128, 128, 64, 32), (128, 64, 32, 32), (64, 128, 32, 32), (64, 64, 32, 32), (64, 32, 32, 16),
    (32, 64, 16, 32), (32, 32, 16, 16), (16, 64, 16, 16), (16, 32, 16, 8),
)  # fmt: skip


def tiles(engine: Engine) -> Sequence[Tile]:
    """Every tile, in an order that does not change. All fit in memory that each device grants unasked."""
    if engine == "fma":
        return _THREAD_TILES
    # Both stages of both operands take 48 KB at most.
    depths = (16, 32) if engine == "tf32" else (32, 64)
    return [
        Tile(rows, columns, depth, part_rows, part_columns)
        for rows, columns, part_rows, part_columns in _WARP_TILES
        for depth in depths
        if 2 * (rows + columns) * (depth + pad(engine)) * item_bytes(engine) <= 48 << 10
    ]


def cycles(tile: Tile, splits: int, batch: int, rows: int, columns: int, depth: int, engine: Engine) -> float:
    """How long a product takes, about: as long as the multiprocessor that computes most tiles.

    Parameters
    ----------
    tile
        The tile.
    splits
        Into how many parts the depth is divided, whose sums are added by a kernel of their own.
    batch, rows, columns, depth
        Of the products.
    engine
        What multiplies.
    """
    blocks = batch * splits * ceil_div(rows, tile.rows) * ceil_div(columns, tile.columns)
    waves: int = ceil_div(blocks, MULTIPROCESSORS)
    resident = min(_RESIDENT, waves)
    steps = ceil_div(ceil_div(depth, splits), tile.depth)
    item = 2 if engine == "f16" else 4
    step = max(
        tile.rows * tile.columns * tile.depth / _PER_CYCLE[engine],
        (tile.rows + tile.columns) * tile.depth * item / _CACHE_BYTES,
        _LATENCY / resident,
    )
    total: float = waves * steps * step + _LAUNCH
    if splits > 1:
        moved = (splits + 1) * 2 * 4 * batch * rows * columns
        total += moved / (MULTIPROCESSORS * _MEMORY_BYTES) + _LAUNCH
    return total
