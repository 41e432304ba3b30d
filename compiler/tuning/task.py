"""What a tuning run works on, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from paddle_tvm.compiler.tuning.kernel import TunableKernel
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.targets.workload import Workload


@dataclass
class Task:
    """A workload of a model, and how far its search is.

    Attributes
    ----------
    workload
        The workload.
    kernel
        The kernel to measure: of those that compute the workload the one that takes the most time.
    names
        All kernels of the model that compute it.
    calls
        How often it is computed in a run of the model.
    seconds
        Time of these calls in a run of the model with default forms.
    share
        The same as a share of the run.
    outcomes
        Every trial, of earlier runs too, in order.
    """

    workload: Workload
    kernel: TunableKernel
    names: tuple[str, ...]
    calls: int
    seconds: float
    share: float
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def default(self) -> float | None:
        """Seconds of a call in the default form; None until measured."""
        form = dict(self.workload.default())
        times = [outcome.median for outcome in self.outcomes if outcome.config == form and outcome.seconds]
        return times[-1] if times else None

    @property
    def best(self) -> float:
        """Seconds of a call in the best form so far; infinite before the first."""
        return min((outcome.median for outcome in self.outcomes), default=float("inf"))

    @property
    def gain(self) -> float:
        """The default's time over the best one's; 1 where nothing is known."""
        return self.default / self.best if self.default and self.best < float("inf") else 1.0

    @property
    def gflops(self) -> float | None:
        """What the best form reaches, in thousand million operations a second."""
        flops = self.workload.flops()
        return None if flops is None or self.best == float("inf") else flops / self.best / 1e9


@dataclass(frozen=True)
class Comparison:
    """The finalist of a task against the default, timed in turns: seconds of a call, by number of threads."""

    task: Task
    winner: Outcome
    seconds: dict[int, float]
    default: dict[int, float]


class TuningListener(Protocol):
    """Is told what a tuning run does; every method is called on the tuner's thread."""

    def stage(self, name: str) -> None:
        """A stage has begun: import, compile, profile, measure the peak, search, compare, compile, ..."""

    def begin(
        self,
        tasks: Sequence[Task],
        model_seconds: float,
        peak_gflops: float,
        budget_seconds: float | None,
        budget_trials: int | None,
    ) -> None:
        """The search begins: its tasks, the latency of a run in default forms, the machine's peak."""

    def trial(self, task: Task, outcome: Outcome, expected_seconds: float, elapsed: float) -> None:
        """A form was tried (it is in ``task.outcomes``); the latency of a run that is to be expected now."""

    def compared(self, comparison: Comparison) -> None:
        """A finalist was compared with the default."""

    def note(self, text: str) -> None:
        """Something that a person should know: bad lines of a log, a measuring server that was restarted."""
