"""The trials of a run with kernels: which kernel is next, which of its forms, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from paddle_tvm.compiler.profiling.profile import Profile
from paddle_tvm.compiler.tuning.budget import Budget
from paddle_tvm.compiler.tuning.cost_model import CostModel
from paddle_tvm.compiler.tuning.known_trials import Known
from paddle_tvm.compiler.tuning.log import LogWriter
from paddle_tvm.compiler.tuning.measure import Measurer
from paddle_tvm.compiler.tuning.options import TuneOptions
from paddle_tvm.compiler.tuning.outcome import Outcome, Status
from paddle_tvm.compiler.tuning.records import Trial
from paddle_tvm.compiler.tuning.scheduler import TaskScheduler
from paddle_tvm.compiler.tuning.search import KernelSearch
from paddle_tvm.compiler.tuning.task import Start, Task, TuningListener
from paddle_tvm.runtime.wording import counted
from paddle_tvm.targets.workload import Choices, Config, GraphWorkload

# Forms that are proposed at once.
_BATCH = 16


class KernelTrials:
    """The loop of a run over kernels.

    Parameters
    ----------
    tasks
        The kernels to search; they get the outcomes.
    known
        Trials of earlier runs, for the cost model.
    known_forms
        What logs have for workloads: it is tried first.
    options
        What the user asked for.
    writer, listener
        Are told of every trial.
    profile
        Of the model in default forms.
    budget
        What the search may take; kernels for which it leaves nothing are told.

    Attributes
    ----------
    failures
        How many trials failed, by how.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        known: Known,
        known_forms: Choices,
        options: TuneOptions,
        writer: LogWriter,
        listener: TuningListener,
        profile: Profile,
        budget: Budget,
    ) -> None:
        self._tasks = tasks
        self._known_forms = known_forms
        self._trials = {
            **{
                workload: outcomes
                for (workload, _), outcomes in known.items()
                if not isinstance(workload, GraphWorkload)
            },
            **{task.workload: task.outcomes for task in tasks},
        }
        self._options = options
        self._writer = writer
        self._listener = listener
        self._profile = profile
        self._budget = budget
        self._model = CostModel(options.seed)
        self._searches = [
            KernelSearch(task.workload, task.outcomes, self._model, options.seed) for task in tasks
        ]
        self.failures: Counter[Status] = Counter()

    def run(self, measurer: Measurer) -> None:
        """Search until a budget is used up, or nothing promises a gain any more."""
        options, peak = self._options, self._profile.peak.gflops
        self._listener.begin(
            Start(
                self._tasks,
                self._profile.total_us / 1e6,
                peak or 0.0,
                options.seconds,
                options.trials,
                self._budget.elapsed,
            )
        )
        scheduler = TaskScheduler(self._tasks, self._searches, peak)
        while (left := self._budget.batch(_BATCH)) and (turn := scheduler.next()) is not None:
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
        pairs = zip(self._tasks, self._searches, strict=True)
        untried = sum(not task.outcomes and not search.converged for task, search in pairs)
        # Without trials nothing was asked for but the comparison.
        if untried and options.trials != 0:
            self._listener.note(self._budget.left_out(untried, counted(len(self._tasks), "kernel")))

    def _begin_with(self, turn: int) -> list[Config]:
        """The default form, whose time says what there is to gain, and what logs have for the workload.

        Or else another one: two cores build two forms in the time of one.
        """
        search, workload = self._searches[turn], self._tasks[turn].workload
        known = self._known_forms.of(workload).config
        first = search.propose(1)
        use_known = known not in first and workload.fits(known)
        return [*first, *([known] if use_known else search.propose(1))]

    def _note(self, turn: int, outcome: Outcome) -> None:
        task = self._tasks[turn]
        self._writer.append([Trial(task.workload, outcome, task.kernel.shapes)])
        self._searches[turn].record([outcome])
        task.add(outcome)
        self._budget.made += 1
        if outcome.status != "ok":
            self.failures[outcome.status] += 1
        self._listener.trial(task, outcome, self._expected(), self._budget.elapsed)

    def _expected(self) -> float:
        """Latency of a run with the best forms so far."""
        return self._profile.total_us / 1e6 - sum(task.seconds - task.best_seconds for task in self._tasks)
