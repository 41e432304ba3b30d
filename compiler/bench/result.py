"""What a bench found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from paddle_tvm.compiler.bench.disturbance import is_disturbed
from paddle_tvm.compiler.comparison import compare_output

WRONG = 1e-2
"""A difference from the reference, relative to its largest output, beyond which speed means nothing."""

# Which engine's numbers are right where engines differ: the first of these that runs.
_REFERENCES = ("paddle", "onnxruntime", "openvino", "ours")


@dataclass(frozen=True)
class EngineResult:
    """The times of one engine in seconds, turn by turn, or why there are none.

    Attributes
    ----------
    rounds
        The runs of each turn.
    difference
        The largest difference from the reference engine's outputs, relative to the largest value of the
        output; None for the reference itself.
    disturbance
        How many cores other processes kept busy during its turns: the median of them, for whole processes
        the mean.
    restless
        Whether its threads kept running long after a turn, into those of others.
    """

    engine: str
    rounds: tuple[tuple[float, ...], ...] = ()
    load_seconds: float | None = None
    failure: str | None = None
    difference: float | None = None
    disturbance: float | None = None
    restless: bool = False

    @property
    def times(self) -> tuple[float, ...]:
        """All runs."""
        return tuple(chain.from_iterable(self.rounds))

    @property
    def median(self) -> float | None:
        """The median over the turns of each turn's median."""
        return median(median(times) for times in self.rounds) if self.rounds else None

    @property
    def wrong(self) -> bool:
        """Whether the outputs are too far from the reference's."""
        return self.difference is not None and not self.difference <= WRONG

    @property
    def disturbed(self) -> bool:
        """Whether other processes took so much of the machine that the times have to be marked."""
        return is_disturbed(self.disturbance)


@dataclass(frozen=True)
class BenchResult:
    """All engines, ours first.

    ``foreign_model`` says that the other engines ran another model than the artifact was compiled from.
    """

    engines: tuple[EngineResult, ...]
    reference: str | None
    threads: int
    rounds: int
    shapes: dict[str, tuple[int, ...]]
    cold: bool
    foreign_model: str | None = None

    def ratio(self, engine: EngineResult) -> float | None:
        """Our time over the engine's: below 1 we are faster. None where a time or a right answer lacks."""
        return time_ratio(self.engines[0], engine)

    def ratio_disturbed(self, engine: EngineResult) -> bool:
        """Whether one of the ratio's two times was disturbed."""
        return self.engines[0].disturbed or engine.disturbed

    def as_json(self) -> dict[str, Any]:
        """The result for ``--json``; times in milliseconds."""
        return {
            "threads": self.threads,
            "rounds": self.rounds,
            "cold": self.cold,
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "reference": self.reference,
            "foreign_model": self.foreign_model,
            "engines": [
                {
                    "engine": engine.engine,
                    "median_ms": None if engine.median is None else engine.median * 1e3,
                    "min_ms": min(engine.times) * 1e3 if engine.times else None,
                    "runs": len(engine.times),
                    "load_ms": None if engine.load_seconds is None else engine.load_seconds * 1e3,
                    "ours_over_this": self.ratio(engine),
                    "disturbance": engine.disturbance,
                    "disturbed": engine.disturbed,
                    "restless": engine.restless,
                    "difference": _json_number(engine.difference),
                    "wrong": engine.wrong,
                    "failure": engine.failure,
                }
                for engine in self.engines
            ],
        }


def time_ratio(one: EngineResult, other: EngineResult) -> float | None:
    """The time of one over the other's; None where a time or a right answer lacks.

    It is the median over the turns of the ratio in each: a machine that is slower for some of them is so for
    both, and says nothing of either.
    """
    if not one.rounds or not other.rounds or one.wrong or other.wrong:
        return None
    turns = zip(one.rounds, other.rounds, strict=False)
    return median(median(ours) / median(theirs) for ours, theirs in turns)


def _json_number(value: float | None) -> float | str | None:
    return value if value is None or np.isfinite(value) else str(value)


def compare_engines(outputs: dict[str, Path]) -> tuple[str | None, dict[str, float]]:
    """Choose the reference among engines that ran, and measure how far the others are from it."""
    reference = next((engine for engine in _REFERENCES if engine in outputs), None)
    if reference is None or len(outputs) == 1:
        return None, {}
    expected = _load(outputs[reference])
    differences = {}
    for engine, path in outputs.items():
        if engine != reference:
            actual = _load(path)
            if len(actual) != len(expected):
                differences[engine] = float("inf")
                continue
            differences[engine] = max(
                (_difference(ours, theirs) for ours, theirs in zip(actual, expected, strict=True)),
                default=0.0,
            )
    return reference, differences


def _difference(ours: Any, theirs: Any) -> float:
    # Engines may widen or narrow what is no float (an index may be int32 or int64).
    compared = compare_output("", ours.astype(theirs.dtype), theirs, WRONG)
    return float("inf") if compared.mismatched else compared.max_rel_error


def _load(path: Path) -> Sequence[Any]:
    with np.load(path, allow_pickle=False) as loaded:
        return [loaded[str(index)] for index in range(len(loaded.files))]
