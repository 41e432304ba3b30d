"""Where a tuning run stands: what a person who watches it wants to know, kept up to date event by event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.task import Comparison, Task
from paddle_tvm.compiler.tuning.workload_names import name_workload
from paddle_tvm.targets.workload import Config


def is_better(comparison: Comparison) -> bool:
    """Whether something else than the default has won."""
    return dict(comparison.winner.config) != dict(comparison.task.workload.default())


@dataclass
class Standing:
    """A task and its numbers, which ``Task`` itself would find anew in all its trials for each drawing."""

    task: Task
    name: str = ""
    trials: int = 0
    failed: int = 0
    best: float = float("inf")
    default: float | None = None
    state: str = "waiting"
    _default_form: Config = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = name_workload(self.task.workload)
        self._default_form = dict(self.task.workload.default())
        self.add(self.task.outcomes)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.seconds and dict(outcome.config) == self._default_form:
                self.default = outcome.median
            self.trials += 1
            self.failed += outcome.status != "ok"
            self.best = min(self.best, outcome.median)
            self.state = "searched"

    @property
    def gain(self) -> float | None:
        """The default's time over the best one's; None where one is not known."""
        return None if self.default is None or self.best == float("inf") else self.default / self.best

    @property
    def gflops(self) -> float | None:
        flops = self.task.workload.flops()
        return None if flops is None or self.best == float("inf") else flops / self.best / 1e9

    @property
    def seconds(self) -> float:
        """What the task takes of a run with its best form."""
        return self.task.seconds / (self.gain or 1.0)


@dataclass
class Standings:
    """All tasks, and the run.

    Attributes
    ----------
    model_seconds
        Latency of a run in default forms.
    expected
        Latency of a run that is to be expected now.
    peak_gflops
        The machine's peak; 0 where it is not known.
    elapsed
        Seconds since the tuning run began, at the last event.
    trials, failed
        Of this run alone; those of tasks are of earlier runs too.
    """

    tasks: Sequence[Standing]
    model_seconds: float
    peak_gflops: float
    budget_seconds: float | None
    budget_trials: int | None
    expected: float = 0.0
    elapsed: float = 0.0
    trials: int = 0
    failed: int = 0
    current: Standing | None = None
    _first: float = 0.0
    _by_task: dict[int, Standing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # An earlier run may have gained something already.
        gained = sum(standing.task.seconds - standing.seconds for standing in self.tasks)
        self.expected = self.model_seconds - gained
        self._by_task = {id(standing.task): standing for standing in self.tasks}

    def trial(self, task: Task, outcome: Outcome, expected: float, elapsed: float) -> Standing:
        """Take in a trial."""
        self._first = elapsed if self.trials == 0 else self._first
        self.trials += 1
        self.failed += outcome.status != "ok"
        self.expected, self.elapsed = expected, elapsed
        standing = self._by_task[id(task)]
        standing.add([outcome])
        if self.current is not None and self.current is not standing:
            self.current.state = "searched"
        self.current = standing
        standing.state = "searching"
        return standing

    def searched(self) -> None:
        """The search is over."""
        if self.current is not None:
            self.current.state = "searched"
            self.current = None

    def compared(self, comparison: Comparison) -> Standing:
        """Take in a comparison."""
        standing = self._by_task[id(comparison.task)]
        standing.state = "tuned" if is_better(comparison) else "default"
        return standing

    def by_weight(self) -> list[Standing]:
        """The tasks, that which takes the most of a run now first."""
        return sorted(self.tasks, key=lambda standing: -standing.seconds)

    def share(self, standing: Standing) -> float:
        """What part of the expected run a task takes."""
        return standing.seconds / self.expected if self.expected else 0.0

    def of_peak(self, standing: Standing) -> float | None:
        gflops = standing.gflops
        return None if gflops is None or not self.peak_gflops else gflops / self.peak_gflops

    @property
    def gain(self) -> float:
        """How many times as fast a run is expected to be."""
        return self.model_seconds / self.expected if self.expected else 1.0

    @property
    def rate(self) -> float | None:
        """Trials a second; None before there are two."""
        span = self.elapsed - self._first
        return (self.trials - 1) / span if self.trials > 1 and span > 0 else None

    @property
    def done(self) -> float | None:
        """The part of the budget that is used up; None where there is no budget."""
        parts = []
        if self.budget_seconds is not None:
            parts.append(self.elapsed / self.budget_seconds if self.budget_seconds else 1.0)
        if self.budget_trials is not None:
            parts.append(self.trials / self.budget_trials if self.budget_trials else 1.0)
        return min(max(parts), 1.0) if parts else None

    @property
    def left(self) -> float | None:
        """Seconds until the budget is used up, at most; None where that is not known."""
        times = []
        if self.budget_seconds is not None:
            times.append(self.budget_seconds - self.elapsed)
        if self.budget_trials is not None and self.rate:
            times.append((self.budget_trials - self.trials) / self.rate)
        return max(min(times), 0.0) if times else None
