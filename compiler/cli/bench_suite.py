"""``paddle-tvm bench --suite``: progress, tables, and the files of the result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table as RichTable
from rich.text import Text

from paddle_tvm.compiler.array_files import replacing
from paddle_tvm.compiler.bench.disturbance import marked
from paddle_tvm.compiler.bench.model_files import PEERS, parse_peers
from paddle_tvm.compiler.bench.suite.measure import SuiteSettings, planned_seconds
from paddle_tvm.compiler.bench.suite.page import suite_page
from paddle_tvm.compiler.bench.suite.plot import draw_suite
from paddle_tvm.compiler.bench.suite.result import OURS, SuiteResult, WorkloadResult
from paddle_tvm.compiler.bench.suite.run import run_suite
from paddle_tvm.compiler.bench.suite.saved_models import default_cache
from paddle_tvm.compiler.bench.suite.tables import Table, suite_notes, suite_tables
from paddle_tvm.compiler.bench.suite.workloads import Workload, choose_workloads
from paddle_tvm.compiler.cli.console import stderr_console, stdout_console
from paddle_tvm.compiler.cli.main import INTERRUPTED
from paddle_tvm.runtime.errors import PaddleTvmError, UsageError, VerificationError

_STYLES = {"good": "green", "bad": "yellow", "wrong": "red", "best": "bold", "": ""}


def _make_folder(option: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{option} {folder}: that directory cannot be made ({error.strerror}); name another"
        ) from error


def bench_suite(
    *,
    models: Sequence[str],
    against: str | None,
    threads: tuple[int, ...],
    rounds: int,
    seed: int,
    time_limit: float,
    output: Path,
    resume: bool,
    force: bool,
    dynamic: bool,
    untuned: bool,
    mcpus: tuple[str, ...],
    cache: Path | None,
    as_json: bool,
) -> None:
    """Run the suite, print and write what it found; see ``paddle-tvm bench --help``."""
    workloads = choose_workloads(models)
    peers = parse_peers(",".join(PEERS) if against is None else against)
    if find_spec("matplotlib") is None:
        raise UsageError("the plot needs matplotlib: pip install 'paddle-tvm[compiler,bench]'")
    settings = SuiteSettings(
        threads, rounds, tuple(peers), dynamic, untuned, mcpus, seed, time_limit, cache or default_cache()
    )
    if resume and force:
        raise UsageError("--resume keeps what --force replaces: give one of them")
    if not (resume or force) and any((output / "models").glob("*.json")):
        raise UsageError(
            f"{output} has results already: --resume goes on from them, --force replaces them, and --output "
            "names another folder"
        )
    folders = (("--output", output), ("--output", output / "models"), ("--cache", settings.cache))
    for option, folder in folders:
        _make_folder(option, folder)
    with _Progress.shown(stderr_console(), len(workloads), planned_seconds(settings)) as progress:
        result = run_suite(workloads, settings, output, resume, progress)
    written = _write(result, output)
    if as_json:
        click.echo(json.dumps(result.as_json(), indent=2))
    else:
        _print(result, written, stdout_console())
    if result.interrupted:
        click.echo(
            f"interrupted; what was measured is in {output}, and --resume goes on from the models that "
            "are complete",
            err=True,
        )
        raise click.exceptions.Exit(INTERRUPTED)
    _require_ours(result)


def _write(result: SuiteResult, output: Path) -> list[Path]:
    """Write page, samples and plot; the plot only where there is a time to draw."""
    plots = [output / "suite.png", output / "suite.svg"]
    drawn = any(row.best_peer() is not None for _, row in result.rows())
    if drawn:
        draw_suite(result, plots)
    else:
        for plot in plots:
            # An earlier run's would be taken for this one's.
            plot.unlink(missing_ok=True)
    page, samples = output / "suite.md", output / "suite.json"
    with replacing(page) as file:
        file.write(suite_page(result, plots[0].name if drawn else None).encode())
    with replacing(samples) as file:
        file.write((json.dumps(result.as_json()) + "\n").encode())
    return [page, samples, *(plots if drawn else [])]


def _print(result: SuiteResult, written: Sequence[Path], console: Console) -> None:
    for table in suite_tables(result):
        console.print(_rich_table(table))
    for note in suite_notes(result):
        console.print(Text(f"- {note}"), soft_wrap=True)
    console.print("A ratio below 1: ours is faster.")
    console.print(f"written: {', '.join(map(str, written))}", soft_wrap=True)


def _rich_table(table: Table) -> RichTable:
    shown = RichTable(title=table.title, title_justify="left")
    for number, name in enumerate(table.header):
        shown.add_column(name, justify="right" if number else "left", overflow="fold", no_wrap=not number)
    for row in table.rows[:-1]:
        shown.add_row(*(Text(cell.text, _STYLES[cell.tone]) for cell in row))
    if table.rows:
        shown.add_section()
        shown.add_row(*(Text(cell.text, _STYLES[cell.tone]) for cell in table.rows[-1]))
    return shown


def _require_ours(result: SuiteResult) -> None:
    """Raise where ours did not run, or gave a wrong answer: the suite is a test as well."""
    failed = {workload.title for workload in result.workloads if workload.failures_of_ours()}
    wrong = {
        workload.title
        for workload, row in result.rows()
        for name, engine in row.engines.items()
        if name.partition(":")[0] == OURS and engine.wrong
    }
    if failed:
        raise PaddleTvmError(f"could not be timed: {', '.join(sorted(failed))}; the notes have the reasons")
    if wrong:
        raise VerificationError(f"ours gives wrong answers for {', '.join(sorted(wrong))}")


class _Progress:
    """A bar with the time left on a terminal, else a line for each step."""

    def __init__(self, console: Console, bar: Progress, task: TaskID, workloads: int, each: float) -> None:
        self._console = console
        self._bar = bar
        self._task = task
        self._workloads = workloads
        self._each = each
        self._done = 0
        self._measured = 0
        self._said = ""

    @classmethod
    @contextmanager
    def shown(cls, console: Console, workloads: int, each: float) -> Iterator[_Progress]:
        """Show it while the block runs; ``each`` workload takes about so many seconds."""
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        ) as bar:
            yield cls(console, bar, bar.add_task("prepare", total=None), workloads, each)

    def plan(self, seconds: float) -> None:
        """About how long it will take."""
        self._bar.update(self._task, total=seconds)

    def phase(self, workload: Workload, what: str) -> None:
        """Something begins."""
        where = f"[{self._done + 1}/{self._workloads}] {workload.title}: {what}"
        self._bar.update(self._task, description=escape(where))
        # Turns are too many for lines.
        line = f"{where.removesuffix(what)}{what.partition(', ')[0]}"
        if not self._console.is_terminal and line != self._said:
            self._console.print(Text(line), soft_wrap=True)
            self._said = line

    def advance(self, seconds: float) -> None:
        """A part is done that was planned with so many seconds."""
        self._bar.advance(self._task, seconds)

    def finished(self, workload: Workload, result: WorkloadResult, kept: bool) -> None:
        """A workload is done, or an earlier run's result was kept."""
        self._done += 1
        if not kept:
            self._measured += 1
            # Whatever was left out: an engine that failed takes no turns.
            self._bar.update(self._task, completed=self._measured * self._each)
        text = Text(f"[{self._done}/{self._workloads}] {workload.title}: {_summary(result)}")
        self._console.print(text + Text(" (kept)") if kept else text, soft_wrap=True)


def _summary(result: WorkloadResult) -> str:
    if result.failure is not None:
        return f"not measured: {result.failure}"
    parts = []
    for row in result.rows:
        ours, best = row.engines[OURS], row.best_peer()
        ratio = row.ratio(OURS, best or "")
        if ours.median is None:
            parts.append(f"{row.threads}T ours: {ours.failure}")
        elif ours.wrong:
            parts.append(f"{row.threads}T ours WRONG")
        else:
            relative = "" if ratio is None else marked(f"{ratio:.2f}", row.disturbed(OURS, best or ""))
            against = f" ({relative} of {best})" if relative else ""
            time = marked(f"{row.threads}T {ours.median * 1e3:.2f} ms", row.disturbed(OURS))
            parts.append(f"{time}{against}")
    return ", ".join(parts)
