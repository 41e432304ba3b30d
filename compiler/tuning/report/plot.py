"""Plots that take any width: lines are stretched by the browser, letters and strokes are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import floor, log10

# Of the coordinates inside a plot; the page stretches them.
_WIDTH, _HEIGHT = 1000, 400
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Axes:
    """The part of the plane that a plot shows."""

    left: float
    right: float
    low: float
    high: float

    def x(self, value: float) -> float:
        """Where a value is, from 0 to 1."""
        return (value - self.left) / ((self.right - self.left) or 1.0)

    def y(self, value: float) -> float:
        return (value - self.low) / ((self.high - self.low) or 1.0)

    def point(self, x: float, y: float) -> str:
        return f"{_short(self.x(x) * _WIDTH)} {_short((1 - self.y(y)) * _HEIGHT)}"


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers between two, at most so many and one."""
    least = (high - low) / most
    if least <= 0:
        return [low]
    size = 10 ** floor(log10(least))
    step = next(size * factor for factor in _STEPS if size * factor >= least * 0.999)
    first = -floor(-low / step + 1e-9)
    return [step * number for number in range(first, floor(high / step + 1e-9) + 1)]


def time_ticks(seconds: float, most: int) -> list[float]:
    """Round times from 0 on, in seconds."""
    for step in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200):
        if seconds / step <= most:
            return [float(step * number) for number in range(int(seconds / step) + 1)]
    return ticks(0.0, seconds, most)


def steps(axes: Axes, points: Sequence[tuple[float, float]], kind: str) -> str:
    """A line that keeps a value until the next one."""
    if not points:
        return ""
    path = [f"M{axes.point(*points[0])}"]
    for x, y in points[1:]:
        path.append(f"H{_short(axes.x(x) * _WIDTH)}V{_short((1 - axes.y(y)) * _HEIGHT)}")
    return f'<path class="{kind}" d="{"".join(path)}"/>'


def dots(axes: Axes, points: Sequence[tuple[float, float]], kind: str) -> str:
    """A point for each value: lines of no length, whose round ends do not stretch."""
    return (
        f'<path class="{kind}" d="{"".join(f"M{axes.point(x, y)}h0" for x, y in points)}"/>' if points else ""
    )


def level(axes: Axes, y: float, kind: str) -> str:
    """A line over the whole width."""
    return f'<path class="{kind}" d="M{axes.point(axes.left, y)}H{_WIDTH}"/>'


def area(axes: Axes, left: float, right: float, kind: str) -> str:
    """A part of the width, over the whole height."""
    begin, end = axes.x(left) * _WIDTH, axes.x(right) * _WIDTH
    return (
        f'<rect class="{kind}" x="{_short(begin)}" y="0" width="{_short(end - begin)}" height="{_HEIGHT}"/>'
    )


def plot(
    axes: Axes,
    inside: str,
    rows: Sequence[tuple[float, str]],
    columns: Sequence[tuple[float, str]],
    kind: str,
    over: str = "",
) -> str:
    """A plot with labels on its axes: (value, text); ``over`` is HTML above it."""
    grid = "".join(level(axes, y, "grid") for y, _ in rows)
    labels = "".join(
        f'<span class="y" style="bottom:{100 * axes.y(y):.2f}%">{escape(text)}</span>' for y, text in rows
    ) + "".join(
        f'<span class="x" style="left:{100 * axes.x(x):.2f}%">{escape(text)}</span>' for x, text in columns
    )
    return (
        f'<div class="plot {kind}"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none">'
        f"{grid}{inside}</svg>{over}{labels}</div>"
    )


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
