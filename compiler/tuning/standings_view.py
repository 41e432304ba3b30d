"""Draws where a tuning run stands, for a terminal of any size."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from paddle_tvm.compiler.tuning.standings import Standing, Standings
from paddle_tvm.compiler.tuning.task import GraphTrial
from paddle_tvm.compiler.tuning.workload_names import name_form, name_workload
from paddle_tvm.runtime.wording import counted

# Heading and width of each column behind the name.
_COLUMNS = (("share", 7), ("GFLOP/s", 8), ("peak", 6), ("gain", 7), ("trials", 7), ("failed", 7))
_STATE = 9
_SHORTEST_NAME = 12
_STYLES = {"searching": "bold", "tuned": "green", "waiting": "dim", "default": "dim", "searched": ""}
_BAR = 30
# Lines for the heading, for what is left out, for the sum, and one for the terminal's cursor.
_OTHER_LINES = 6
SEARCH = "search"
"""The stage in which forms are tried."""

NOTEWORTHY = 1.02
"""Gains from here on are shown as such."""


def show_timed_on(threads: int, on_gpu: bool) -> str:
    """What times are of: of so many threads, or of the GPU."""
    return "on the GPU" if on_gpu else counted(threads, "thread")


@dataclass(frozen=True)
class Steps:
    """How far a stage other than the search is; ``elapsed`` are seconds since it began."""

    done: int
    total: int
    elapsed: float

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take, if it goes on so; None before anything is known of that."""
        return self.elapsed / self.done * (self.total - self.done) if self.done else None


class StandingsView:
    """The table of tasks, as much of it as fits, and below it the run, or the stage that comes after."""

    def __init__(self, standings: Standings, stage: str, steps: Steps | None = None) -> None:
        self._standings = standings
        self._stage = stage
        self._steps = steps

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        standings = self._standings
        tasks = standings.by_weight()
        room = options.size.height - _OTHER_LINES
        # The line of those left out takes the place of one that would be shown.
        shown = tasks if len(tasks) <= room + 1 else tasks[: max(room, 0)]
        rest = tasks[len(shown) :]
        fixed = sum(width for _, width in _COLUMNS) + _STATE + 1
        width = max(options.max_width - fixed, _SHORTEST_NAME)
        width = min(width, max((len(task.name) for task in shown), default=_SHORTEST_NAME))
        lines = []
        if shown:
            headings = "".join(f"{heading:>{size}}" for heading, size in _COLUMNS)
            lines.append(Text(f"{'operator':<{width}}{headings} state", "bold"))
            lines += [_row(task, standings, width) for task in shown]
        if rest:
            share = sum(map(standings.share, rest))
            lines.append(Text(f"and {len(rest)} more, {100 * share:.1f} % of the run", "dim"))
        lines += _sum(standings)
        for line in lines:
            line.no_wrap, line.overflow = True, "crop"
        yield Group(*lines, self._foot(options.max_width))

    def _foot(self, width: int) -> Table | Text:
        standings, steps = self._standings, self._steps
        if self._stage == SEARCH:
            done, elapsed, left = standings.done, standings.elapsed, standings.left
            what = "" if done is None else f"{100 * done:3.0f} %  "
        elif steps is not None:
            done, elapsed, left = steps.done / steps.total, steps.elapsed, steps.left
            what = f"{self._stage}: {steps.done} of {steps.total}  "
        else:
            return Text(f"{self._stage} ..." if self._stage else "", no_wrap=True, overflow="crop")
        times = f"{what}{show_time(elapsed)} elapsed"
        times += "" if left is None else f", {show_time(left)} left"
        if done is None:
            return Text(times, no_wrap=True, overflow="crop")
        row = Table.grid(padding=(0, 1))
        row.add_row(
            ProgressBar(total=1.0, completed=done, width=max(min(_BAR, width - len(times) - 1), 1)),
            Text(times, no_wrap=True, overflow="crop"),
        )
        return row


def latency_line(standings: Standings) -> str:
    """The expected latency of a run, before and now."""
    before, now = show_ms(standings.start.model_seconds), show_ms(standings.expected)
    return f"latency {before} -> {now} ms expected, {standings.gain:.2f}x"


def trials_line(standings: Standings) -> str:
    """How many trials, and how fast they go."""
    rate = f", {standings.rate:.1f} a second" if standings.rate else ""
    return show_trials(standings.trials, standings.failed) + rate


def show_trials(trials: int, failed: int = 0) -> str:
    return counted(trials, "trial") + (f", {failed} failed" if failed else "")


def show_ms(seconds: float) -> str:
    """Milliseconds, with at least three digits that count from a microsecond on."""
    digits = next((digits for least, digits in ((1.0, 2), (0.1, 3), (0.01, 4)) if seconds * 1e3 >= least), 5)
    return f"{seconds * 1e3:.{digits}f}"


def show_time(seconds: float) -> str:
    """Minutes and seconds, with hours where there are some."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def show_share(share: float | None, digits: int = 0) -> str:
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def show_gflops(gflops: float | None) -> str:
    return "-" if gflops is None else f"{gflops:.1f}"


def show_gain(gain: float | None) -> str:
    return "-" if gain is None else f"{gain:.2f}x"


def show_graph_trial(trial: GraphTrial) -> str:
    """A choice above kernels, and what it gains; with the digits that tell whether that is enough."""
    threads, seconds = next(iter(trial.seconds.items()))
    before = trial.default[threads]
    times = f"one run {show_ms(before)} -> {show_ms(seconds)} ms, {before / seconds:.3f}x"
    return f"{name_workload(trial.workload)}, {name_form(trial.config)}: {times}"


def _sum(standings: Standings) -> list[Text]:
    return [
        Text(latency_line(standings), "bold green" if standings.gain >= NOTEWORTHY else "bold"),
        Text(trials_line(standings)),
    ]


def _row(standing: Standing, standings: Standings, width: int) -> Text:
    task = standing.task
    gain = standing.gain
    cells = (
        (show_share(standings.share(standing), 1), ""),
        (show_gflops(standing.gflops), ""),
        (show_share(standings.of_peak(standing)), ""),
        (show_gain(gain), "green" if gain is not None and gain >= NOTEWORTHY else ""),
        (str(len(task.outcomes) or "-"), ""),
        (str(task.failed or "-"), "yellow" if task.failed else ""),
    )
    name = standing.name if len(standing.name) <= width else f"{standing.name[: width - 1]}…"
    row = Text(f"{name:<{width}}", _STYLES[standing.state])
    for (text, style), (_, size) in zip(cells, _COLUMNS, strict=True):
        row.append(f"{text:>{size}}", style)
    return row.append(f" {standing.state}", _STYLES[standing.state])
