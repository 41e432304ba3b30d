"""Measures who computes the subgraphs that an accelerator takes: that, or our own kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from paddle_tvm.compiler.tuning.budget import Budget
from paddle_tvm.compiler.tuning.choices import TunedChoices
from paddle_tvm.compiler.tuning.graph_search import alternatives, search_graph
from paddle_tvm.compiler.tuning.known_trials import known_trials
from paddle_tvm.compiler.tuning.log import LogWriter
from paddle_tvm.compiler.tuning.model_run import ModelRun
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.records import Header
from paddle_tvm.compiler.tuning.task import GraphTrial, TuningListener
from paddle_tvm.runtime.wording import counted
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.offload import JointOffloading, Offloading
from paddle_tvm.targets.workload import Config, Workload


def decide_offloading(
    run: ModelRun,
    log: Path,
    header: Header,
    offered: Sequence[Offloading],
    target: Target,
    threads: Sequence[int],
    writer: LogWriter,
    listener: TuningListener,
    budget: Budget,
) -> list[GraphTrial]:
    """Measure whether our own kernels are faster than an accelerator: subgraph by subgraph, then the rest.

    What remains with the accelerator is tried together at the end: subgraphs side by side may gain only when
    all of them move, as no tensor changes hands between them then.

    Parameters
    ----------
    run, threads, writer, listener, budget
        As in ``search_graph``.
    log
        Has what was tried, and the winners.
    header
        Of this run: what was tried under another one counts as untried.
    offered
        The subgraphs that the accelerator can compute.
    target
        What the model is compiled for.

    Returns
    -------
    list
        The trials.
    """
    known, _ = known_trials(log, header)
    trials: list[GraphTrial] = []
    if alone := alternatives(offered, [], known, run.shapes):
        listener.stage("try who computes each subgraph", len(alone))
        what = f"{counted(len(alone), 'subgraph')} with our kernels"
        trials += search_graph(run, log, alone, threads, writer, listener, budget, what)
        known, _ = known_trials(log, header)
    tried = {workload: outcomes for (workload, shapes), outcomes in known.items() if shapes == run.shapes}
    remaining = _remaining(offered, left_to_kernels(offered, target, log, threads[0]), tried)
    if remaining and (joint := alternatives([JointOffloading.of(remaining)], [], known, run.shapes)):
        listener.stage("try all remaining subgraphs together", len(joint))
        what = f"1 trial of {counted(len(remaining), 'remaining subgraph')} with our kernels"
        trials += search_graph(run, log, joint, threads, writer, listener, budget, what)
    return trials


def left_to_kernels(
    offered: Sequence[Offloading], target: Target, log: Path, threads: int
) -> Mapping[str, Config]:
    """The subgraphs that our own kernels compute, by the log, as forms that are given."""
    choices = TunedChoices(target, (log,), (), threads)
    forms = {workload.key: choices.of(workload).config for workload in offered}
    return {key: config for key, config in forms.items() if not config["taken"]}


def _remaining(
    offered: Sequence[Offloading], moved: Mapping[str, Config], known: Mapping[Workload, Sequence[Outcome]]
) -> list[Offloading]:
    """The subgraphs to be tried together; none where that was tried, or where it is too early.

    What our kernels cannot compute stays with the accelerator, and is none of them.
    """
    if any(workload not in known for workload in offered):
        # There was no budget for it alone.
        return []
    possible = [
        workload
        for workload in sorted(offered, key=lambda workload: workload.key)
        if any(outcome.seconds for outcome in known[workload])
    ]
    remaining = [workload for workload in possible if workload.key not in moved]
    # Alone and tried last, it was tried with all others as they are now.
    return [] if remaining == possible[-1:] else remaining
