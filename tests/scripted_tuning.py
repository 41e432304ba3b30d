"""A tuning run of which every event is known, for the tests of what shows it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from paddle_tvm.compiler.tuning.kernel import TunableKernel
from paddle_tvm.compiler.tuning.outcome import Outcome, Status
from paddle_tvm.compiler.tuning.task import Comparison, GraphTrial, Start, Task, TuningListener
from paddle_tvm.targets.workload import Config
from paddle_tvm.targets.x86.conv2d_workload import Conv2d
from paddle_tvm.targets.x86.depthwise_workload import Depthwise
from paddle_tvm.targets.x86.graph_workloads import BlockWidth, Epilogue
from paddle_tvm.targets.x86.matmul_workload import MatMul

MODEL_SECONDS = 20e-3
PEAK_GFLOPS = 200.0

SQUARE = ((1, 1), (1, 1), (1, 1, 1, 1))
CONV = Conv2d(1, 56, 56, 64, 64, (3, 3), *SQUARE, 1, 16, 16)
STRIDED = Conv2d(1, 56, 56, 256, 512, (1, 1), (2, 2), (1, 1), (0, 0, 0, 0), 1, 16, 16)
DEPTHWISE = Depthwise(1, 112, 112, 32, (3, 3), *SQUARE, 16)
DYNAMIC = MatMul(1, None, 768, 3072, 16)


def task(workload: Any, share: float, calls: int = 1) -> Task:
    """A task that takes a share of a run, with no more of a kernel than its shapes."""
    seconds = share * MODEL_SECONDS
    kernel = cast("TunableKernel", SimpleNamespace(shapes=()))
    return Task(workload, kernel, (f"fused_{workload.operator}",), calls, seconds, share)


def tasks() -> list[Task]:
    return [task(CONV, 0.5, 5), task(STRIDED, 0.2), task(DYNAMIC, 0.15, 3), task(DEPTHWISE, 0.05)]


def default_of(task: Task) -> Outcome:
    seconds = task.seconds / task.calls
    return Outcome(task.workload.default(), "ok", (seconds, seconds, seconds))


def outcome(task: Task, gain: float, number: int = 0) -> Outcome:
    """A form that is ``gain`` times as fast as the default."""
    seconds = task.seconds / task.calls / gain
    return Outcome(_other(task, number), "ok", (seconds, seconds, seconds))


def failure(task: Task, status: Status, detail: str, number: int = 0) -> Outcome:
    return Outcome(_other(task, number), status, (), detail)


class Script:
    """Tells a listener of a run, event by event, as the tuner does."""

    def __init__(self, listener: TuningListener, tasks: list[Task], threads: int = 2) -> None:
        self.listener = listener
        self.threads = threads
        self.tasks = tasks
        self.elapsed = 10.0
        self._best = {id(one): one.seconds for one in tasks}

    def begin(self, seconds: float | None = 100.0, trials: int | None = None) -> None:
        for stage in ("import", "profile"):
            self.listener.stage(stage)
        self.listener.begin(Start(self.tasks, MODEL_SECONDS, PEAK_GFLOPS, seconds, trials, self.elapsed))

    def trial(self, task: Task, outcome: Outcome, after: float = 0.1) -> None:
        self.elapsed += after
        task.add(outcome)
        self._best[id(task)] = min(self._best[id(task)], outcome.median * task.calls)
        saved = sum(one.seconds - self._best[id(one)] for one in self.tasks)
        self.listener.trial(task, outcome, MODEL_SECONDS - saved, self.elapsed)

    def defaults(self) -> None:
        for one in self.tasks:
            self.trial(one, default_of(one))

    def compare(self, task: Task, gain: float) -> Comparison:
        """The task's finalist, at all threads and at one; with a gain of 1 the default stays."""
        best = default_of(task) if gain == 1 else outcome(task, gain)
        now, before = ({1: 2 * one.median} | {self.threads: one.median} for one in (best, default_of(task)))
        comparison = Comparison(task, best, now, before)
        self.listener.compared(comparison)
        return comparison

    def whole(self) -> list[Comparison]:
        """A whole run: one task becomes twice as fast, two stay, one is not tried after its default."""
        first, second, third, last = self.tasks
        self.begin()
        self.defaults()
        self.trial(first, outcome(first, 2.0))
        self.trial(first, failure(first, "crash", "SIGSEGV", 1))
        self.trial(second, failure(second, "wrong", "largest error <0.5>", 1))
        self.trial(third, outcome(third, 0.8), after=20.0)
        self.listener.note("the process that measures was started again")
        self.listener.stage("compare", len(self.tasks))
        compared = [self.compare(first, 2.0), *(self.compare(one, 1) for one in (second, third, last))]
        self.listener.stage("try other layouts and fusions", 2)
        for workload, config, seconds in (
            (BlockWidth("a graph", 24, 16), {"lanes": 8}, 0.8),
            (Epilogue("a graph", CONV.key), {"fused": 0}, 1.1),
        ):
            after = {self.threads: seconds * MODEL_SECONDS}
            before = {self.threads: MODEL_SECONDS}
            rejected = None if seconds < 1 else "it is slower"
            self.listener.graph_trial(GraphTrial(workload, config, after, before, rejected))
        self.listener.stage("compile with the log")
        return compared


def _other(task: Task, number: int) -> Config:
    forms = [form for form in task.workload.candidates() if form != task.workload.default()]
    return forms[number]
