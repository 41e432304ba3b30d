"""Sizes of register tiles, by counting vector registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvm import tirx

# Set on a block by the legalizations, read by the schedules.
RULE = "paddle_tvm.schedule"
TILE = "paddle_tvm.tile"
BLOCKS = "paddle_tvm.blocks"
LANES = "paddle_tvm.lanes"
# Where two axes of the result are one axis of tile positions: how many axes of the result follow them.
FLAT = "paddle_tvm.flat"
# Set where the tiles of a map are written out one after the other, because each has its positions elsewhere.
WRITTEN_OUT = "paddle_tvm.written_out"
# Set where the lanes of a vector of channels lie side by side in the result too.
BLOCKED = "paddle_tvm.blocked"
# In how many chunks threads take the rows of an image, or its tiles where rows are one axis; with 0 they take
# blocks of channels. Left to the schedule where it is not set.
CHUNKS = "paddle_tvm.chunks"
# About how many units of work there are for threads.
UNITS = "paddle_tvm.units"

# Where rows and columns of the result fall into phases (transposed convolution): the strides, or nothing
# where the last phases are shorter: then what follows cannot be walked tile by tile.
PHASES = "paddle_tvm.phases"
# Set where what follows cannot run tile by tile: a vector of one group of channels is not full, and what TVM
# takes for its lanes beyond the last belongs to the next group, which another thread computes.
APART = "paddle_tvm.apart"
# The first of each run of blocks that a copy of channels finds side by side in one tensor.
RUNS = "paddle_tvm.runs"
# How many positions a tile along a row of unknown length may have: shorter rows take a slower road. Maps of
# many channels are small, and the others seldom less than 7 wide.
_POINTS_OF_UNKNOWN, _POINTS_OF_SHORT = (1, 2, 3, 4, 7), (1, 2, 3, 4)
# So many float32 weights do not stay in a core's caches from one row to the next; their maps are small.
MANY_WEIGHTS = 1 << 19
# Kernels on feature maps are divided among threads by rows, in about so many chunks: then a thread finds
# most of what it reads in the caches of its own core, where it wrote it in the kernel before.
ROW_CHUNKS = 8
# What a tile of 4 x 4 reaches whose weights are in the first-level cache. Measured: larger ones are no faster
# there, and those of more than 16 accumulators a little slower, but for positions in vain.
_ENOUGH, _ENOUGH_SUMS, _CROWDED = 0.8, 16, 0.002
# Weights of a tile are read from the second-level cache where they take more than half of the first. Then a
# vector of 64 bytes costs another multiply-add; all the more where two threads share a core.
_NEAR_BYTES = 24 * 1024
# So few output channels leave most lanes of a block empty: their tensors stay plain.
FEW_CHANNELS = 3


@dataclass(frozen=True)
class Tile:
    """``points`` output positions by ``blocks`` vectors of output channels, held in registers.

    Every value of the input is loaded once for ``blocks`` multiply-adds, every weight vector once for
    ``points``.
    """

    points: int
    blocks: int


def tile_annotations(
    tile: Tile, lanes: int, flat: int | None, *, blocked: bool = False, apart: bool = False
) -> dict[str, str | int]:
    """What a legalization tells the schedule about its block, whose last axes are positions and channels."""
    notes: dict[str, str | int] = {
        RULE: "register_tile",
        TILE: tile.points,
        BLOCKS: tile.blocks,
        LANES: lanes,
    }
    if flat is not None:
        notes[FLAT] = flat
    if blocked:
        notes[BLOCKED] = 1
    if apart:
        notes[APART] = 1
    return notes


def _registers(lanes: int) -> int:
    return 32 if lanes == 16 else 16


def fitting_lanes(channels: int, lanes: int) -> int:
    """The width of vector that the channels fill: half of ``lanes``, or a quarter, for few of them."""
    while lanes > 4 and channels <= lanes // 2:
        lanes //= 2
    return lanes


def choose_tile(
    points: int | tirx.Expr | None, blocks: int, lanes: int, depth: int = 0, chunked: bool = False
) -> Tile:
    """The tile with the most multiply-adds for each load, counting positions that are computed in vain.

    Parameters
    ----------
    points
        Number of output positions along the tiled axis; an expression or None where it is not known.
    blocks
        Number of vectors that the output channels fill.
    lanes
        float32 values in a vector.
    depth
        How many products are summed.
    chunked
        Whether threads take chunks of tiles along that axis: then their number should divide into some.
    """
    tiles = possible_tiles(points, blocks, lanes, depth)
    if chunked and isinstance(points, int):
        even = [tile for tile in tiles if row_chunks(-(-points // tile.points)) is not None]
        tiles = even or tiles
    return max(tiles, key=lambda tile: (tile_efficiency(tile, points, lanes, depth), tile.points))


def row_chunks(length: int) -> int | None:
    """In how many equal chunks threads take so many rows, or tiles; None where none is about right."""
    fitting = [count for count in range(ROW_CHUNKS // 2, 2 * ROW_CHUNKS + 1) if length % count == 0]
    return min(fitting, key=lambda count: abs(count - ROW_CHUNKS), default=None)


def tile_efficiency(tile: Tile, points: int | tirx.Expr | None, lanes: int, depth: int = 0) -> float:
    """The share of issue slots that multiply-adds take, of positions that are not computed in vain.

    Parameters as for ``choose_tile``.
    """
    used = points / (-(-points // tile.points) * tile.points) if isinstance(points, int) else 1.0
    multiplies = tile.points * tile.blocks
    # A load of a vector and a broadcast load each cost about half a multiply-add of issue slots.
    loads = 0.5 * (tile.points + tile.blocks)
    if depth * tile.blocks * lanes * 4 > _NEAR_BYTES:
        return used * multiplies / (multiplies + loads + tile.blocks * lanes / 16)
    crowded = _CROWDED * max(0, multiplies - _ENOUGH_SUMS)
    return used * (min(_ENOUGH, multiplies / (multiplies + loads)) - crowded)


def possible_tiles(points: int | tirx.Expr | None, blocks: int, lanes: int, depth: int = 0) -> list[Tile]:
    """The tiles that fit into the registers; parameters as for ``choose_tile``."""
    counts: Sequence[int] = range(1, 15)
    if not isinstance(points, int) and blocks > 1:
        counts = _POINTS_OF_SHORT if depth * blocks * lanes >= MANY_WEIGHTS else _POINTS_OF_UNKNOWN
    registers = _registers(lanes)
    # Beside the accumulators there are a step's weights and one broadcast value; where there are 16, LLVM
    # spills with more than 12 of them.
    most = registers if lanes == 16 else registers - 4
    return [
        Tile(count, width)
        for width in (1, 2, 3, 4)
        if blocks % width == 0
        for count in counts
        if count * width <= most and count * width + width < registers
    ]


def gemm_tile(lanes: int) -> Tile:
    """Rows and vectors of columns in a tile of a matrix product.

    Measured: with 16 registers, 4 rows by 3 vectors are a sixth slower than 4 by 2; with 32, 6 by 4 are
    as fast as 4 by 4 on one thread and 8 % faster on two (BERT on an Emerald Rapids).
    """
    return Tile(6, 4) if lanes == 16 else Tile(6, 2)


# Columns of a matrix product are divided into rows until there are about so many units.
GEMM_UNITS = 32


def possible_gemm_tiles(lanes: int) -> list[Tile]:
    """Tiles of a matrix product that fit into the registers beside the operands of a step."""
    registers = _registers(lanes)
    return [
        Tile(points, blocks)
        for blocks in range(1, 7)
        for points in range(1, 15)
        if points * blocks + blocks < registers - 1
    ]


def gemm_annotations(lanes: int, tile: Tile, units: int) -> dict[str, str | int]:
    """What a legalization tells the schedule of a matrix product."""
    return {RULE: "gemm", LANES: lanes, TILE: tile.points, BLOCKS: tile.blocks, UNITS: units}
