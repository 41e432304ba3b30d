"""Where a tuning run stands: what a person who watches it wants to know, kept up to date event by event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.task import Comparison, Start, Task
from paddle_tvm.compiler.tuning.workload_names import name_workload


class Standing:
    """A task, its name for people, what is being done with it, and how fast it is expected to be.

    That is by its trials until ``settle``; ``settled`` is whether that was called.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.name = name_workload(task.workload)
        self.state = "searched" if task.outcomes else "waiting"
        # Seconds of a call with what has won and with the default; None where nothing was compared.
        self._won: tuple[float, float] | None = None
        self.settled = False

    def settle(self, comparison: Comparison | None) -> None:
        """From now on it is known what has won; None: nothing was compared, so the default stays."""
        self.settled = True
        if comparison is not None:
            threads = next(iter(comparison.seconds))
            self._won = comparison.seconds[threads], comparison.default[threads]
            self.state = "tuned" if comparison.is_better else "default"

    @property
    def gain(self) -> float | None:
        """The default's time over that of the form that it will have; None where it is not known."""
        if self._won is not None:
            return self._won[1] / self._won[0]
        return (1.0 if self.task.default is not None else None) if self.settled else self.task.gain

    @property
    def seconds(self) -> float:
        """What it takes of a run, as far as is known."""
        return self.task.seconds / (self.gain or 1.0)

    @property
    def gflops(self) -> float | None:
        """What the form that it will have reaches, in thousand million operations a second."""
        call = self._won[0] if self._won else self.task.default if self.settled else self.task.best
        flops = self.task.flops
        return None if flops is None or call is None or call == inf else flops / call / 1e9


@dataclass
class Standings:
    """All tasks, and the run.

    Attributes
    ----------
    start
        What was known when the search began.
    expected
        Latency of a run that is to be expected now.
    elapsed
        Seconds since the tuning run began, at the last event.
    trials, failed
        Of this run alone; those of tasks are of earlier runs too.
    """

    start: Start
    tasks: Sequence[Standing] = field(init=False)
    expected: float = 0.0
    elapsed: float = 0.0
    trials: int = 0
    failed: int = 0
    current: Standing | None = None
    _first: float = 0.0
    _by_task: dict[int, Standing] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tasks = [Standing(task) for task in self.start.tasks]
        # An earlier run may have gained something already.
        self._expect()
        self.elapsed = self.start.elapsed
        self._by_task = {id(standing.task): standing for standing in self.tasks}

    def trial(self, task: Task, outcome: Outcome, expected: float, elapsed: float) -> None:
        """Take in a trial."""
        self._first = elapsed if self.trials == 0 else self._first
        self.trials += 1
        self.failed += outcome.status != "ok"
        self.expected, self.elapsed = expected, elapsed
        standing = self._by_task[id(task)]
        if self.current is not None and self.current is not standing:
            self.current.state = "searched"
        self.current = standing
        standing.state = "searching"

    def searched(self) -> None:
        """The search is over."""
        if self.current is not None:
            self.current.state = "searched"
            self.current = None

    def compared(self, comparison: Comparison) -> None:
        """Take in a comparison."""
        self._by_task[id(comparison.task)].settle(comparison)
        self._expect()

    def all_compared(self) -> None:
        """All that will be compared was: tasks of which nothing has won keep their defaults."""
        for standing in self.tasks:
            if not standing.settled:
                standing.settle(None)
        self._expect()

    def _expect(self) -> None:
        gained = sum(standing.task.seconds - standing.seconds for standing in self.tasks)
        self.expected = self.start.model_seconds - gained

    def by_weight(self) -> list[Standing]:
        """The tasks, that which takes the most of a run now first."""
        return sorted(self.tasks, key=lambda standing: -standing.seconds)

    def share(self, standing: Standing) -> float:
        """What part of the expected run a task takes."""
        return standing.seconds / self.expected if self.expected else 0.0

    def of_peak(self, standing: Standing) -> float | None:
        gflops, peak = standing.gflops, self.start.peak_gflops
        return None if gflops is None or not peak else gflops / peak

    @property
    def gain(self) -> float:
        """How many times as fast a run is expected to be."""
        return self.start.model_seconds / self.expected if self.expected else 1.0

    @property
    def rate(self) -> float | None:
        """Trials a second; None before there are two."""
        span = self.elapsed - self._first
        return (self.trials - 1) / span if self.trials > 1 and span > 0 else None

    @property
    def done(self) -> float | None:
        """The part of the budget that is used up; None where there is no budget."""
        parts = []
        if self.start.budget_seconds is not None:
            parts.append(self.elapsed / self.start.budget_seconds if self.start.budget_seconds else 1.0)
        if self.start.budget_trials is not None:
            parts.append(self.trials / self.start.budget_trials if self.start.budget_trials else 1.0)
        return min(max(parts), 1.0) if parts else None

    @property
    def left(self) -> float | None:
        """Seconds until the budget is used up, at most; None where that is not known."""
        times = []
        if self.start.budget_seconds is not None:
            times.append(self.start.budget_seconds - self.elapsed)
        if self.start.budget_trials is not None and self.rate:
            times.append((self.start.budget_trials - self.trials) / self.rate)
        return max(min(times), 0.0) if times else None
