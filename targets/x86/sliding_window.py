"""What slides a window over blocked activations: the tensor expression, and what its schedule is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tvm import te, tirx

from paddle_tvm.targets.expressions import extent
from paddle_tvm.targets.x86.conv2d import Window
from paddle_tvm.targets.x86.tile import ROW_CHUNKS, RULE

SLIDING_WINDOW = "sliding_window"
# On the block that slides: for rows and for columns kernel size, stride, dilation, padding before and after.
# Not named like what profiles show, which the schedule sets.
WINDOW = "sliding_window.axes"

# The form: the most positions of a tile along a row, and the rows of a parallel unit.
WIDEST = "paddle_tvm.widest"
ROWS_OF_UNIT = "paddle_tvm.rows_of_unit"

# Accumulators of a tile: enough to hide the latency of multiply-adds, few enough to stay in registers.
WIDEST_TILE = 8
# Rows of a parallel unit, where their number is not known.
_SYMBOLIC_ROWS = 4


def rows_of_unit(rows: Any) -> int:
    """Rows of a parallel unit, for so many rows of the result; an expression or None where not known."""
    return max(1, rows // ROW_CHUNKS) if isinstance(rows, int) else _SYMBOLIC_ROWS


@dataclass(frozen=True)
class WindowAxis:
    """A window along one axis: ``output`` positions over ``size`` elements, both maybe symbolic."""

    size: Any
    output: Any
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int


def slide(
    data: te.Tensor,
    window: Window,
    combine: Callable[..., Any],
    outside: tirx.Expr,
    term: Callable[..., Any],
    name: str,
    notes: Mapping[str, Any] | None = None,
) -> te.Tensor:
    """Reduce a window at each position, scheduled by ``schedules/sliding_window.py``.

    Parameters
    ----------
    data
        [N, blocks, H, W, lanes].
    combine
        ``te.sum`` or ``te.max``.
    outside
        What padding counts as. The schedule leaves padding out, so that it has to be neutral.
    notes
        More annotations for the schedule.
    term
        What is combined, of an element, its block, row and column of the window, and lane.
    """
    batch, blocks, rows, columns, lanes = (extent(dim) for dim in data.shape)
    i = te.reduce_axis((0, window.kernel[0]), "i")
    j = te.reduce_axis((0, window.kernel[1]), "j")

    def element(n: Any, c: Any, y: Any, x: Any, lane: Any) -> Any:
        row = y * window.strides[0] + i * window.dilation[0] - window.before[0]
        column = x * window.strides[1] + j * window.dilation[1] - window.before[1]
        value = data[n, c, row, column, lane]
        if any((*window.before, *window.after)):
            inside = tirx.all(row >= 0, row < rows, column >= 0, column < columns)
            value = tirx.if_then_else(inside, value, outside)
        return combine(term(value, c, i, j, lane), axis=[i, j])

    return te.compute(
        (batch, blocks, window.output(rows, 0), window.output(columns, 1), lanes),
        element,
        name=name,
        attrs={RULE: SLIDING_WINDOW, WINDOW: _numbers(window), **(notes or {})},
    )


def _numbers(window: Window) -> list[int]:
    return [
        int(value[axis])
        for axis in (0, 1)
        for value in (window.kernel, window.strides, window.dilation, window.before, window.after)
    ]
