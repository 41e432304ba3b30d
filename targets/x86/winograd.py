"""3x3 convolution with stride 1 by Winograd's minimal filtering, over blocked activations.

Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015. A tile of m x m outputs takes
(m + 2)^2 multiplications for each pair of channels, and not 9 m^2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from tvm import te, tirx

from paddle_tvm.targets.expressions import ceil_div, extent, simplify
from paddle_tvm.targets.x86.conv2d import Window
from paddle_tvm.targets.x86.tile import BLOCKS, RULE, TILE
from paddle_tvm.targets.x86.winograd_plan import (
    CHUNK,
    CLIPPED,
    GROUP,
    SHARED,
    Plan,
    Workload,
    best_plan,
    relative_cost,
    typical_sizes,
)
from paddle_tvm.targets.x86.winograd_transforms import input_row, output_row, transform_matrices

# With single sums of 512 products the error of F(4x4, 3x3) is three times as large.
_RUN = 64


def choose(
    window: Window,
    depth: int,
    total: int,
    rows: Any,
    columns: Any,
    lanes: int,
    batch: Any = 1,
    threads: int = 2,
) -> int | None:
    """The size of output tiles with which Winograd is faster than direct convolution.

    Parameters
    ----------
    window
        The convolution's window; only 3 x 3 with stride 1 and no dilation has a Winograd form here.
    depth, total
        Channels of the input and of the output, of a convolution that is not grouped.
    rows, columns, batch
        Sizes of the output; expressions where they are not known.
    lanes
        Channels in a block of the output.
    threads
        How many threads share the work, and the memory.

    Returns
    -------
    2 or 4, or None where direct convolution is faster.
    """
    if not has_form(window):
        return None
    works = [workload(m, depth, ceil_div(total, lanes), lanes, batch, rows, columns, threads) for m in (4, 2)]
    large, small = (relative_cost(work, best_plan(work)) for work in works)
    # Weights for the large tile take four times the memory of the original, for the small one 1.8 times.
    best, m = (large, 4) if large < 0.9 * small and is_accurate(depth) else (small, 2)
    return m if best < 0.95 * len(works[0].sizes) else None


def has_form(window: Window) -> bool:
    """Whether a convolution that is not grouped can be computed by Winograd's algorithm."""
    return (*window.kernel, *window.strides, *window.dilation) == (3, 3, 1, 1, 1, 1)


def is_accurate(depth: int) -> bool:
    """Whether rounding with output tiles of 4 x 4 stays within the tolerance, for so many input channels."""
    return run_length(depth) <= 2 * _RUN


def workload(
    m: int, depth: int, blocks: int, lanes: int, batch: Any, rows: Any, columns: Any, threads: int
) -> Workload:
    """What the model of costs is told; a size that is not an int is not known."""
    count = batch if isinstance(batch, int) else 1
    known = [isinstance(size, int) for size in (rows, columns)]
    sizes = typical_sizes(rows, columns, depth)
    return Workload(m, depth, blocks, lanes, count, sizes, threads, not any(known), not all(known))


def transform_weight(
    weight: npt.NDArray[np.float32], m: int, lanes_in: int, lanes_out: int
) -> npt.NDArray[np.float32]:
    """Weights in the order in which ``winograd`` reads them.

    Parameters
    ----------
    weight
        OIHW, 3 x 3.
    m
        Height and width of a tile of outputs.
    lanes_in, lanes_out
        Channels in a block of the input and of the output.

    Returns
    -------
    [m + 2, m + 2, output blocks, input channels, lanes_out]; output channels beyond the last are zero.
    """
    _, matrix, _ = transform_matrices(m)
    total, depth = weight.shape[:2]
    transformed = np.einsum("ei,ocij,fj->efoc", matrix, weight.astype(np.float64), matrix, optimize=True)
    blocks = ceil_div(total, lanes_out)
    padded = np.zeros((m + 2, m + 2, blocks * lanes_out, depth), np.float32)
    padded[:, :, :total] = transformed
    packed = padded.reshape(m + 2, m + 2, blocks, lanes_out, depth).transpose(0, 1, 2, 4, 3)
    return np.ascontiguousarray(packed)


def run_length(depth: int) -> int:
    """How many channels are summed in one go: sums of sums round less than one long sum."""
    if depth <= _RUN:
        return depth
    return max((run for run in range(_RUN // 4, _RUN + 1) if depth % run == 0), default=depth)


def _count_chunks(size: Any, length: int) -> Any:
    """How many chunks cover a map."""
    if isinstance(size, tirx.Mul):
        # TVM 0.27 proves that 2 * n <= (2 * n - 1) // 4 * 4 + 4, and not that 2 * n <= (2 * n + 3) // 4 * 4.
        return simplify((size - 1) // length + 1)
    return ceil_div(size, length)


def winograd(
    data: te.Tensor,
    weight: te.Tensor,
    window: Window,
    depth: int,
    total: int,
    m: int,
    plan: Plan | None = None,
    notes: Mapping[str, Any] | None = None,
) -> te.Tensor:
    """Convolution of blocked activations with weights that ``transform_weight`` packed.

    Parameters
    ----------
    data
        [batch, blocks, rows, columns, lanes]; lanes beyond ``depth`` may hold anything.
    weight
        [m + 2, m + 2, output blocks, depth, lanes].
    window
        3 x 3, stride 1, no dilation; any padding.
    depth, total
        Channels of the input and of the output.
    m
        Height and width of a tile of outputs.
    plan
        How the work is divided; chosen for the sizes where it is left out.
    notes
        More annotations for the schedule.

    Returns
    -------
    [batch, output blocks, output rows, output columns, lanes].

    Raises
    ------
    ValueError
        The weights are not packed for this convolution.
    """
    batch, blocks_in, rows, columns, lanes_in = (extent(dim) for dim in data.shape)
    blocks_out, lanes_out = extent(weight.shape[2]), extent(weight.shape[4])
    out_rows, out_columns = window.output(rows, 0), window.output(columns, 1)
    expected = [m + 2, m + 2, ceil_div(total, lanes_out), depth, lanes_out]
    if (got := [extent(dim) for dim in weight.shape]) != expected:
        raise ValueError(f"winograd weights of shape {got}: {expected} expected, as transform_weight gives")
    if plan is None:
        plan = best_plan(workload(m, depth, blocks_out, lanes_out, batch, out_rows, out_columns, 2))
    # Tiles beyond the map are left out where its size is not known: then they lie column after column.
    clipped = not (isinstance(out_rows, int) and isinstance(out_columns, int))
    size = m + 2
    high, wide = plan.rows * m, plan.columns * m
    tiles = plan.rows * plan.columns
    grid = (batch, _count_chunks(out_rows, high), _count_chunks(out_columns, wide))
    # An axis of one element would leave constants in the index, which TVM's region analysis refuses.
    kept = [axis for axis, count in enumerate(grid) if not (isinstance(count, int) and count == 1)]
    chunks = [grid[axis] for axis in kept]
    top, left = window.before
    outputs, _, inputs = transform_matrices(m)

    def place(index: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
        """Splits an index into (image, row and column of the chunk), and the rest."""
        chunk: list[Any] = [0, 0, 0]
        for axis, value in zip(kept, index, strict=False):
            chunk[axis] = value
        return chunk, list(index[len(kept) :])

    def read(*index: Any) -> tirx.Expr:
        (n, row, column), (p, c, i, j, lane) = place(index)
        tile_row, tile_column = (
            (p % plan.rows, p // plan.rows) if clipped else (p // plan.columns, p % plan.columns)
        )
        first_y, first_x = row * high + tile_row * m, column * wide + tile_column * m
        y, x = first_y + i - top, first_x + j - left
        # What a tile beyond the map would read: with it, clipping.py finds that tile.
        used = [first_y < out_rows, first_x < out_columns] if clipped else []
        inside = tirx.all(*used, y >= 0, y < rows, x >= 0, x < columns)
        return tirx.if_then_else(inside, data[n, c, y, x, lane], tirx.const(0, "float32"))

    patch = te.compute((*chunks, tiles, blocks_in, size, size, lanes_in), read, name="winograd_patch")

    def transform_columns(*index: Any) -> tirx.Expr:
        *outer, e, x, lane = index
        return input_row(inputs, e, lambda i: patch[(*outer, i, x, lane)])

    half = te.compute(patch.shape, transform_columns, name="winograd_half")

    def transform_rows(*index: Any) -> tirx.Expr:
        _, (e, f, p, c, lane) = place(index)
        outer = index[: len(kept)]
        return input_row(inputs, f, lambda j: half[(*outer, p, c, e, j, lane)])

    shape = (*chunks, size, size, tiles, blocks_in, lanes_in)
    transformed = te.compute(shape, transform_rows, name="winograd_input")

    run = run_length(depth)
    c = te.reduce_axis((0, run), "c")

    def multiply(*index: Any) -> tirx.Expr:
        *outer, e, f, p, o, part, lane = index
        channel = part * run + c
        value = transformed[(*outer, e, f, p, channel // lanes_in, channel % lanes_in)]
        return te.sum(value * weight[e, f, o, channel, lane], axis=c)

    partial = te.compute(
        (*chunks, size, size, tiles, blocks_out, depth // run, lanes_out),
        multiply,
        name="winograd_partial",
        attrs={
            RULE: "winograd",
            TILE: plan.points,
            BLOCKS: plan.blocks,
            GROUP: plan.group,
            CHUNK: [m, plan.rows, plan.columns],
            SHARED: int(plan.shared),
            **({CLIPPED: 1} if clipped else {}),
            **(notes or {}),
        },
    )
    part = te.reduce_axis((0, depth // run), "part")

    def add_parts(*index: Any) -> tirx.Expr:
        *outer, lane = index
        return te.sum(partial[(*outer, part, lane)], axis=part) if depth > run else partial[(*outer, 0, lane)]

    products = te.compute(
        (*chunks, size, size, tiles, blocks_out, lanes_out), add_parts, name="winograd_product"
    )

    def invert_columns(n: Any, o: Any, row: Any, column: Any, y: Any, f: Any, lane: Any) -> tirx.Expr:
        chunk = [(n, row // plan.rows, column // plan.columns)[axis] for axis in kept]
        tile_row, tile_column = row % plan.rows, column % plan.columns
        tile = tile_column * plan.rows + tile_row if clipped else tile_row * plan.columns + tile_column
        return output_row(outputs, y, lambda e: products[(*chunk, e, f, tile, o, lane)])

    # Whole chunks, beyond the last row and column.
    tile_rows, tile_columns = simplify(grid[1] * plan.rows), simplify(grid[2] * plan.columns)
    half_output = te.compute(
        (batch, blocks_out, tile_rows, tile_columns, m, size, lanes_out),
        invert_columns,
        name="winograd_half_output",
    )

    def invert_rows(n: Any, o: Any, y: Any, x: Any, lane: Any) -> tirx.Expr:
        return output_row(outputs, x % m, lambda f: half_output[n, o, y // m, x // m, y % m, f, lane])

    output = te.compute(
        (batch, blocks_out, simplify(tile_rows * m), simplify(tile_columns * m), lanes_out),
        invert_rows,
        name="winograd_output",
    )
    return te.compute(
        (batch, blocks_out, out_rows, out_columns, lanes_out), lambda *place: output[place], name="winograd"
    )
