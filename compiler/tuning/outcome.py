"""What came of trying a form of a kernel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Literal, TypeAlias

from paddle_tvm.targets.workload import Config

Status: TypeAlias = Literal["ok", "wrong", "crash", "timeout", "memory", "error", "unchecked"]
"""``wrong``: its output is not that of the default form. ``error``: it could not be built, or raised.
``unchecked``: the default form has failed, so there is no output to compare with; no log has such trials."""


@dataclass(frozen=True)
class Outcome:
    """One trial.

    Attributes
    ----------
    config
        The form.
    status
        How it ended.
    seconds
        Time of a call in each round; empty unless it ended well.
    detail
        What went wrong, for people.
    """

    config: Config
    status: Status
    seconds: tuple[float, ...] = ()
    detail: str = ""

    @cached_property
    def median(self) -> float:
        """Seconds of a call; infinite for what did not end well."""
        return median(self.seconds) if self.seconds else float("inf")
