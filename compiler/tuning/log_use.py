"""What there is to say of the logs that a compilation was given: whether and how they were of use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path


@dataclass(frozen=True)
class ForeignForms:
    """A log gave forms that were measured on cores of another family than those that are compiled for.

    ``measured_on`` and ``compiled_for`` are LLVM's names, None where the log names no CPU.
    """

    log: Path
    measured_on: tuple[str | None, ...]
    compiled_for: str


@dataclass(frozen=True)
class UnusedLog:
    """A log of the user's that has no winner for what is compiled.

    ``measured_for`` are the target classes of its winners, if it has any. Where ``compiled_for`` is one of
    them, none of the model's kernels is like one that was measured.
    """

    log: Path
    measured_for: tuple[str, ...]
    compiled_for: str

    @property
    def of_class(self) -> bool:
        """Whether it has winners for the target class that is compiled for."""
        return self.compiled_for in self.measured_for

    @property
    def reason(self) -> str:
        """Why nothing of it is used, and what to do where something can be done."""
        if not self.measured_for:
            return (
                "it has no winner: a search that was ended early writes none; paddle-tvm tune with the same "
                "options, and --trials 0, compares what it has found with the defaults"
            )
        if self.of_class:
            return (
                "it has winners, but none for a kernel or a graph like this model's: it was measured for "
                "another model or at other shapes; give the --shape that was tuned"
            )
        measured = ", ".join(self.measured_for)
        several = "; records of GPUs hold for code for one --arch alone" if "+" in self.compiled_for else ""
        return f"it was measured for {measured}, and this is compiled for {self.compiled_for}{several}"


def unused_by_all(of_targets: Sequence[Sequence[UnusedLog]]) -> tuple[UnusedLog, ...]:
    """The logs that are unused for each of several targets, with the reason that says the most."""
    by_log: defaultdict[Path, list[UnusedLog]] = defaultdict(list)
    for unused in chain.from_iterable(of_targets):
        by_log[unused.log].append(unused)
    return tuple(
        next((unused for unused in found if unused.of_class), found[0])
        for found in by_log.values()
        if len(found) == len(of_targets)
    )
