"""Measures who computes each subgraph that an accelerator takes: that, or our own kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from paddle_tvm.compiler.tuning.budget import Budget
from paddle_tvm.compiler.tuning.choices import TunedChoices
from paddle_tvm.compiler.tuning.graph_search import Alternative, search_graph
from paddle_tvm.compiler.tuning.log import LogWriter
from paddle_tvm.compiler.tuning.model_run import ModelRun
from paddle_tvm.compiler.tuning.task import GraphTrial, TuningListener
from paddle_tvm.runtime.wording import counted
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.offload import Offloading
from paddle_tvm.targets.workload import Config


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

    See ``search_graph`` for the parameters.
    """
    if not tried:
        return []
    listener.stage("try who computes each subgraph", len(tried))
    what = f"{counted(len(tried), 'subgraph')} with our kernels"
    return search_graph(run, log, tried, threads, writer, listener, budget, what)


def left_to_kernels(
    offered: Sequence[Offloading], target: Target, log: Path, threads: int
) -> Mapping[str, Config]:
    """The subgraphs that our own kernels compute, by the log, as forms that are given."""
    choices = TunedChoices(target, (log,), (), threads)
    forms = {workload.key: choices.of(workload).config for workload in offered}
    return {key: config for key, config in forms.items() if not config["taken"]}
