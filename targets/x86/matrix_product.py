"""Products of matrices whose right-hand one is packed by column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tvm import te, tirx

from paddle_tvm.targets.expressions import extent


def multiply(
    left: te.Tensor, packed: te.Tensor, shape: list[Any], out_dtype: str, notes: Mapping[str, Any]
) -> te.Tensor:
    """``left`` [..., M, K] times ``packed`` [..., N / lanes, K, lanes] to ``shape``.

    ``notes`` are the annotations for the schedule.
    """
    lanes = extent(packed.shape[-1])
    k = te.reduce_axis((0, extent(left.shape[-1])), "k")

    def product(*index: Any) -> tirx.Expr:
        *outer, row, column = index
        value = left[(*_own_index(outer, left.shape[:-2]), row, k)]
        weight = packed[(*_own_index(outer, packed.shape[:-3]), column // lanes, k, column % lanes)]
        return te.sum(value.astype(out_dtype) * weight.astype(out_dtype), axis=k)

    return te.compute(tuple(shape), product, name="matmul", attrs=dict(notes))


def _own_index(outer: list[Any], sizes: Any) -> list[Any]:
    """Of the indices of a batch those that an operand with batch dimensions ``sizes`` has."""
    sizes = [extent(size) for size in sizes]
    tail = outer[len(outer) - len(sizes) :]
    return [0 if isinstance(size, int) and size == 1 else at for size, at in zip(sizes, tail, strict=True)]
