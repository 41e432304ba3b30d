"""How a row of window positions is cut into tiles, and which taps of the window lie in each.

Tiles at the ends of a row leave out the taps that fall into the padding, which is known when the code is
made: at the left end it depends on the position, at the right end on the distance from the end alone, and
for strides on how many elements the last window leaves unread, for each of which there is a variant. Tiles
between read no padding. The last tiles may overlap others, so that no row has a tail.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from paddle_tvm.targets.expressions import ceil_div
from paddle_tvm.targets.x86.sliding_window import WindowAxis


@dataclass(frozen=True)
class Taps:
    """Column ``column`` of the window is inside for positions [first, last) of a tile."""

    column: int
    first: int
    last: int


@dataclass(frozen=True)
class RowTile:
    """``width`` positions from ``start``, or for a negative one counted from the end of the row.

    ``variants`` holds the taps by the number of elements that the last window leaves unread; one entry where
    that does not matter.
    """

    start: int
    width: int
    variants: tuple[tuple[Taps, ...], ...]


@dataclass(frozen=True)
class RowPlan:
    """Tiles at the ends, and between them those of ``width`` positions that read no padding."""

    width: int
    ends: tuple[RowTile, ...]
    inner: tuple[Taps, ...]
    # Positions at the right end that read padding, where the inner tiles stop.
    right: int


def border(axis: WindowAxis) -> tuple[int, int]:
    """How many positions at most read padding at the left, and at the right end."""
    return ceil_div(axis.before, axis.stride), ceil_div(axis.after, axis.stride)


def fits(axis: WindowAxis, width: int) -> bool:
    """Whether tiles of this width keep the padding to the first and the last one."""
    left, right = border(axis)
    return width >= max(left, right) and width + 1 >= left + right


def shortest(axis: WindowAxis, width: int) -> int:
    """The shortest row in which the first and the last tile each reach the padding of one end alone."""
    return width + max(border(axis))


def whole_row(axis: WindowAxis, widest: int) -> tuple[RowTile, ...]:
    """Tiles that cover a row of known size and do not overlap, each with its own taps."""
    count = ceil_div(axis.output, widest)
    bounds = [axis.output * number // count for number in range(count + 1)]
    return tuple(
        RowTile(start, end - start, (_taps(axis, end - start, start, axis.output - start, _unread(axis)),))
        for start, end in pairwise(bounds)
    )


def long_row(axis: WindowAxis, width: int) -> RowPlan:
    """Tiles for rows of at least the ``shortest`` length."""
    every = range(1) if axis.after == 0 else range(axis.stride)
    unread = [_unread(axis)] if isinstance(axis.size, int) else list(every)
    last = tuple(_taps(axis, width, None, width, count) for count in unread)
    return RowPlan(
        width=width,
        ends=(
            RowTile(0, width, (_taps(axis, width, 0, None, 0),)),
            RowTile(-width, width, last[:1] if len(set(last)) == 1 else last),
        ),
        inner=_taps(axis, width, None, None, 0),
        right=border(axis)[1],
    )


def best_width(axis: WindowAxis, narrowest: int, widest: int) -> int | None:
    """The width with the least overlap for a row of known size; None where none fits."""
    widths = [
        width
        for width in range(narrowest, widest + 1)
        if fits(axis, width) and axis.output >= shortest(axis, width)
    ]
    return min(widths, key=lambda width: (ceil_div(axis.output, width) * width, -width), default=None)


def _unread(axis: WindowAxis) -> int:
    """Elements beyond the last window of a row of known size."""
    reach = axis.dilation * (axis.kernel - 1)
    unread: int = (axis.size + axis.before + axis.after - reach - 1) % axis.stride
    return unread


def _taps(
    axis: WindowAxis, width: int, start: int | None, from_end: int | None, unread: int
) -> tuple[Taps, ...]:
    """The taps inside, for a tile whose place is known from the start or the end of the row, or neither."""
    reach = axis.dilation * (axis.kernel - 1)
    result = []
    for column in range(axis.kernel):
        first, last = 0, width
        if start is not None:
            first = max(0, ceil_div(axis.before - column * axis.dilation, axis.stride) - start)
        if from_end is not None:
            beyond = (reach - axis.after + unread - column * axis.dilation) // axis.stride
            last = min(width, beyond + from_end)
        if first < last:
            result.append(Taps(column, first, last))
    return tuple(result)


def inner_tiles(plan: RowPlan, output: Any) -> Any:
    """Number of inner tiles for a row of ``output`` positions; for short rows it may be negative."""
    return ceil_div(output - 2 * plan.width, plan.width)
