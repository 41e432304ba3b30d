"""Measures who computes each subgraph that an accelerator takes: that, or our own kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic

from paddle_tvm.compiler.tuning.choices import TunedChoices
from paddle_tvm.compiler.tuning.graph_search import Alternative, search_graph
from paddle_tvm.compiler.tuning.log import LogWriter
from paddle_tvm.compiler.tuning.model_run import ModelRun
from paddle_tvm.compiler.tuning.task import GraphTrial, TuningListener
from paddle_tvm.runtime.wording import counted
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.offload import Offloading
from paddle_tvm.targets.workload import Config

# Timing two artifacts in turns, about, with one number of threads and with another.
_TIMING_SECONDS = 10.0


class Budget:
    """Says before each trial whether it fits into what is left of a run's budget.

    Parameters
    ----------
    end
        When the budget ends, by ``time.monotonic``; None: never.
    trials
        How many trials there may be; None: any number.
    seconds
        How long the first one will take, about; the others take as long as the one before them.
    """

    def __init__(self, end: float | None, trials: int | None, seconds: float) -> None:
        self._end = end
        self._trials = trials
        self._seconds = seconds
        self._begun: float | None = None
        self.made = 0
        """Trials that were let begin."""

    def take(self) -> bool:
        """Count a trial, if it fits."""
        now = monotonic()
        if self._begun is not None:
            self._seconds = now - self._begun
        fits = self._end is None or now + self._seconds <= self._end
        if not fits or self._trials == self.made:
            return False
        self._begun = now
        self.made += 1
        return True


def decide_offloading(
    run: ModelRun,
    log: Path,
    tried: Sequence[Alternative],
    threads: Sequence[int],
    writer: LogWriter,
    listener: TuningListener,
    budget: Budget,
) -> list[GraphTrial]:
    """Measure whether our own kernels are faster than an accelerator, for each of its subgraphs.

    See ``search_graph`` for the parameters. What the budget leaves no time for is told.
    """
    if not tried:
        return []
    listener.stage("try who computes each subgraph", len(tried))
    decided = search_graph(run, log, tried, threads, writer, listener, budget.take)
    left = len(tried) - budget.made
    if left:
        listener.note(
            f"the budget leaves no time to try {left} of {counted(len(tried), 'subgraph')} with our kernels: "
            "nothing changes there; the same command with a larger budget goes on"
        )
    return decided


def first_trial_seconds(compile_seconds: float) -> float:
    """How long the first trial takes, about: two compilations like one that was timed, and the timing."""
    return 2 * compile_seconds + _TIMING_SECONDS


def left_to_kernels(
    offered: Sequence[Offloading], target: Target, log: Path, threads: int
) -> Mapping[str, Config]:
    """The subgraphs that our own kernels compute, by the log, as forms that are given."""
    choices = TunedChoices(target, (log,), (), threads)
    forms = {workload.key: choices.of(workload).config for workload in offered}
    return {key: config for key, config in forms.items() if not config["taken"]}
