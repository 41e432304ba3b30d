"""Blocked tensors: [N, C, H, W] stored as [N, ceil(C / lanes), H, W, lanes].

Lanes beyond C in the last block hold whatever elementwise operators made of them: nothing may let them
reach a real lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tvm import relax, te, tirx

from paddle_tvm.targets.expressions import ceil_div, constant, constant_array, extent


@dataclass(frozen=True)
class Blocked:
    """A tensor in blocked form: its rank-5 expression and how many of its channels are real."""

    expr: relax.Expr
    channels: int
    lanes: int

    @property
    def blocks(self) -> int:
        return -(-self.channels // self.lanes)

    @property
    def shape(self) -> list[Any]:
        """The shape [N, C, H, W] that it stands for."""
        batch, _, rows, columns, _ = (extent(dim) for dim in self.expr.ty.shape)
        return [batch, self.channels, rows, columns]


def block_array(array: npt.NDArray[Any], lanes: int) -> npt.NDArray[Any]:
    """NCHW to blocked, padded with zeros."""
    batch, channels, rows, columns = array.shape
    blocks = ceil_div(channels, lanes)
    padded = np.zeros((batch, blocks * lanes, rows, columns), array.dtype)
    padded[:, :channels] = array
    split = padded.reshape(batch, blocks, lanes, rows, columns)
    return np.ascontiguousarray(split.transpose(0, 1, 3, 4, 2))


def block(builder: relax.BlockBuilder, plain: relax.Expr, lanes: int) -> Blocked:
    """A plain [N, C, H, W] in blocked form."""
    channels = int(plain.ty.shape[1])
    array = constant_array(plain)
    if array is not None:
        return Blocked(constant(block_array(array, lanes)), channels, lanes)
    batch, _, rows, columns = plain.ty.shape
    if extent(rows) == extent(columns) == 1 and channels % lanes == 0:
        return Blocked(
            builder.emit(relax.op.reshape(plain, [batch, channels // lanes, 1, 1, lanes])), channels, lanes
        )
    call = builder.call_te(_te_block, plain, lanes, primfunc_name_hint="block_channels")
    return Blocked(builder.emit(call), channels, lanes)


def _te_block(plain: te.Tensor, lanes: int) -> te.Tensor:
    batch, channels, rows, columns = (extent(dim) for dim in plain.shape)
    zero = tirx.const(0, plain.dtype)

    def read(n: Any, c: Any, y: Any, x: Any, lane: Any) -> Any:
        value = plain[n, c * lanes + lane, y, x]
        if channels % lanes == 0:
            return value
        return tirx.if_then_else(c * lanes + lane < channels, value, zero)

    return te.compute((batch, ceil_div(channels, lanes), rows, columns, lanes), read, name="block_channels")


def unblock(builder: relax.BlockBuilder, blocked: Blocked) -> relax.Expr:
    """A blocked tensor as a plain [N, C, H, W]."""
    batch, channels, rows, columns = blocked.shape
    if rows == columns == 1 and channels % blocked.lanes == 0:
        return builder.emit(relax.op.reshape(blocked.expr, [batch, channels, 1, 1]))
    call = builder.call_te(_te_unblock, blocked.expr, channels, primfunc_name_hint="unblock_channels")
    return builder.emit(call)


def _te_unblock(blocked: te.Tensor, channels: int) -> te.Tensor:
    batch, _, rows, columns, lanes = (extent(dim) for dim in blocked.shape)
    return te.compute(
        (batch, channels, rows, columns),
        lambda n, c, y, x: blocked[n, c // lanes, y, x, c % lanes],
        name="unblock_channels",
    )
