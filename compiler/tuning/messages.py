"""What a tuner and the process that measures for it tell each other."""

from __future__ import annotations

from dataclasses import dataclass

from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.workload import Config


@dataclass(frozen=True)
class Machines:
    """Where forms are timed: machines that a TVM tracker knows by a key.

    ``wait_s`` is how long to wait for one that is free.
    """

    host: str
    port: int
    key: str
    wait_s: float


@dataclass(frozen=True)
class Gpu:
    """The GPU that times, by CUDA's number.

    ``artifact`` is the model, compiled for it, which brings the libraries; ``folder`` is for files that the
    processes of a measurement pass on, and it is deleted by whom it belongs to.
    """

    number: int
    artifact: str
    folder: str


@dataclass(frozen=True)
class Setup:
    """How to measure; see ``measure.Measurer``.

    ``launcher`` is the file of the compiled launcher; ``machines`` is None where this one times, and ``gpu``
    where its CPU does.
    """

    target: Target
    threads: int
    seed: int
    build_jobs: int
    build_limit_s: float
    run_limit_s: float
    memory_limit_bytes: int
    launcher: int
    machines: Machines | None = None
    gpu: Gpu | None = None


@dataclass(frozen=True)
class MeasureRequest:
    """Measure forms.

    ``kernel`` is pickled; ``configs`` have the numbers that answers name them by; ``at_once`` is how many
    machines time, where others than this one do.
    """

    kernel: bytes
    configs: dict[int, Config]
    at_once: int = 1


@dataclass(frozen=True)
class CompareRequest:
    """Time forms in turns, at each number of threads."""

    kernel: bytes
    configs: dict[int, Config]
    threads: tuple[int, ...]
    rounds: int


@dataclass(frozen=True)
class Answer:
    """What came of a form at a number of threads."""

    number: int
    threads: int
    outcome: Outcome
