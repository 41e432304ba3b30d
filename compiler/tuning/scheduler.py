"""Which kernel of a model gets the next trials."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from paddle_tvm.compiler.tuning.search import KernelSearch
from paddle_tvm.compiler.tuning.task import Task

# A kernel that reaches so much of the machine's peak has nothing to gain.
_LIMIT = 0.95
# What a form may gain where the peak does not tell: a share of the best one's time.
_HEADROOM = 0.3
# Measured on convolutions: a batch gains a fifth of what the one before it gained, and a search that has made
# no trials yet gains about a third of what the peak leaves; this decays over so many trials.
_BATCH, _DECAY, _HOPE = 16, 0.2, 0.3
# Less of the model's time than this is not worth a batch.
_LEAST_GAIN = 5e-5


class TaskScheduler:
    """Gives trials to the task from which the whole model has the most to gain.

    It depends on the tasks' trials alone, so a run that goes on from a log gives them as an undisturbed one.

    Parameters
    ----------
    tasks
        The tasks; their trials are looked up at each turn.
    searches
        The search of each.
    peak_gflops
        What the machine reaches at most with the threads that trials have; None where not known.
    """

    def __init__(
        self, tasks: Sequence[Task], searches: Sequence[KernelSearch], peak_gflops: float | None = None
    ) -> None:
        self._tasks = tasks
        self._searches = searches
        self._peak = peak_gflops

    def next(self) -> int | None:
        """The number of the task that is to have the next trials; None where nothing promises a gain.

        Tasks whose default form was not tried come first, those of the largest share before others: the
        default's time tells what there is to gain.
        """
        numbers = range(len(self._tasks))
        untried = [
            number
            for number in numbers
            if not self._tasks[number].default_tried and not self._searches[number].converged
        ]
        if untried:
            return max(untried, key=lambda number: self._tasks[number].share)
        gains = {number: self.expected_gain(number) for number in numbers}
        best = max(gains, key=lambda number: gains[number], default=None)
        return best if best is not None and gains[best] >= _LEAST_GAIN else None

    def expected_gain(self, number: int) -> float:
        """What a batch of a task takes off the model's time, as a share of it.

        0 where the default form did not run, where the machine's limit is reached, and where the search has
        converged.
        """
        task = self._tasks[number]
        if task.default is None or self.at_limit(number) or self._searches[number].converged:
            return 0.0
        headroom = self._headroom(task)
        trials = len(task.outcomes)
        hope = _HOPE * headroom * exp(-trials / _BATCH)
        before = min((outcome.median for outcome in task.outcomes[:-_BATCH]), default=task.default)
        gained = max(0.0, min(before, task.default) - task.best) / task.default
        return task.share * min(headroom, max(hope, _DECAY * gained))

    def at_limit(self, number: int) -> bool:
        """Whether a task's best form does all that the machine can."""
        reached = self._reached(self._tasks[number])
        return reached is not None and reached >= _LIMIT

    def _headroom(self, task: Task) -> float:
        """The share of the default's time that the best form may still lose."""
        assert task.default is not None
        left, reached = task.best / task.default, self._reached(task)
        return left * (_HEADROOM if reached is None else max(0.0, 1 - reached))

    def _reached(self, task: Task) -> float | None:
        """The part of the peak that the best form would reach if no other needed fewer operations."""
        flops = task.workload.least_flops()
        return None if self._peak is None or flops is None else flops / task.best / 1e9 / self._peak
