"""The road from a model to a log of the best forms of its kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.compiler.profiling.profile import Profile
from paddle_tvm.compiler.staging import scratch_directory
from paddle_tvm.compiler.tuning.choices import TunedChoices, shipped_logs
from paddle_tvm.compiler.tuning.cost_model import CostModel
from paddle_tvm.compiler.tuning.finalists import WORSE, compare_with_defaults
from paddle_tvm.compiler.tuning.gpu_here import NUMBER
from paddle_tvm.compiler.tuning.gpu_tasks import gpu_tasks_of
from paddle_tvm.compiler.tuning.graph_search import alternatives, search_graph
from paddle_tvm.compiler.tuning.known_trials import known_trials
from paddle_tvm.compiler.tuning.log import LogWriter, Skipped, check_appendable
from paddle_tvm.compiler.tuning.measure import Measurer
from paddle_tvm.compiler.tuning.measured_target import header_for, measured_target
from paddle_tvm.compiler.tuning.messages import Gpu
from paddle_tvm.compiler.tuning.model_run import ModelRun
from paddle_tvm.compiler.tuning.offload_search import (
    Budget,
    decide_offloading,
    first_trial_seconds,
    left_to_kernels,
)
from paddle_tvm.compiler.tuning.outcome import Outcome, Status
from paddle_tvm.compiler.tuning.records import Trial
from paddle_tvm.compiler.tuning.scheduler import TaskScheduler
from paddle_tvm.compiler.tuning.search import KernelSearch
from paddle_tvm.compiler.tuning.task import Comparison, GraphTrial, Start, Task, TuningListener
from paddle_tvm.compiler.tuning.tasks import kernels_of_model, tasks_of
from paddle_tvm.runtime.wording import counted
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.offload import Offloading
from paddle_tvm.targets.workload import Choices, Config, GraphWorkload, Workload

# What a trial with the whole model takes, about, and the most of the time that such trials get together.
_GRAPH_SECONDS, _GRAPH_SHARE = 20.0, 0.3
# After which a form for GPUs is given up: until nvcc has compiled it, and until it has done something.
_NVCC_SECONDS, _GPU_SECONDS = 120.0, 30.0
# Forms that are proposed at once.
_BATCH = 16


@dataclass(frozen=True)
class TuneOptions:
    """What the user asked for.

    Attributes
    ----------
    trials, seconds
        When the search ends, at the latest; None: when nothing promises a gain any more.
    ops
        Operators to tune, as ``Workload.operator`` names them; all where empty.
    min_share
        Tasks that take a smaller share of a run are left alone.
    threads
        How many threads kernels are timed with.
    seed
        Of inputs, and of the search.
    compile
        As the model will be compiled.
    sizes
        Input shapes to measure with, where the model is compiled with dynamic ones.
    rpc
        Host and port of a TVM tracker, and the key of the machines that measure; None: this machine does.
    """

    threads: int
    trials: int | None = None
    seconds: float | None = None
    ops: tuple[str, ...] = ()
    min_share: float = 0.01
    seed: int = 0
    compile: CompileOptions = field(default_factory=CompileOptions)
    sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    rpc: tuple[str, int, str] | None = None

    def measured_on(self, target: Target) -> TuneOptions:
        """The same, with what the machine that measures leaves no choice of."""
        if not target.devices:
            return self
        # One thread starts kernels; how many there are beside it has no part in their time.
        return replace(self, threads=1, compile=replace(self.compile, architectures=target.devices))


@dataclass(frozen=True)
class TuneResult:
    """What a run found.

    ``default_seconds`` and ``tuned_seconds`` are latencies of the model, by number of threads, timed in
    turns; empty where the search found nothing, or where other machines measured. ``trials`` and
    ``failures`` are of this run alone.
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
    if log.exists():
        check_appendable(log)
    writer = LogWriter(log, header)
    writer.append([])
    known, skipped = known_trials(log, header)
    for line in skipped:
        listener.note(f"{line.path}:{line.line}: {line.reason}; the line is skipped")
    with scratch_directory("paddle-tvm-tune") as folder:
        run = ModelRun(Path(model), options.compile, options.sizes, options.seed, folder / "first")
        listener.stage("compile")
        compiling = monotonic()
        graph_choices = run.compile_default()
        default = run.default
        # Who computes what comes first: the kernels that there are depend on it.
        offered = [workload for workload in graph_choices if isinstance(workload, Offloading)]
        asked_first = [workload for workload in offered if _is_wanted(workload, options)]
        subgraphs = (
            alternatives(asked_first, [], known) if options.rpc is None and options.trials != 0 else []
        )
        budget = Budget(
            None if options.seconds is None else begin + options.seconds,
            options.trials,
            first_trial_seconds(monotonic() - compiling),
        )
        counts = thread_counts(options.threads)
        decided = decide_offloading(run, log, subgraphs, counts, writer, listener, budget)
        own = left_to_kernels(offered, target, log, options.threads)
        if own:
            options = replace(options, compile=replace(options.compile, fixed_forms=own))
            target = target.with_choices(TunedChoices(target, fixed=own))
            run = ModelRun(Path(model), options.compile, options.sizes, options.seed, folder / "own")
            listener.stage("compile")
            graph_choices = run.compile_default()
        listener.stage("profile")
        profile = run.profile(options.threads)
        if profile.disturbed:
            listener.note(profile.disturbance_remark)
        listener.stage("find kernels")
        kernels = kernels_of_model(run.model, options.compile, target, profile.sizes)
        found = (gpu_tasks_of if target.devices else tasks_of)(kernels, profile)
        tasks = [task for task in found if _is_asked(task, options)]
        for task in tasks:
            for outcome in known.get(task.workload, []):
                task.add(outcome)
        known_forms = TunedChoices(
            target,
            options.compile.logs(),
            shipped_logs(target) if options.compile.shipped_logs else (),
            options.threads,
        )
        asked = [
            workload
            for workload in graph_choices
            if _is_wanted(workload, options) and workload not in offered
        ]
        above = alternatives(asked, found, known) if options.rpc is None else []
        search = _Search(tasks, known, known_forms, options, writer, listener, profile, begin)
        search.trials = budget.made
        search.reserve(min(_GRAPH_SECONDS * len(above), _GRAPH_SHARE * (options.seconds or 0.0)))
        with _measurer(target, options, run.default, folder) as measurer:
            search.run(measurer)
            comparisons = tuple(compare_with_defaults(tasks, measurer, counts, writer, listener))
        search.reserve(0.0)
        if above and search.left():
            listener.stage("try other layouts and fusions", len(above))
        graph = [*decided, *search_graph(run, log, above, counts, writer, listener, search.take)]
        better = any(comparison.is_better for comparison in comparisons) or any(trial.won for trial in graph)
        before, tuned = (
            _latencies(run, default, log, options, listener) if better and options.rpc is None else ({}, {})
        )
    return TuneResult(
        log=log,
        tasks=tuple(tasks),
        comparisons=comparisons,
        graph=tuple(graph),
        default_seconds=before,
        tuned_seconds=tuned,
        trials=search.trials,
        failures=search.failures,
        elapsed=monotonic() - begin,
        skipped=tuple(skipped),
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


def _is_asked(task: Task, options: TuneOptions) -> bool:
    return task.share >= options.min_share and _is_wanted(task.workload, options)


def _is_wanted(workload: Workload, options: TuneOptions) -> bool:
    return not options.ops or workload.operator in options.ops


def _latencies(
    run: ModelRun, default: Path, log: Path, options: TuneOptions, listener: TuningListener
) -> tuple[Mapping[int, float], Mapping[int, float]]:
    """Seconds of a run in default forms and with the log, by threads, timed in turns."""
    listener.stage("compile with the log")
    tuned, _ = run.compile("tuned.pdtvm", log, {})
    listener.stage("time the model")
    seconds = {
        count: run.time({"default": default, "tuned": tuned}, count)
        for count in thread_counts(options.threads)
    }
    for count, times in seconds.items():
        if times["tuned"] > WORSE * times["default"]:
            where = "on the GPU" if options.compile.architectures else f"with {counted(count, 'thread')}"
            listener.note(
                f"{where} the model as a whole is slower with the log: "
                "what was faster alone is not so among the others, or something disturbed this machine. Tune "
                "again while it does nothing else, or compile without the log"
            )
    return (
        {count: times["default"] for count, times in seconds.items()},
        {count: times["tuned"] for count, times in seconds.items()},
    )


class _Search:
    """The loop of a run: which task is next, which of its forms, and what came of it."""

    def __init__(
        self,
        tasks: Sequence[Task],
        known: Mapping[Workload, list[Outcome]],
        known_forms: Choices,
        options: TuneOptions,
        writer: LogWriter,
        listener: TuningListener,
        profile: Profile,
        begin: float,
    ) -> None:
        self._tasks = tasks
        self._known_forms = known_forms
        self._trials = {
            **{
                workload: outcomes
                for workload, outcomes in known.items()
                if not isinstance(workload, GraphWorkload)
            },
            **{task.workload: task.outcomes for task in tasks},
        }
        self._options = options
        self._writer = writer
        self._listener = listener
        self._profile = profile
        self._begin = begin
        self._model = CostModel(options.seed)
        self._searches = [
            KernelSearch(task.workload, task.outcomes, self._model, options.seed) for task in tasks
        ]
        self._reserved = 0.0
        self.trials = 0
        self.failures: Counter[Status] = Counter()

    def run(self, measurer: Measurer) -> None:
        """Search until a budget is used up, or nothing promises a gain any more."""
        options, peak = self._options, self._profile.peak.gflops
        self._listener.begin(
            Start(self._tasks, self._profile.total_us / 1e6, peak or 0.0, options.seconds, options.trials)
        )
        scheduler = TaskScheduler(self._tasks, self._searches, peak)
        while (left := self.left()) and (turn := scheduler.next()) is not None:
            configs = self._begin_with(turn) if not self._tasks[turn].outcomes else []
            if not configs:
                self._model.fit(self._trials)
                configs = self._searches[turn].propose(_BATCH)
            for outcome in measurer.measure(self._tasks[turn].kernel, configs[:left]):
                if outcome.status == "unchecked":
                    # Nothing can be said of any form now. The next run tries the default form again.
                    self._searches[turn].give_up()
                    names = ", ".join(self._tasks[turn].names)
                    self._listener.note(f"{names}: {outcome.detail}; it is left alone in this run")
                    break
                self._note(turn, outcome)

    def _begin_with(self, turn: int) -> list[Config]:
        """The default form, whose time says what there is to gain, and what logs have for the workload.

        Or else another one: two cores build two forms in the time of one.
        """
        search, workload = self._searches[turn], self._tasks[turn].workload
        known = self._known_forms.of(workload).config
        first = search.propose(1)
        use_known = known not in first and workload.fits(known)
        return [*first, *([known] if use_known else search.propose(1))]

    def reserve(self, seconds: float) -> None:
        """Leave so much of the time to others."""
        self._reserved = seconds

    def left(self) -> int:
        """Trials that may still be made, of those that are proposed at once."""
        options = self._options
        if options.seconds is not None and monotonic() - self._begin >= options.seconds - self._reserved:
            return 0
        return _BATCH if options.trials is None else max(0, options.trials - self.trials)

    def take(self) -> bool:
        """Count a trial of others, if it may still be made."""
        may = bool(self.left())
        self.trials += may
        return may

    def _note(self, turn: int, outcome: Outcome) -> None:
        task = self._tasks[turn]
        self._writer.append([Trial(task.workload, outcome)])
        self._searches[turn].record([outcome])
        task.add(outcome)
        self.trials += 1
        if outcome.status != "ok":
            self.failures[outcome.status] += 1
        self._listener.trial(task, outcome, self._expected(), monotonic() - self._begin)

    def _expected(self) -> float:
        """Latency of a run with the best forms so far."""
        return self._profile.total_us / 1e6 - sum(task.seconds - task.best_seconds for task in self._tasks)


def thread_counts(threads: int) -> tuple[int, ...]:
    """The numbers of threads that winners are timed with: those of trials, and one."""
    return tuple(dict.fromkeys((threads, 1)))
