"""Shows a tuning run while it goes on: a live table on a terminal, else lines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import perf_counter
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.standings import Standing, Standings
from paddle_tvm.compiler.tuning.standings_view import (
    NOTEWORTHY,
    SEARCH,
    StandingsView,
    Steps,
    latency_line,
    show_gain,
    show_gflops,
    show_graph_trial,
    show_ms,
    show_share,
    show_time,
    show_trials,
    trials_line,
)
from paddle_tvm.compiler.tuning.task import Comparison, GraphTrial, Start, Task
from paddle_tvm.runtime.wording import counted

# Seconds between two drawings, which take time from what is measured, and between lines.
_DRAW_EVERY = 0.5
_LINES_EVERY = 10.0
_NAME_WIDTH = 38


class TuningProgress(ABC):
    """Follows a run; what it draws is for subclasses. A context manager: leaving it ends the last stage."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.standings: Standings | None = None
        self._stage = ""
        self._started = 0.0
        self._steps = self._done = 0

    def __enter__(self) -> TuningProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A stage that was broken off has no time.
        if kind is None:
            self.stage("")

    def stage(self, name: str, steps: int = 0) -> None:
        if name == self._stage:
            return
        if self._stage == SEARCH and self.standings is not None:
            self.standings.searched()
            self._searched(self.standings)
        elif self.standings is not None:
            # What comes after the search is the comparison.
            self.standings.all_compared()
        if self._stage:
            self.console.print(f"  {self._stage:<{_NAME_WIDTH}}{perf_counter() - self._started:8.2f} s")
        self._stage, self._started = name, perf_counter()
        self._steps, self._done = steps, 0
        self._changed()

    def begin(self, start: Start) -> None:
        self.stage(SEARCH)
        self.standings = Standings(start)
        share = sum(task.share for task in start.tasks)
        kept = sum(len(task.outcomes) for task in start.tasks)
        count = counted(len(start.tasks), "task")
        self.console.print(
            f"  {count}, {100 * share:.0f} % of a run of {show_ms(start.model_seconds)} ms"
            + (f"; the log holds {show_trials(kept)} of theirs" if kept else ""),
            soft_wrap=True,
        )
        self._changed()

    def trial(self, task: Task, outcome: Outcome, expected_seconds: float, elapsed: float) -> None:
        assert self.standings is not None
        self.standings.trial(task, outcome, expected_seconds, elapsed)
        self._tried(self.standings)

    def compared(self, comparison: Comparison) -> None:
        assert self.standings is not None
        self.standings.compared(comparison)
        self._stepped()

    def graph_trial(self, trial: GraphTrial) -> None:
        outcome = "kept" if trial.rejected is None else f"not kept, because {trial.rejected}"
        self._say(f"{show_graph_trial(trial)}, {outcome}")
        self._stepped()

    def graph_failure(self, text: str) -> None:
        self.note(text)
        self._stepped()

    def note(self, text: str) -> None:
        self.console.print(Text.assemble(("note: ", "yellow"), text), soft_wrap=True)

    def _stepped(self) -> None:
        self._done += 1
        self._changed()

    def _say(self, line: str) -> None:
        self.console.print(Text(line), soft_wrap=True)

    @abstractmethod
    def _changed(self) -> None:
        """Something other than a trial has changed what is to be seen."""

    @abstractmethod
    def _tried(self, standings: Standings) -> None:
        """A trial was made."""

    @abstractmethod
    def _searched(self, standings: Standings) -> None:
        """The search is over."""


class LiveProgress(TuningProgress):
    """On a terminal.

    Nothing is drawn while nothing happens, and no thread draws: either would disturb what is being timed.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._drawn = 0.0

    def __enter__(self) -> TuningProgress:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, traceback)
        self._live.__exit__(kind, error, traceback)

    def _changed(self) -> None:
        if self.standings is not None:
            steps = Steps(self._done, self._steps, perf_counter() - self._started) if self._steps else None
            self._live.update(StandingsView(self.standings, self._stage, steps), refresh=True)
            self._drawn = self.standings.elapsed
        else:
            self._live.update(Text(f"  {self._stage} ..." if self._stage else ""), refresh=True)

    def _tried(self, standings: Standings) -> None:
        if standings.elapsed - self._drawn >= _DRAW_EVERY:
            self._changed()

    def _searched(self, standings: Standings) -> None:
        """The next stage is about to be drawn."""


class LineProgress(TuningProgress):
    """Where there is no terminal: every ten seconds the run, and the tasks that have become faster."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._said: float | None = None
        self._best: dict[int, float] = {}

    def _changed(self) -> None:
        """Lines are written every ten seconds, and as the search ends."""

    def _tried(self, standings: Standings) -> None:
        if self._said is None:
            self._said = standings.elapsed
        if standings.elapsed - self._said < _LINES_EVERY:
            return
        self._said = standings.elapsed
        self._say_run(standings)
        for standing in standings.by_weight():
            task = standing.task
            said = self._best.get(id(task), task.default)
            if said is not None and said / task.best >= NOTEWORTHY:
                self._best[id(task)] = task.best
                self._say_task(standing, standings)

    def _searched(self, standings: Standings) -> None:
        self._say_run(standings)
        for standing in standings.by_weight():
            self._say_task(standing, standings)

    def _say_run(self, standings: Standings) -> None:
        left = "" if standings.left is None else f"; {show_time(standings.left)} left"
        self._say(
            f"{show_time(standings.elapsed):>7}  {trials_line(standings)}; {latency_line(standings)}{left}"
        )

    def _say_task(self, standing: Standing, standings: Standings) -> None:
        task = standing.task
        width = max(len(other.name) for other in standings.tasks)
        parts = [f"{standing.name:<{width}}", f"{show_share(standings.share(standing), 1):>6} of the run"]
        parts += [
            f"{show_gflops(standing.gflops):>6} GFLOP/s",
            f"{show_share(standings.of_peak(standing)):>5} of peak",
        ]
        parts += [f"{show_gain(standing.gain):>6}", show_trials(len(task.outcomes), task.failed)]
        self._say(f"{'':9}{'  '.join(parts)}")


def tuning_progress(console: Console) -> TuningProgress:
    """What suits a console."""
    return LiveProgress(console) if console.is_terminal else LineProgress(console)
