"""What a run may still take of the time and the trials that it was given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic


class Budget:
    """The time and the trials of a run, of which its kernels and its whole model take their parts.

    Parameters
    ----------
    begin
        When the run began, by ``time.monotonic``.
    seconds
        How long it may search; None: without end.
    trials
        How many trials there may be; None: any number.

    Attributes
    ----------
    made
        Trials that were made.
    """

    def __init__(self, begin: float, seconds: float | None, trials: int | None) -> None:
        self._begin = begin
        self._end = inf if seconds is None else begin + seconds
        self._trials = trials
        self._reserved = 0.0
        self.made = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return monotonic() - self._begin

    def reserve(self, trials: int, seconds: float, share: float) -> None:
        """Leave time to trials that come later: what they take, but no more than a share of what is left.

        ``trials`` are as many as would be made, which take ``seconds`` each. Nothing is left to them where
        that is too little for one.
        """
        reserved = min(trials * seconds, share * (self._end - monotonic()))
        self._reserved = reserved if reserved >= seconds else 0.0

    def release(self) -> None:
        """Give what was left to others to them: all of it, though the last batch has taken longer."""
        self._end = max(self._end, monotonic() + self._reserved)
        self._reserved = 0.0

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What is done in this context takes no time of the budget."""
        begin = monotonic()
        yield
        self._end += monotonic() - begin

    def batch(self, most: int) -> int:
        """How many trials, up to so many, may be begun together; 0 where the budget is used up."""
        if monotonic() >= self._end - self._reserved:
            return 0
        return most if self._trials is None else min(most, max(0, self._trials - self.made))

    def fits(self, seconds: float) -> bool:
        """Whether there is a trial left, and the time for one that takes so long."""
        return self._trials != self.made and monotonic() + seconds <= self._end

    def take(self, seconds: float) -> bool:
        """Count a trial that takes about so many seconds, if it fits."""
        fits = self.fits(seconds)
        self.made += fits
        return fits

    def left_out(self, untried: int, of: str) -> str:
        """Says what there was no budget for: so many ``of`` a number of things."""
        what = "time" if self._trials is None or self.made < self._trials else "trials"
        return (
            f"the budget leaves no {what} for {untried} of {of}: nothing changes there; the same command "
            "with a larger budget goes on"
        )
