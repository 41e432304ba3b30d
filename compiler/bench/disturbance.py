"""How much of the machine other processes took while something was measured."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from paddle_tvm.compiler.bench.idle import machine_busy_seconds

DISTURBED = 0.1
"""Cores that other processes may keep busy during a measurement before it is marked."""

MARK = "~"
"""Stands behind a number that was measured while the machine was disturbed."""


class Others:
    """Counts the CPU time of everything but the measurement itself, from now on.

    Parameters
    ----------
    own_seconds
        Gives the CPU time that the measurement itself has taken so far.
    """

    def __init__(self, own_seconds: Callable[[], float]) -> None:
        self._own_seconds = own_seconds
        self._started, self._busy, self._own = perf_counter(), machine_busy_seconds(), own_seconds()

    def seconds(self) -> tuple[float, float]:
        """CPU time of the others so far, and wall time.

        The system counts in hundredths of a second, so that little may come out below none.
        """
        own = self._own_seconds() - self._own
        return machine_busy_seconds() - self._busy - own, perf_counter() - self._started

    def cores(self) -> float:
        """Cores that the others kept busy so far, on average."""
        busy, wall = self.seconds()
        return max(busy / wall, 0.0)


def is_disturbed(cores: float | None) -> bool:
    """Whether others kept so many cores busy that a measurement has to be marked; None is not known."""
    return cores is not None and cores > DISTURBED


def marked(text: str, disturbed: bool) -> str:
    """A number with its mark."""
    return f"{text} {MARK}" if disturbed else text
