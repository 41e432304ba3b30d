"""Tries the choices above kernels: each with the whole model, in turns with the best one so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from time import monotonic

from paddle_tvm.compiler.tuning.budget import Budget
from paddle_tvm.compiler.tuning.finalists import WORSE
from paddle_tvm.compiler.tuning.known_trials import Known
from paddle_tvm.compiler.tuning.log import LogWriter
from paddle_tvm.compiler.tuning.model_run import ModelRun
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.records import Record, Trial, Winner
from paddle_tvm.compiler.tuning.task import GraphTrial, Task, TuningListener
from paddle_tvm.runtime.errors import PaddleTvmError
from paddle_tvm.runtime.wording import counted
from paddle_tvm.targets.offload import Offloading
from paddle_tvm.targets.workload import Config, GraphWorkload, Shapes
from paddle_tvm.targets.x86.graph_workloads import Epilogue

# A kernel that takes less of a run does not gain by what is fused with it.
_LEAST_SHARE = 0.04
# A choice wins where the whole model is faster by this.
_GAIN = 1.02
# Timing two artifacts in turns with one number of threads, about.
_TIMING_SECONDS = 9.0

Alternative = tuple[GraphWorkload, Config]


def alternatives(
    workloads: Sequence[GraphWorkload], tasks: Sequence[Task], known: Known, shapes: Shapes
) -> list[Alternative]:
    """What a model could have other than the default and was not tried: epilogues of long kernels last.

    First comes who computes what, on which all else depends. ``shapes`` are those that the model is measured
    with, as ``ModelRun`` has them.
    """
    share = {task.workload.key: task.share for task in tasks}

    def rank(workload: GraphWorkload) -> float:
        if isinstance(workload, Offloading):
            return -2.0
        return -share.get(workload.kernel, 0.0) if isinstance(workload, Epilogue) else -1.0

    worth = [workload for workload in workloads if rank(workload) <= -_LEAST_SHARE]
    return [
        (workload, config)
        for workload in sorted(worth, key=lambda workload: (rank(workload), workload.key))
        for config in workload.candidates()
        if config != workload.default()
        and all(outcome.config != config for outcome in known.get((workload, shapes), ()))
    ]


def first_trial_seconds(run: ModelRun, threads: Sequence[int]) -> float:
    """How long the first trial takes, about: two compilations like that of the default, and the timing.

    With all of ``threads``, though a choice that does not win is timed with the first of them alone.
    """
    return 2 * run.compile_seconds + len(threads) * _TIMING_SECONDS


def search_graph(
    run: ModelRun,
    log: Path,
    tried: Sequence[Alternative],
    threads: Sequence[int],
    writer: LogWriter,
    listener: TuningListener,
    budget: Budget,
    what: str,
) -> list[GraphTrial]:
    """Try alternatives, keeping what makes the model faster; all is written to the log.

    Parameters
    ----------
    run
        The model.
    log
        Has the winners among kernels.
    tried
        What to try, in this order.
    threads
        The numbers of threads to time with; the first decides.
    writer, listener
        Are told of every trial.
    budget
        Trials are begun as long as they fit into it; of others ``listener`` gets a note.
    what
        Names what is tried, and how many there are, for that note.

    Returns
    -------
    list
        The trials.
    """
    fixed: dict[GraphWorkload, Config] = {}
    best: Path | None = None
    trials: list[GraphTrial] = []
    expected, begun = first_trial_seconds(run, threads), 0.0
    for number, (workload, config) in enumerate(tried):
        # The others take as long as the one before them.
        expected = monotonic() - begun if number else expected
        begun = monotonic()
        if not budget.take(expected):
            listener.note(budget.left_out(len(tried) - number, what))
            break
        if best is None:
            best, _ = run.compile("best.pdtvm", log, {})
        chosen = workload.stands_for(config)
        try:
            artifact, _ = run.compile(f"graph{number}.pdtvm", log, {**fixed, **chosen})
            before, after = _time(run, best, artifact, threads)
        except (PaddleTvmError, RuntimeError) as error:
            # What cannot be compiled or run is no choice; that it was tried is on record.
            outcome = Outcome(config, "error", detail=f"{type(error).__name__}: {error}"[:300])
            writer.append([Trial(workload, outcome, run.shapes)])
            listener.graph_failure(f"{workload.operator} {dict(config)}: {outcome.detail}")
            continue
        trial = GraphTrial(workload, config, after, before, _rejection(before, after))
        outcome = Outcome(config, "ok", (after[threads[0]],))
        records: list[Record] = [Trial(workload, outcome, run.shapes)]
        if trial.won:
            records += [
                Winner(one, form, after, one.default(), before, run.shapes) for one, form in chosen.items()
            ]
        # At once: what was tried is not tried again, so a kill must not part it from what it won.
        writer.append(records)
        trials.append(trial)
        listener.graph_trial(trial)
        if trial.won:
            fixed |= chosen
            best, artifact = artifact, best
        # It may be large.
        rmtree(artifact)
    return trials


def _time(
    run: ModelRun, best: Path, artifact: Path, threads: Sequence[int]
) -> tuple[dict[int, float], dict[int, float]]:
    """Seconds of a run before and after, by threads; with fewer threads only where it may win."""
    before: dict[int, float] = {}
    after: dict[int, float] = {}
    for count in threads:
        seconds = run.time({"best": best, "other": artifact}, count)
        before[count], after[count] = seconds["best"], seconds["other"]
        if before[count] < _GAIN * after[count] and count == threads[0]:
            break
    return before, after


def _rejection(before: Mapping[int, float], after: Mapping[int, float]) -> str | None:
    """Why a choice is not kept; None where it is. The first number of threads is the one that decides."""
    first = next(iter(after))
    if before[first] < _GAIN * after[first]:
        return (
            "it is slower"
            if before[first] < after[first]
            else f"it gains less than {100 * (_GAIN - 1):.0f} %"
        )
    for count in after:
        if after[count] > WORSE * before[count]:
            milliseconds = " -> ".join(f"{1e3 * of[count]:.4g}" for of in (before, after))
            return f"it is slower with {counted(count, 'thread')}: {milliseconds} ms"
    return None
