"""What a tuning run works on, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Protocol

from paddle_tvm.compiler.tuning.kernel import TunableKernel
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.records import Elsewhere
from paddle_tvm.targets.workload import Config, GraphWorkload, Workload


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
    trials
        Of earlier runs; ``add`` takes those that follow.
    profiled_flops
        Operations of a call by the profile, with what is fused, for a workload whose own are not known.
    elsewhere
        The kernel at other sizes, where the workload's are not known: what wins must do there, too.
    outcomes, failed
        Every trial, in order, and how many failed.
    default, default_tried
        Seconds of a call in the default form, None until measured, and whether that was tried.
    best
        Seconds of a call in the best form so far; infinite before the first.

    The last five are kept up to date, because all tasks are looked at between trials.
    """

    workload: Workload
    kernel: TunableKernel
    names: tuple[str, ...]
    calls: int
    seconds: float
    share: float
    trials: InitVar[Iterable[Outcome]] = ()
    profiled_flops: int | None = None
    elsewhere: tuple[TunableKernel, ...] = ()
    outcomes: list[Outcome] = field(init=False, default_factory=list)
    failed: int = field(init=False, default=0)
    default_tried: bool = field(init=False, default=False)
    default: float | None = field(init=False, default=None)
    best: float = field(init=False, default=float("inf"))

    def __post_init__(self, trials: Iterable[Outcome]) -> None:
        self._default_form = dict(self.workload.default())
        for outcome in trials:
            self.add(outcome)

    def add(self, outcome: Outcome) -> None:
        """Take note of a trial."""
        self.outcomes.append(outcome)
        self.failed += outcome.status != "ok"
        self.best = min(self.best, outcome.median)
        if dict(outcome.config) == self._default_form:
            self.default_tried = True
            if outcome.seconds:
                self.default = outcome.median

    @property
    def gain(self) -> float | None:
        """The default's time over the best one's; None where one is not known."""
        return None if self.default is None or self.best == float("inf") else self.default / self.best

    @property
    def best_seconds(self) -> float:
        """What it takes of a run with its best form, as far as is known."""
        return self.seconds / (self.gain or 1.0)

    @property
    def flops(self) -> int | None:
        """Floating-point operations of a call, whatever the form; None where not known."""
        known = self.workload.flops()
        return self.profiled_flops if known is None else known

    @property
    def gflops(self) -> float | None:
        """What the best form reaches, in thousand million operations a second."""
        return None if self.flops is None or self.best == float("inf") else self.flops / self.best / 1e9


@dataclass(frozen=True)
class Comparison:
    """The finalist of a task against the default, timed in turns: seconds of a call, by number of threads.

    ``elsewhere`` has the same for other sizes, where the workload's are not known. ``rejected`` says of a
    form that was faster in the first of these places why it has not won; None where none was.
    """

    task: Task
    winner: Outcome
    seconds: dict[int, float]
    default: dict[int, float]
    elsewhere: tuple[Elsewhere, ...] = ()
    rejected: str | None = None

    @property
    def is_better(self) -> bool:
        """Whether something else than the default has won."""
        return dict(self.winner.config) != dict(self.task.workload.default())

    def gains_elsewhere(self, threads: int) -> list[float]:
        """How many times as fast as the default it is at the other sizes."""
        return [place.default[threads] / place.seconds[threads] for place in self.elsewhere]


@dataclass(frozen=True)
class GraphTrial:
    """A choice above kernels, and the whole model with it and before: seconds of a run, by threads.

    ``rejected`` says why it was not kept; None where it was.
    """

    workload: GraphWorkload
    config: Config
    seconds: Mapping[int, float]
    default: Mapping[int, float]
    rejected: str | None = None

    @property
    def won(self) -> bool:
        """Whether it was kept."""
        return self.rejected is None


@dataclass(frozen=True)
class Start:
    """What is known when the search begins.

    Attributes
    ----------
    tasks
        What is searched.
    model_seconds
        Latency of a run in default forms.
    peak_gflops
        The machine's peak; 0 where it is not known.
    budget_seconds, budget_trials
        When the search ends, at the latest; None: when nothing promises a gain any more.
    elapsed
        Seconds since the run began, which count in its budget.
    """

    tasks: Sequence[Task]
    model_seconds: float
    peak_gflops: float
    budget_seconds: float | None = None
    budget_trials: int | None = None
    elapsed: float = 0.0


class TuningListener(Protocol):
    """Is told what a tuning run does; every method is called on the tuner's thread."""

    def stage(self, name: str, steps: int = 0) -> None:
        """A stage has begun: compile, profile, search, compare, ...

        ``steps`` is how many comparisons, or trials of choices above kernels, it will tell of; 0 where it has
        no such.
        """

    def begin(self, start: Start) -> None:
        """The search begins."""

    def trial(self, task: Task, outcome: Outcome, expected_seconds: float, elapsed: float) -> None:
        """A form was tried (it is in ``task.outcomes``); the latency of a run that is to be expected now."""

    def compared(self, comparison: Comparison) -> None:
        """A finalist was compared with the default."""

    def graph_trial(self, trial: GraphTrial) -> None:
        """A choice above kernels was tried."""

    def graph_failure(self, text: str) -> None:
        """A choice above kernels could not be compiled or run: which one, and why."""

    def note(self, text: str) -> None:
        """Something that a person should know: bad lines of a log, a measuring server that was restarted."""
