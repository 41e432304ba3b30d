"""Prints what a run of ``paddle-tvm tune`` has found, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.compiler.tuning.options import TuneOptions
from paddle_tvm.compiler.tuning.standings_view import (
    show_gain,
    show_graph_trial,
    show_ms,
    show_share,
    show_time,
    show_timed_on,
    show_trials,
)
from paddle_tvm.compiler.tuning.task import Comparison
from paddle_tvm.compiler.tuning.tune import TuneResult
from paddle_tvm.compiler.tuning.workload_names import name_form, name_workload
from paddle_tvm.runtime.wording import counted
from paddle_tvm.targets.registry import CPU, GPU

# Columns from which on a table has room for the forms that won.
_WITH_FORM = 110
# More for gains at other sizes.
_SIZES = 30


def print_summary(result: TuneResult, model: Path, options: TuneOptions, console: Console) -> None:
    """Print what became faster, and what to do next."""
    better = sorted(
        (one for one in result.comparisons if one.is_better), key=lambda one: -_saved(one, options.threads)
    )
    if better:
        console.print(_table(better, options, console.width))
    above = [trial for trial in result.graph if trial.won]
    for trial in above:
        console.print(Text(show_graph_trial(trial)), soft_wrap=True)
    if not result.tasks:
        console.print(
            "no kernel was searched: none that has several forms takes "
            f"{show_share(options.min_share)} of a run or more"
            + (f" and is of --ops {','.join(options.ops)}" if options.ops else ""),
            soft_wrap=True,
        )
    share = sum(task.share for task in result.tasks)
    failed = sum(result.failures.values())
    kinds = ", ".join(f"{count} {status}" for status, count in result.failures.items() if count)
    became = ""
    if result.tasks:
        became = (
            f"{len(better)} of {len(result.tasks)} tasks, together {show_share(share)} of a run, became "
            "faster; "
        )
    if above:
        became += f"{counted(len(above), 'choice')} above kernels won; "
    console.print(
        f"{became}{show_trials(result.trials, failed)}{f' ({kinds})' if kinds else ''}, in "
        f"{show_time(result.elapsed)}",
        soft_wrap=True,
    )
    at = f" at {result.measured_at}" if result.measured_at else ""
    for threads, tuned in sorted(result.tuned_seconds.items(), reverse=True):
        default = result.default_seconds[threads]
        timed_on = show_timed_on(threads, on_gpu(options))
        remark = ": slower with the log" if threads in result.slower_with else ""
        console.print(
            f"one run{at}, {timed_on}: {show_ms(default)} -> {show_ms(tuned)} ms, "
            f"{show_gain(default / tuned)}{remark}",
            soft_wrap=True,
        )
    console.print(Text(f"log: {result.log}"), soft_wrap=True)
    if not better and not above:
        if result.comparisons:
            rejected = sum(one.rejected is not None for one in result.comparisons)
            places = (
                "with every number of threads and at every size"
                if result.measured_at
                else "with every number of threads"
            )
            console.print(
                "no form won over its default, so `compile` keeps the defaults with this log"
                + (f"; of {counted(rejected, 'task')} one was faster, but not {places}" if rejected else ""),
                soft_wrap=True,
            )
        return
    gains = [result.default_seconds[count] / tuned for count, tuned in result.tuned_seconds.items()]
    if result.slower_with or (gains and max(gains) <= 1):
        timed = ", ".join(show_timed_on(count, on_gpu(options)) for count in result.slower_with)
        what = f"is slower with the log ({timed})" if timed else "did not become faster with the log"
        again = "Tune again while this machine does nothing else"
        then = (
            f"What has won is taken back: `compile` takes what it would without the log. {again}"
            if result.taken_back
            else f"{again}, or compile without the log"
        )
        console.print(f"the model as a whole {what}. {then}", soft_wrap=True)
        return
    console.print(
        Text(f"next: {_compile_command(model, result.log, options.compile)}"), soft_wrap=True, no_wrap=True
    )


def _compile_command(model: Path, log: Path, options: CompileOptions) -> str:
    """The command that compiles as the model was tuned: for other shapes, or another CPU, forms differ."""
    words = ["paddle-tvm", "compile", str(model), "-o", "OUTPUT.pdtvm"]
    if options.target != CPU:
        words += ["--target", options.target]
    for mcpu in options.mcpus():
        words += ["--mcpu", mcpu]
    if options.frontend != "paddle":
        words += ["--frontend", options.frontend]
    if options.architectures:
        words += ["--arch", ",".join(options.architectures)]
    if options.precision != "float32":
        words += ["--precision", options.precision]
    if isinstance(options.shapes, Mapping):
        for name, shape in options.shapes.items():
            words += ["--shape", f"{name}={','.join(map(str, shape))}"]
    return shlex.join([*words, "--tuning-log", str(log)])


def _table(comparisons: list[Comparison], options: TuneOptions, width: int) -> Table:
    threads, gpu = options.threads, on_gpu(options)
    counts = sorted({count for one in comparisons for count in one.seconds}, reverse=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("operator", no_wrap=True)
    gains_with = ["gain"] if gpu else [f"gain, {count}T" for count in counts]
    at_sizes = any(one.elsewhere for one in comparisons)
    gains_with += [f"other sizes{'' if gpu else f', {threads}T'}"] if at_sizes else []
    for heading in ("of run", "calls", f"ms, {show_timed_on(threads, gpu)}", *gains_with):
        table.add_column(heading, justify="right", no_wrap=True)
    with_form = width >= _WITH_FORM + (_SIZES if at_sizes else 0)
    if with_form:
        table.add_column("form", overflow="fold")
    for one in comparisons:
        gains = [
            one.default[count] / one.seconds[count] if count in one.seconds else None for count in counts
        ]
        table.add_row(
            Text(name_workload(one.task.workload)),
            show_share(one.task.share, 1),
            str(one.task.calls),
            f"{show_ms(one.default[threads])} -> {show_ms(one.seconds[threads])}",
            *map(show_gain, gains),
            *([" ".join(map(show_gain, one.gains_elsewhere(threads)))] if at_sizes else []),
            *([Text(name_form(one.winner.config))] if with_form else []),
        )
    return table


def _saved(comparison: Comparison, threads: int) -> float:
    return comparison.task.calls * (comparison.default[threads] - comparison.seconds[threads])


def on_gpu(options: TuneOptions) -> bool:
    """Whether a GPU measures."""
    return options.compile.target == GPU
