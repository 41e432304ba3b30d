"""Runs ``paddle-tvm tune``, shows how it goes, and prints what it found."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from paddle_tvm.compiler.bench.suite.machine import describe_machine
from paddle_tvm.compiler.cli.console import stderr_console, stdout_console
from paddle_tvm.compiler.cli.main import INTERRUPTED
from paddle_tvm.compiler.cli.tune_values import default_log
from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.compiler.tuning import tune as tuning
from paddle_tvm.compiler.tuning.history import Both, History
from paddle_tvm.compiler.tuning.measured_target import measured_target
from paddle_tvm.compiler.tuning.options import TuneOptions
from paddle_tvm.compiler.tuning.progress import tuning_progress
from paddle_tvm.compiler.tuning.report import Content, write_tuning_report
from paddle_tvm.compiler.tuning.standings_view import (
    show_gain,
    show_ms,
    show_share,
    show_time,
    show_timed_on,
    show_trials,
)
from paddle_tvm.compiler.tuning.task import Comparison
from paddle_tvm.compiler.tuning.tune import TuneResult
from paddle_tvm.compiler.tuning.workload_names import name_form, name_workload
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.gpus import find_gpus
from paddle_tvm.runtime.wording import agreeing, counted
from paddle_tvm.targets.registry import CPU, GPU
from paddle_tvm.targets.workload import known_operators

# Columns from which on a table has room for the forms that won.
_WITH_FORM = 110


def tune_and_print(
    model: Path, name: str, log: Path | None, options: TuneOptions, report: Path | None, as_json: bool
) -> None:
    """Tune a model; see ``paddle-tvm tune --help``.

    Parameters
    ----------
    model, name
        The saved model, and what it is called.
    log
        The log, None for its default place.
    options
        What to search.
    report
        Where a page about the run goes, if one is wanted.
    as_json
        Whether to print the result as JSON.
    """
    _check_operators(options.ops)
    target = measured_target(options.compile)
    on_gpu = bool(target.devices)
    options = options.measured_on(target)
    log = log or default_log(target.target_class, name)
    history = History()
    machine = f"{options.compile.target} {target.microarchitecture if on_gpu else target.mcpu}"
    how = options.compile.precision if on_gpu else show_timed_on(options.threads, on_gpu)
    subtitle = f"{machine} · {how} · {_shapes(options)} · {log}"

    def write_report(result: TuneResult | None) -> None:
        if report is not None:
            environment = _environment(options, log)
            content = Content(name, subtitle, options.threads, history, result, environment, on_gpu)
            write_tuning_report(content, report)

    try:
        with tuning_progress(stderr_console()) as progress:
            result = tuning.tune_model(model, log, options, Both(progress, history))
    except KeyboardInterrupt:
        if history.trials:
            write_report(None)
        click.echo(f"\n{_interrupted(history, log)}", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    write_report(result)
    if as_json:
        written = {} if report is None else {"report": str(report)}
        click.echo(json.dumps({**_as_json(result, options), **written}, indent=2))
        return
    _print(result, model, options, stdout_console())
    if report is not None:
        click.echo(f"report: {report}")


def _check_operators(names: Sequence[str]) -> None:
    """Refuse names of operators that have no forms to choose from."""
    known = known_operators()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"--ops {', '.join(unknown)}: no operator that can be tuned; known: {', '.join(known)}"
        )


def _interrupted(history: History, log: Path) -> str:
    if not history.trials:
        return "interrupted before anything was tried"
    held = show_trials(history.trials)
    are = agreeing(history.trials, "is", "are")
    kept = f"interrupted; {held} of this run {are} in {log}, from where the same command goes on"
    if history.comparisons:
        return kept
    return (
        f"{kept}.\nThe best were not compared with the defaults yet, and `compile` uses what wins such a "
        "comparison: --trials 0 goes to it at once"
    )


def _print(result: TuneResult, model: Path, options: TuneOptions, console: Console) -> None:
    better = sorted(
        (one for one in result.comparisons if one.is_better), key=lambda one: -_saved(one, options.threads)
    )
    if better:
        console.print(_table(better, options, console.width))
    if not result.tasks:
        console.print(
            "no kernel was searched: none that has several forms takes "
            f"{show_share(options.min_share)} of a run or more"
            + (f" and is of --ops {','.join(options.ops)}" if options.ops else ""),
            soft_wrap=True,
        )
    above = [trial for trial in result.graph if trial.won]
    share = sum(task.share for task in result.tasks)
    failed = sum(result.failures.values())
    kinds = ", ".join(f"{count} {status}" for status, count in result.failures.items() if count)
    became = ""
    if result.tasks:
        became = (
            f"{len(better)} of {len(result.tasks)} tasks, together {show_share(share)} of a run, became "
            "faster; "
        )
    console.print(
        f"{became}{show_trials(result.trials, failed)}{f' ({kinds})' if kinds else ''}, in "
        f"{show_time(result.elapsed)}",
        soft_wrap=True,
    )
    for threads, tuned in sorted(result.tuned_seconds.items(), reverse=True):
        default = result.default_seconds[threads]
        timed_on = show_timed_on(threads, _on_gpu(options))
        console.print(
            f"one run, {timed_on}: {show_ms(default)} -> {show_ms(tuned)} ms, {show_gain(default / tuned)}",
            soft_wrap=True,
        )
    console.print(Text(f"log: {result.log}"), soft_wrap=True)
    if not better and not above:
        return
    gains = [result.default_seconds[count] / tuned for count, tuned in result.tuned_seconds.items()]
    if gains and max(gains) <= 1:
        console.print(
            "the model did not become faster with it: compile without this log, or tune again when the "
            "machine is idle",
            soft_wrap=True,
        )
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
    threads, on_gpu = options.threads, _on_gpu(options)
    counts = sorted({count for one in comparisons for count in one.seconds}, reverse=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column("operator", no_wrap=True)
    gains_with = ["gain"] if on_gpu else [f"gain, {count}T" for count in counts]
    for heading in ("of run", "calls", f"ms, {show_timed_on(threads, on_gpu)}", *gains_with):
        table.add_column(heading, justify="right", no_wrap=True)
    with_form = width >= _WITH_FORM
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
            *([Text(name_form(one.winner.config))] if with_form else []),
        )
    return table


def _saved(comparison: Comparison, threads: int) -> float:
    return comparison.task.calls * (comparison.default[threads] - comparison.seconds[threads])


def _as_json(result: TuneResult, options: TuneOptions) -> dict[str, object]:
    return {
        "log": str(result.log),
        "threads": options.threads,
        "seed": options.seed,
        "seconds": round(result.elapsed, 3),
        "trials": result.trials,
        "failures": dict(result.failures),
        "default_ms": {str(threads): value * 1e3 for threads, value in result.default_seconds.items()},
        "tuned_ms": {str(threads): value * 1e3 for threads, value in result.tuned_seconds.items()},
        "tasks": [
            {
                "workload": json.loads(task.workload.key),
                "kernels": list(task.names),
                "calls": task.calls,
                "share": task.share,
                "trials": len(task.outcomes),
                "gain": task.gain,
                "gflops": task.gflops,
            }
            for task in result.tasks
        ],
        "comparisons": [
            {
                "workload": json.loads(one.task.workload.key),
                "default_config": dict(one.task.workload.default()),
                "config": dict(one.winner.config),
                "default_ms": {str(threads): value * 1e3 for threads, value in one.default.items()},
                "ms": {str(threads): value * 1e3 for threads, value in one.seconds.items()},
            }
            for one in result.comparisons
        ],
        "graph": [
            {
                "workload": json.loads(one.workload.key),
                "config": dict(one.config),
                "default_ms": {str(threads): value * 1e3 for threads, value in one.default.items()},
                "ms": {str(threads): value * 1e3 for threads, value in one.seconds.items()},
                "won": one.won,
            }
            for one in result.graph
        ],
        "skipped_records": [
            {"log": str(line.path), "line": line.line, "reason": line.reason} for line in result.skipped
        ],
    }


def _environment(options: TuneOptions, log: Path) -> dict[str, str]:
    limits = [] if options.trials is None else [counted(options.trials, "trial")]
    limits += [] if options.seconds is None else [show_time(options.seconds)]
    return {
        "log": str(log),
        "shapes": _shapes(options),
        "threads": str(options.threads),
        "seed": str(options.seed),
        "operators": ", ".join(options.ops) or "all",
        "least share of a run": show_share(options.min_share, 1),
        "at most": " or ".join(limits) or "until nothing promises a gain",
        "measured on": "this machine" if options.rpc is None else "{}:{}, key {}".format(*options.rpc),
        **({"gpu": find_gpus().found} if _on_gpu(options) else {}),
        **describe_machine(),
    }


def _shapes(options: TuneOptions) -> str:
    (form,) = options.compile.forms().values()
    fixed = _shape_text(form or {}) or "shapes as saved"
    return f"{fixed}, measured with {_shape_text(options.sizes)}" if options.sizes else fixed


def _shape_text(shapes: Mapping[str, Sequence[int | str]]) -> str:
    return " ".join(f"{name}={','.join(map(str, shape))}" for name, shape in shapes.items())


def _on_gpu(options: TuneOptions) -> bool:
    return options.compile.target == GPU
