"""Lowers matmul to a register-tiled kernel over a right-hand matrix packed by column."""

from __future__ import annotations

from typing import Any

from tvm import relax, te, tirx

from paddle_tvm.targets.x86.conv2d import FUSES_WHAT_FOLLOWS
from paddle_tvm.targets.x86.packing import (
    ceil_div,
    constant,
    constant_array,
    extent,
    pack_matrix,
    te_pack_matrix,
)
from paddle_tvm.targets.x86.tile import choose_tile, fitting_lanes, tile_annotations


def legalize_matmul(builder: relax.BlockBuilder, call: relax.Call, lanes: int) -> relax.Expr:
    """A ``relax.matmul`` of any ranks as one fusable function."""
    left, right = call.args
    out_dtype = str(call.ty.dtype)
    columns = extent(right.ty.shape[-1]) if len(right.ty.shape) > 1 else 1
    if isinstance(columns, int):
        lanes = fitting_lanes(columns, lanes)
    array = constant_array(right)
    if len(right.ty.shape) == 1:
        right = builder.emit(relax.op.expand_dims(right, -1)) if array is None else right
        array = None if array is None else array[:, None]
    if array is not None:
        packed = constant(pack_matrix(array, lanes))
    else:
        packed = builder.emit(builder.call_te(te_pack_matrix, right, lanes, primfunc_name_hint="pack_matrix"))
    shape = [extent(dim) for dim in call.ty.shape]
    vector = (len(left.ty.shape) == 1, len(call.args[1].ty.shape) == 1)
    # The shape goes in as an argument: TVM renames the symbols of what goes in, and only of that.
    return builder.call_te(
        lambda x, w, sizes: multiply(x, w, [extent(dim) for dim in sizes], vector, out_dtype),
        left,
        packed,
        [tirx.IntImm("int64", dim) if isinstance(dim, int) else dim for dim in shape],
        primfunc_name_hint="matmul",
        primfunc_attrs=FUSES_WHAT_FOLLOWS,
    )


def multiply(
    left: te.Tensor,
    packed: te.Tensor,
    shape: list[Any],
    vector: tuple[bool, bool],
    out_dtype: str,
) -> te.Tensor:
    """``left`` [..., M, K] times ``packed`` [..., N / lanes, K, lanes] to ``shape``.

    ``vector`` says which operand was one-dimensional, and so has no axis in the result.
    """
    *left_batch, rows, depth = [extent(dim) for dim in left.shape] if not vector[0] else [1, left.shape[0]]
    *right_batch, blocks, _, lanes = (extent(dim) for dim in packed.shape)
    batch = shape[: len(shape) - (not vector[0]) - (not vector[1])]
    # Static rows of several matrices against one are the rows of one matrix.
    inner = left_batch[-1] if left_batch else 1
    flat = not right_batch and isinstance(rows, int) and isinstance(inner, int) and rows < 8 and inner > 1
    outer = batch[:-1] if flat else batch
    points = rows * inner if flat else rows
    block_count = blocks if isinstance(blocks, int) else 1
    tile = choose_tile(points, block_count, lanes)
    tiled = ceil_div(points, tile.points) * tile.points
    exact = isinstance(points, int) and points == tiled
    k = te.reduce_axis((0, depth), "k")

    def batch_index(index: list[Any], own: list[Any]) -> list[Any]:
        tail = index[len(index) - len(own) :] if own else []
        return [0 if isinstance(size, int) and size == 1 else i for i, size in zip(tail, own, strict=True)]

    def read_left(index: list[Any], row: Any) -> tirx.Expr:
        row = row if exact else tirx.min(row, points - 1)
        if vector[0]:
            return left[k]
        if flat:
            return left[(*batch_index(index, left_batch[:-1]), row // rows, row % rows, k)]
        return left[(*batch_index(index, left_batch), row, k)]

    def product(*index: Any) -> tirx.Expr:
        *outer_index, row, column = index
        weight = packed[(*batch_index(list(outer_index), right_batch), column // lanes, k, column % lanes)]
        value = read_left(list(outer_index), row)
        return te.sum(value.astype(out_dtype) * weight.astype(out_dtype), axis=k)

    sums = te.compute(
        (*outer, tiled, blocks * lanes),
        product,
        name="matmul",
        attrs=tile_annotations(tile, lanes, (0 if vector[1] else 1) if flat else None),
    )

    def unpack(*index: Any) -> tirx.Expr:
        position = list(index)
        column = 0 if vector[1] else position.pop()
        row = 0 if vector[0] else position.pop()
        if flat:
            row = position.pop() * rows + row
        return sums[(*position, row, column)]

    return te.compute(tuple(shape), unpack, name="unpack")
