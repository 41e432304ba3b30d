"""What the suite found, as values and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from paddle_tvm.compiler.bench.result import EngineResult, time_ratio

OURS = "ours"
PEERS = ("paddle", "onnxruntime", "openvino")
TITLES = {"paddle": "Paddle oneDNN", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}


@dataclass(frozen=True)
class Form:
    """One compilation of ours: what it took, or why there is none. Wall time of the whole command."""

    seconds: float = 0.0
    artifact_bytes: int = 0
    kernels: int = 0
    failure: str | None = None


@dataclass(frozen=True)
class Memory:
    """Of a process that loads a model and runs it, in bytes; or why it is not known.

    ``peak`` is the most that was resident at any time, ``resident`` what is after some runs, and
    ``anonymous`` the part of that which is no mapped file.
    """

    peak: int = 0
    resident: int = 0
    anonymous: int = 0
    failure: str | None = None


@dataclass(frozen=True)
class Row:
    """A workload at one number of threads, every engine in turns."""

    threads: int
    engines: dict[str, EngineResult]
    reference: str | None

    def ratio(self, one: str, other: str) -> float | None:
        """The time of one engine over another's."""
        if one not in self.engines or other not in self.engines:
            return None
        return time_ratio(self.engines[one], self.engines[other])

    def disturbed(self, *names: str) -> bool:
        """Whether one of these engines was timed while other processes took much of the machine."""
        return any(name in self.engines and self.engines[name].disturbed for name in names)

    def best_peer(self) -> str | None:
        """The fastest of the other engines whose answers are right."""
        timed = [
            (result.median, name)
            for name, result in self.engines.items()
            if name in PEERS and result.median is not None and not result.wrong
        ]
        return min(timed)[1] if timed else None


@dataclass
class WorkloadResult:
    """Everything about one workload; it grows while it is measured."""

    name: str
    title: str
    shapes: dict[str, tuple[int, ...]]
    rows: list[Row] = field(default_factory=list)
    forms: dict[str, Form] = field(default_factory=dict)
    memory: dict[str, Memory] = field(default_factory=dict)
    failure: str | None = None
    complete: bool = False

    def failures_of_ours(self) -> list[str]:
        """Why forms of ours could not be timed, or the model not be had at all."""
        failures = [] if self.failure is None else [self.failure]
        return failures + [
            engine.failure
            for row in self.rows
            for name, engine in row.engines.items()
            if name.partition(":")[0] == OURS and engine.failure is not None
        ]

    @property
    def disturbed(self) -> bool:
        """Whether a time of it has to be measured again on a quiet machine."""
        return any(row.disturbed(*row.engines) for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """As plain values; times in seconds, every run of every turn."""
        content = asdict(self)
        for row in content["rows"]:
            for engine in row["engines"].values():
                if engine["difference"] is not None and not math.isfinite(engine["difference"]):
                    # JSON has no infinity.
                    engine["difference"] = str(engine["difference"])
        return content

    @staticmethod
    def from_json(content: dict[str, Any]) -> WorkloadResult:
        """Read what ``as_json`` gave."""
        return WorkloadResult(
            content["name"],
            content["title"],
            {name: tuple(shape) for name, shape in content["shapes"].items()},
            [_row(row) for row in content["rows"]],
            {name: Form(**form) for name, form in content["forms"].items()},
            {name: Memory(**memory) for name, memory in content["memory"].items()},
            content["failure"],
            content["complete"],
        )


@dataclass(frozen=True)
class SuiteResult:
    """All workloads that were measured, in the suite's order."""

    workloads: list[WorkloadResult]
    settings: dict[str, Any]
    machine: dict[str, str]
    asked: int
    interrupted: bool

    def rows(self) -> Iterable[tuple[WorkloadResult, Row]]:
        """Every row with its workload, by threads and then in the suite's order."""
        for threads in sorted({row.threads for workload in self.workloads for row in workload.rows}):
            for workload in self.workloads:
                for row in workload.rows:
                    if row.threads == threads:
                        yield workload, row

    def as_json(self) -> dict[str, Any]:
        """Everything, raw samples too."""
        return {
            "machine": self.machine,
            "settings": self.settings,
            "asked": self.asked,
            "interrupted": self.interrupted,
            "summary": [
                {
                    "model": workload.name,
                    "threads": row.threads,
                    "median_ms": {
                        name: None if result.median is None else result.median * 1e3
                        for name, result in row.engines.items()
                    },
                    "disturbed": [name for name, result in row.engines.items() if result.disturbed],
                    "ours_over": {peer: row.ratio(OURS, peer) for peer in PEERS if peer in row.engines},
                    "best_peer": row.best_peer(),
                    "ours_over_best": row.ratio(OURS, row.best_peer() or ""),
                }
                for workload, row in self.rows()
            ],
            "workloads": [workload.as_json() for workload in self.workloads],
        }


class Ratios:
    """Ratios of a column or a panel: their mean, and whether one of them was disturbed."""

    def __init__(self) -> None:
        self._values: list[float] = []
        self.disturbed = False

    def add(self, ratio: float | None, disturbed: bool) -> None:
        """Add one; None is no ratio."""
        if ratio is not None:
            self._values.append(ratio)
            self.disturbed |= disturbed

    @property
    def mean(self) -> float | None:
        """Their geometric mean; None of none."""
        return geometric_mean(self._values)


def geometric_mean(ratios: Sequence[float]) -> float | None:
    """The mean for ratios; None of none."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def _row(content: dict[str, Any]) -> Row:
    return Row(
        content["threads"],
        {name: _engine(engine) for name, engine in content["engines"].items()},
        content["reference"],
    )


def _engine(content: dict[str, Any]) -> EngineResult:
    difference = content["difference"]
    return EngineResult(
        **{
            **content,
            "rounds": tuple(tuple(times) for times in content["rounds"]),
            "difference": None if difference is None else float(difference),
        }
    )
