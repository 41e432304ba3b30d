"""A child that builds forms of a kernel and times them, as the process sees it that has forked it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from paddle_tvm.compiler.tuning.child import Child, Failed


class Builder:
    """A child that runs `local_tasks.serve_forms`; forms are known by their places in the list that it has.

    Parameters
    ----------
    child
        The child.
    build_limit_s
        After how many seconds it is given up where it has not built what it is asked for.
    """

    def __init__(self, child: Child, build_limit_s: float) -> None:
        self.child = child
        self._limit_s = build_limit_s
        self._deadline = 0.0
        self._places: list[int] = []
        self._failures: dict[int, Failed] = {}
        self._end: Failed | None = None

    @property
    def is_alone(self) -> bool:
        """Whether it has had one form only, whose fault it then is if it fails."""
        return len(self._places) == 1

    @property
    def has_ended(self) -> bool:
        return self._end is not None

    @property
    def left_s(self) -> float:
        """In how many seconds it must have built what it builds."""
        return max(0.0, self._deadline - time.monotonic())

    def begin(self, places: Sequence[int]) -> None:
        """Have it build forms."""
        self._places += places
        self._deadline = time.monotonic() + self._limit_s
        self._do(partial(self.child.tell, ["build", list(places)]))

    def finish(self, has_answered: bool) -> bool:
        """Whether it has built them, or failed to."""
        if has_answered:
            answer = self._do(self.child.answer)
            for place, status, detail in answer["failures"] if answer else []:
                self._failures[place] = Failed(status, detail)
        elif not self.left_s:
            self._end = self.child.late("build", self._limit_s)
        return has_answered or self.has_ended

    def run(self, place: int, command: Sequence[object], limit_s: float) -> list[float]:
        """What comes of a form when it is told a command of `candidate.perform`.

        Raises
        ------
        Failed
            The form fails, or it did when it was built, or the child has ended.
        """
        if place in self._failures:
            raise self._failures[place]
        name, *rest = command
        answer = self._do(partial(self.child.ask, [name, place, *rest], "run", limit_s))
        if self._end is not None:
            raise self._end
        return [float(seconds) for seconds in answer["seconds"]]

    def _do(self, action: Callable[[], Any]) -> Any:
        """Do something with the child, unless that has ended; None where it ends."""
        if self._end is None:
            try:
                return action()
            except Failed as failure:
                self._end = failure
        return None


class Form(NamedTuple):
    """A form, and who has built it or tried to."""

    builder: Builder
    place: int

    def run(self, command: Sequence[object], limit_s: float) -> list[float]:
        """See `Builder.run`."""
        return self.builder.run(self.place, command, limit_s)
