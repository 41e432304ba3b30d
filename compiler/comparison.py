"""Compares one output with its reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paddle_tvm.runtime.wording import agreeing

_Array = npt.NDArray[Any]


@dataclass(frozen=True)
class OutputComparison:
    """How an output differs from its reference.

    ``max_rel_error`` is relative to the largest magnitude in the reference; ``mismatched`` counts elements
    where one is NaN or infinite and the other is not the same. ``problem`` says why it failed, else None.
    """

    name: str
    max_abs_error: float
    max_rel_error: float
    mismatched: int
    problem: str | None

    @property
    def passed(self) -> bool:
        """Whether the output is right within the tolerance."""
        return self.problem is None


def compare_output(name: str, actual: _Array, expected: _Array, tolerance: float) -> OutputComparison:
    """Compare in float64; integers and bools must be equal."""
    for what, got, wanted in (
        ("shape", str(list(actual.shape)), str(list(expected.shape))),
        ("dtype", str(actual.dtype), str(expected.dtype)),
    ):
        if got != wanted:
            infinite = float("inf")
            return OutputComparison(name, infinite, infinite, 0, f"{what} is {got}, expected {wanted}")
    if expected.size == 0:
        return OutputComparison(name, 0.0, 0.0, 0, None)
    exact = not np.issubdtype(expected.dtype, np.inexact)
    wide = np.complex128 if np.iscomplexobj(expected) else np.float64
    ours: _Array = actual.astype(wide)
    theirs: _Array = expected.astype(wide)
    finite = np.isfinite(ours) & np.isfinite(theirs)
    mismatched = int((~finite & ~_same_special(ours, theirs)).sum())
    error = float(np.abs(ours[finite] - theirs[finite]).max(initial=0.0))
    largest = float(np.abs(theirs[finite]).max(initial=0.0))
    relative = error / largest if largest else (0.0 if error == 0 else float("inf"))
    problem = None
    if mismatched:
        differ = agreeing(mismatched, "differs", "differ")
        problem = f"{mismatched} of {expected.size} elements {differ} in being NaN or infinite"
    elif exact and error:
        count = int((ours != theirs).sum())
        differ = agreeing(count, "differs", "differ")
        problem = f"{count} of {expected.size} elements {differ}, by up to {error:g}"
    elif not exact and relative > tolerance:
        problem = f"relative error {relative:.3g}, allowed {tolerance:g}"
    return OutputComparison(name, error, relative, mismatched, problem)


def _same_special(ours: _Array, theirs: _Array) -> npt.NDArray[np.bool_]:
    same: npt.NDArray[np.bool_] = (np.isnan(ours) & np.isnan(theirs)) | (ours == theirs)
    return same
