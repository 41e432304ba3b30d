"""Remembers a tuning run, for its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.task import Comparison, GraphTrial, Start, Task, TuningListener


@dataclass(frozen=True)
class Moment:
    """The latency of a run that was to be expected after a trial, and when that was."""

    elapsed: float
    expected: float


class History:
    """Listens to a run.

    Attributes
    ----------
    tasks
        Empty before the search begins.
    kept
        Of each task how many of its trials an earlier run has made.
    model_seconds
        Latency of a run in default forms.
    peak_gflops
        The machine's peak.
    moments
        One for each trial that changed what is to be expected, and one for the last trial.
    """

    def __init__(self) -> None:
        self.tasks: Sequence[Task] = ()
        self.kept: Sequence[int] = ()
        self.model_seconds = 0.0
        self.peak_gflops = 0.0
        self.moments: list[Moment] = []
        self.comparisons: list[Comparison] = []
        self.graph_trials: list[GraphTrial] = []
        self.notes: list[str] = []

    @property
    def trials(self) -> int:
        """Trials of this run."""
        return sum(len(task.outcomes) for task in self.tasks) - sum(self.kept)

    def stage(self, name: str, steps: int = 0) -> None:
        pass

    def begin(self, start: Start) -> None:
        self.tasks = tuple(start.tasks)
        self.kept = tuple(len(task.outcomes) for task in start.tasks)
        self.model_seconds, self.peak_gflops = start.model_seconds, start.peak_gflops

    def trial(self, task: Task, outcome: Outcome, expected_seconds: float, elapsed: float) -> None:
        # The last moment goes on until something changes.
        if [moment.expected for moment in self.moments[-2:]] == [expected_seconds] * 2:
            self.moments.pop()
        self.moments.append(Moment(elapsed, expected_seconds))

    def compared(self, comparison: Comparison) -> None:
        self.comparisons.append(comparison)

    def graph_trial(self, trial: GraphTrial) -> None:
        self.graph_trials.append(trial)

    def graph_failure(self, text: str) -> None:
        self.notes.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)


class Both:
    """Tells two listeners, one after the other."""

    def __init__(self, first: TuningListener, second: TuningListener) -> None:
        self._listeners = (first, second)

    def stage(self, name: str, steps: int = 0) -> None:
        for listener in self._listeners:
            listener.stage(name, steps)

    def begin(self, start: Start) -> None:
        for listener in self._listeners:
            listener.begin(start)

    def trial(self, task: Task, outcome: Outcome, expected_seconds: float, elapsed: float) -> None:
        for listener in self._listeners:
            listener.trial(task, outcome, expected_seconds, elapsed)

    def compared(self, comparison: Comparison) -> None:
        for listener in self._listeners:
            listener.compared(comparison)

    def graph_trial(self, trial: GraphTrial) -> None:
        for listener in self._listeners:
            listener.graph_trial(trial)

    def graph_failure(self, text: str) -> None:
        for listener in self._listeners:
            listener.graph_failure(text)

    def note(self, text: str) -> None:
        for listener in self._listeners:
            listener.note(text)
