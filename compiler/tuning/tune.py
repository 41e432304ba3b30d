"""The road from a model to a log of the best forms of its kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from paddle_tvm.compiler.sample_inputs import Shapes as InputShapes
from paddle_tvm.compiler.staging import scratch_directory
from paddle_tvm.compiler.trial_inputs import format_shapes
from paddle_tvm.compiler.tuning.budget import Budget
from paddle_tvm.compiler.tuning.choices import TunedChoices, shipped_logs
from paddle_tvm.compiler.tuning.finalists import compare_with_defaults
from paddle_tvm.compiler.tuning.gpu_here import NUMBER
from paddle_tvm.compiler.tuning.gpu_tasks import gpu_tasks_of
from paddle_tvm.compiler.tuning.graph_search import alternatives, first_trial_seconds, search_graph
from paddle_tvm.compiler.tuning.kernel_trials import KernelTrials
from paddle_tvm.compiler.tuning.known_trials import known_trials
from paddle_tvm.compiler.tuning.log import LogWriter, Skipped, check_appendable, remove_empty
from paddle_tvm.compiler.tuning.measure import Measurer
from paddle_tvm.compiler.tuning.measured_target import header_for, measured_target
from paddle_tvm.compiler.tuning.messages import Gpu
from paddle_tvm.compiler.tuning.model_run import ModelRun
from paddle_tvm.compiler.tuning.offload_search import decide_offloading, left_to_kernels
from paddle_tvm.compiler.tuning.options import TuneOptions
from paddle_tvm.compiler.tuning.outcome import Status
from paddle_tvm.compiler.tuning.task import Comparison, GraphTrial, Task, TuningListener
from paddle_tvm.compiler.tuning.tasks import kernels_of_model, tasks_of
from paddle_tvm.compiler.tuning.whole_model import WholeModel, slower_threads, time_whole_model
from paddle_tvm.runtime.wording import counted
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.offload import Offloading
from paddle_tvm.targets.workload import Workload

# The most of the time left by the kernels' turn that trials of choices above them get.
_GRAPH_SHARE = 0.3
# After which a form for GPUs is given up: until nvcc has compiled it, and until it has done something.
_NVCC_SECONDS, _GPU_SECONDS = 120.0, 30.0


@dataclass(frozen=True)
class TuneResult:
    """What a run found.

    ``default_seconds`` and ``tuned_seconds`` are latencies of the model, by number of threads, timed in
    turns; empty where the search found nothing, or where other machines measured. Where the model was slower
    with what has won, ``taken_back`` winners are in force no more. ``measured_at`` are the input shapes of
    these runs, where the model leaves dimensions open. ``trials`` and ``failures`` are of this run alone.
    """

    log: Path
    tasks: tuple[Task, ...]
    comparisons: tuple[Comparison, ...]
    graph: tuple[GraphTrial, ...]
    default_seconds: Mapping[int, float]
    tuned_seconds: Mapping[int, float]
    trials: int
    failures: Mapping[Status, int]
    elapsed: float
    skipped: tuple[Skipped, ...]
    taken_back: int = 0
    measured_at: str = ""

    @property
    def slower_with(self) -> tuple[int, ...]:
        """The numbers of threads with which the model as a whole is slower with the log."""
        return slower_threads(self.default_seconds, self.tuned_seconds)


def tune_model(model: str | Path, log: Path, options: TuneOptions, listener: TuningListener) -> TuneResult:
    """Search the forms of a model's kernels, and append what is measured to a log.

    Whatever the log holds of the same kind of machine counts as tried. Every trial is in the log as soon as
    it is measured, so a run that is killed goes on where it was.

    Parameters
    ----------
    model
        The saved model.
    log
        A JSON-lines file; made where it does not exist.
    options
        What to search, and for how long.
    listener
        Is told of everything.

    Raises
    ------
    UsageError
        An option does not fit the model, or the log cannot be read or written.
    UnsupportedModelError
        The model cannot be compiled.
    """
    begin = monotonic()
    target = measured_target(options.compile)
    options = options.measured_on(target)
    header = header_for(target, options.threads, options.rpc)
    is_new = not log.exists()
    if not is_new:
        check_appendable(log)
    writer = LogWriter(log, header)
    writer.append([])
    known, skipped = known_trials(log, header)
    for line in skipped:
        listener.note(f"{line.path}:{line.line}: {line.reason}; the line is skipped")
    with scratch_directory("paddle-tvm-tune") as folder:
        run = ModelRun(Path(model), options.compile, options.sizes, options.seed, folder / "first")
        listener.stage("compile")
        try:
            first = run.compile_default()
        except BaseException:
            if is_new:
                remove_empty(log)
            raise
        graph_choices = first.graph_choices
        default = run.default
        for share in first.offloaded.values():
            if not share.subgraphs:
                described = share.describe(options.compile.target)
                listener.note(f"{described}. So our own kernels are all that is tuned")
        # Who computes what comes first: the kernels that there are depend on it.
        offered = [workload for workload in graph_choices if isinstance(workload, Offloading)]
        asked_first = [workload for workload in offered if _is_wanted(workload, options)]
        # Other machines time no whole model.
        may_time_it = options.rpc is None and options.trials != 0
        budget = Budget(begin, options.seconds, options.trials)
        counts = thread_counts(options.threads)
        decided = (
            decide_offloading(run, log, header, asked_first, target, counts, writer, listener, budget)
            if asked_first and may_time_it
            else []
        )
        own = left_to_kernels(offered, target, log, options.threads)
        if own:
            options = replace(options, compile=replace(options.compile, fixed_forms=own))
            target = target.with_choices(TunedChoices(target, fixed=own))
            run = ModelRun(Path(model), options.compile, options.sizes, options.seed, folder / "own")
            listener.stage("compile")
            graph_choices = run.compile_default().graph_choices
        listener.stage("profile")
        profile = run.profile(options.threads)
        if profile.disturbed:
            listener.note(profile.disturbance_remark)
        if profile.sizes:
            listener.note(_measured_at(profile.shapes, run.elsewhere, bool(options.sizes)))
        listener.stage("find kernels")
        kernels = kernels_of_model(run.model, options.compile, target, profile.sizes)
        found = (gpu_tasks_of if target.devices else tasks_of)(kernels, profile)
        tasks = [task for task in found if _is_asked(task, options)]
        other_sizes = run.sizes_elsewhere()
        for task in tasks:
            task.elsewhere = task.kernel.at_others(other_sizes)
            for outcome in known.get((task.workload, task.kernel.shapes), []):
                task.add(outcome)
        # What has won at other sizes is tried first, too.
        known_forms = TunedChoices(
            target,
            (*options.compile.logs(), log),
            shipped_logs(target) if options.compile.shipped_logs else (),
            options.threads,
        )
        asked = [
            workload
            for workload in graph_choices
            if _is_wanted(workload, options) and workload not in offered
        ]
        above = alternatives(asked, found, known, run.shapes) if may_time_it else []
        search = KernelTrials(tasks, known, known_forms, options, writer, listener, profile, budget)
        budget.reserve(len(above), first_trial_seconds(run, counts), _GRAPH_SHARE)
        with _measurer(target, options, run.default, folder) as measurer:
            search.run(measurer)
            budget.release()
            with budget.stopped():
                comparisons = tuple(compare_with_defaults(tasks, measurer, counts, writer, listener))
        if above and budget.fits(first_trial_seconds(run, counts)):
            listener.stage("try other layouts and fusions", len(above))
        what = f"{counted(len(above), 'choice')} above kernels"
        graph = [*decided, *search_graph(run, log, above, counts, writer, listener, budget, what)]
        better = any(comparison.is_better for comparison in comparisons) or any(trial.won for trial in graph)
        whole = (
            time_whole_model(
                run,
                default,
                log,
                counts,
                lambda count: _on(count, options),
                comparisons,
                graph,
                writer,
                listener,
            )
            if better and options.rpc is None
            else WholeModel({}, {})
        )
    return TuneResult(
        log=log,
        tasks=tuple(tasks),
        comparisons=comparisons,
        graph=tuple(graph),
        default_seconds=whole.default,
        tuned_seconds=whole.tuned,
        trials=budget.made,
        failures=search.failures,
        elapsed=monotonic() - begin,
        skipped=tuple(skipped),
        taken_back=whole.taken_back,
        measured_at=format_shapes(profile.shapes) if profile.sizes else "",
    )


def _measurer(target: Target, options: TuneOptions, artifact: Path, folder: Path) -> Measurer:
    if target.devices:
        gpu = Gpu(NUMBER, str(artifact), str(folder))
        return Measurer(
            target,
            options.threads,
            options.seed,
            build_limit_s=_NVCC_SECONDS,
            run_limit_s=_GPU_SECONDS,
            gpu=gpu,
        )
    if options.rpc is None:
        return Measurer(target, options.threads, options.seed)
    from paddle_tvm.compiler.tuning.rpc import RpcMeasurer

    return RpcMeasurer(target, options.threads, *options.rpc, seed=options.seed)


def _measured_at(
    shapes: Mapping[str, Sequence[int]], elsewhere: Sequence[InputShapes], is_asked: bool
) -> str:
    measured = f"dynamic dimensions are measured at {format_shapes(shapes)}"
    if elsewhere:
        others = " or ".join(map(format_shapes, elsewhere))
        measured += f"; what wins must not be slower at {others}, by more than 2 %"
    return measured if is_asked else f"{measured}. --measure-shape takes the sizes that your runs have"


def _is_asked(task: Task, options: TuneOptions) -> bool:
    return task.share >= options.min_share and _is_wanted(task.workload, options)


def _is_wanted(workload: Workload, options: TuneOptions) -> bool:
    return not options.ops or workload.is_of(options.ops)


def _on(threads: int, options: TuneOptions) -> str:
    return "on the GPU" if options.compile.architectures else f"with {counted(threads, 'thread')}"


def thread_counts(threads: int) -> tuple[int, ...]:
    """The numbers of threads that winners are timed with: those of trials, and one."""
    return tuple(dict.fromkeys((threads, 1)))
