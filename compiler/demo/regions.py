"""Connected regions of a mask, and the smallest rectangle around one.

NumPy alone: OpenCV has both, but its wheel needs libGL and libxcb of the system, which a small machine lacks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Rectangle:
    """A rectangle at any angle; ``axis`` is the unit vector along its width and points to the right."""

    centre: Points
    axis: Points
    width: float
    height: float

    def grown(self, margin: float) -> Rectangle:
        """Return the rectangle with every side moved outwards by ``margin``."""
        return Rectangle(self.centre, self.axis, self.width + 2 * margin, self.height + 2 * margin)

    def corners(self) -> Points:
        """Return the corners as a ``(4, 2)`` array, clockwise (y grows downwards) from the top left."""
        across = self.axis * self.width / 2
        down = np.array([-self.axis[1], self.axis[0]]) * self.height / 2
        middle = self.centre
        return np.stack(
            [middle - across - down, middle + across - down, middle + across + down, middle - across + down]
        )


def connected_regions(mask: NDArray[np.bool_]) -> list[Points]:
    """Find the 8-connected regions of a mask.

    Returns
    -------
    list of numpy.ndarray
        For each region, from the top, the ends of its horizontal runs of pixels as ``(n, 2)`` points
        ``(x, y)``: all that a convex hull needs.
    """
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, firsts = np.nonzero(edges == 1)
    lasts = np.nonzero(edges == -1)[1] - 1
    parents = list(range(len(rows)))

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = parents[parents[run]]
            run = parents[run]
        return run

    offsets = np.searchsorted(rows, np.arange(mask.shape[0] + 1)).tolist()
    first, last = firsts.tolist(), lasts.tolist()
    for row in range(1, mask.shape[0]):
        above, here = offsets[row - 1], offsets[row]
        while above < offsets[row] and here < offsets[row + 1]:
            # One column further on either side still touches, at a corner.
            if first[here] <= last[above] + 1 and first[above] <= last[here] + 1:
                one, other = sorted((root(above), root(here)))
                parents[other] = one
            if last[above] < last[here]:
                above += 1
            else:
                here += 1
    members: dict[int, list[int]] = {}
    for run in range(len(rows)):
        members.setdefault(root(run), []).append(run)
    ends = np.stack([np.stack([firsts, rows], axis=1), np.stack([lasts, rows], axis=1)], axis=1)
    return [ends[runs].reshape(-1, 2).astype(np.float64) for runs in members.values()]


def smallest_rectangle(points: Points) -> Rectangle:
    """Return the rectangle of least area around ``(n, 2)`` points; its width is its more level side.

    One of its sides lies on the points' convex hull (Freeman and Shapira, CACM 18(7), 1975).
    """
    hull = _convex_hull(points)
    sides = np.roll(hull, -1, axis=0) - hull
    lengths = np.hypot(sides[:, 0], sides[:, 1])
    if not lengths.any():
        return Rectangle(hull[0], np.array([1.0, 0.0]), 0.0, 0.0)
    along = sides[lengths > 0] / lengths[lengths > 0, None]
    # Of the two directions of a side and the two across it, take the one that is nearest to the right.
    along = np.where(np.abs(along[:, :1]) < np.abs(along[:, 1:]), along[:, ::-1] * [1, -1], along)
    along = along * np.where(along[:, :1] < 0, -1, 1)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    u, v = hull @ along.T, hull @ across.T
    widths, heights = u.max(axis=0) - u.min(axis=0), v.max(axis=0) - v.min(axis=0)
    best = int(np.argmin(widths * heights))
    middle_u = (u[:, best].max() + u[:, best].min()) / 2
    middle_v = (v[:, best].max() + v[:, best].min()) / 2
    centre = middle_u * along[best] + middle_v * across[best]
    return Rectangle(centre, along[best], float(widths[best]), float(heights[best]))


def _convex_hull(points: Points) -> Points:
    """Andrew's monotone chain."""
    ordered = np.unique(points, axis=0).tolist()
    if len(ordered) < 3:
        return np.array(ordered, np.float64)

    def chain(sequence: list[list[float]]) -> list[list[float]]:
        kept: list[list[float]] = []
        for x, y in sequence:
            while len(kept) > 1:
                (ax, ay), (bx, by) = kept[-2], kept[-1]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                kept.pop()
            kept.append([x, y])
        return kept[:-1]

    return np.array(chain(ordered) + chain(ordered[::-1]), np.float64)
