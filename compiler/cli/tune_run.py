"""Runs ``paddle-tvm tune``, shows how it goes, and prints what it found."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from paddle_tvm.compiler.bench.suite.machine import describe_machine
from paddle_tvm.compiler.cli.console import stderr_console, stdout_console
from paddle_tvm.compiler.cli.main import INTERRUPTED
from paddle_tvm.compiler.cli.prose import say
from paddle_tvm.compiler.cli.tune_summary import on_gpu, print_summary
from paddle_tvm.compiler.cli.tune_values import default_log
from paddle_tvm.compiler.tuning import tune as tuning
from paddle_tvm.compiler.tuning.choices import shipped_folder
from paddle_tvm.compiler.tuning.history import Both, History
from paddle_tvm.compiler.tuning.measured_target import measured_target
from paddle_tvm.compiler.tuning.options import TuneOptions
from paddle_tvm.compiler.tuning.progress import tuning_progress
from paddle_tvm.compiler.tuning.report import Content, write_tuning_report
from paddle_tvm.compiler.tuning.standings_view import (
    show_share,
    show_time,
    show_timed_on,
    show_trials,
)
from paddle_tvm.compiler.tuning.tune import TuneResult
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.gpus import find_gpus
from paddle_tvm.runtime.wording import agreeing, counted
from paddle_tvm.targets.offload import JointOffloading
from paddle_tvm.targets.workload import known_operators


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
    options = options.measured_on(target)
    if log is None:
        log = default_log(target.target_class, name)
        if log.parent.resolve() == shipped_folder(target).resolve():
            say(
                f"note: {log} lies among the logs that the package brings, so `compile` takes it without "
                "--tuning-log, for every model; name another place with -o if that is not what you want",
                err=True,
            )
    history = History()
    machine = f"{options.compile.target} {target.microarchitecture if on_gpu(options) else target.mcpu}"
    how = options.compile.precision if on_gpu(options) else show_timed_on(options.threads, False)
    subtitle = f"{machine} · {how} · {_shapes(options)} · {log}"

    def write_report(result: TuneResult | None) -> None:
        if report is not None:
            environment = _environment(options, log)
            content = Content(name, subtitle, options.threads, history, result, environment, on_gpu(options))
            write_tuning_report(content, report)

    try:
        with tuning_progress(stderr_console()) as progress:
            result = tuning.tune_model(model, log, options, Both(progress, history))
    except KeyboardInterrupt:
        if history.trials:
            write_report(None)
        say(f"\n{_interrupted(history, log)}", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    write_report(result)
    if as_json:
        written = {} if report is None else {"report": str(report)}
        click.echo(json.dumps({**_as_json(result, options), **written}, indent=2))
        return
    print_summary(result, model, options, stdout_console())
    if report is not None:
        click.echo(f"report: {report}")


def _check_operators(names: Sequence[str]) -> None:
    """Refuse names of operators that have no forms to choose from."""
    # Subgraphs are tried together where they are tried: that is nothing to ask for by itself.
    known = [name for name in known_operators() if name != JointOffloading.operator]
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


def _as_json(result: TuneResult, options: TuneOptions) -> dict[str, object]:
    return {
        "log": str(result.log),
        "threads": options.threads,
        "seed": options.seed,
        "seconds": round(result.elapsed, 3),
        "trials": result.trials,
        "failures": dict(result.failures),
        "default_ms": _milliseconds(result.default_seconds),
        "tuned_ms": _milliseconds(result.tuned_seconds),
        "measured_at": result.measured_at,
        "slower_with": list(result.slower_with),
        "taken_back": result.taken_back,
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
                "default_ms": _milliseconds(one.default),
                "ms": _milliseconds(one.seconds),
                "rejected": one.rejected,
                "shapes": one.task.kernel.shapes,
                "elsewhere": [
                    {
                        "shapes": place.shapes,
                        "default_ms": _milliseconds(place.default),
                        "ms": _milliseconds(place.seconds),
                    }
                    for place in one.elsewhere
                ],
            }
            for one in result.comparisons
        ],
        "graph": [
            {
                "workload": json.loads(one.workload.key),
                "config": dict(one.config),
                "default_ms": _milliseconds(one.default),
                "ms": _milliseconds(one.seconds),
                "won": one.won,
                "rejected": one.rejected,
            }
            for one in result.graph
        ],
        "skipped_records": [
            {"log": str(line.path), "line": line.line, "reason": line.reason} for line in result.skipped
        ],
    }


def _milliseconds(times: Mapping[int, float]) -> dict[str, float]:
    """Seconds by threads, as JSON has them."""
    return {str(threads): seconds * 1e3 for threads, seconds in times.items()}


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
        **({"gpu": find_gpus().found} if on_gpu(options) else {}),
        **describe_machine(),
    }


def _shapes(options: TuneOptions) -> str:
    (form,) = options.compile.forms().values()
    fixed = _shape_text(form or {}) or "shapes as saved"
    measured = "; ".join(map(_shape_text, options.sizes))
    return f"{fixed}, measured with {measured}" if measured else fixed


def _shape_text(shapes: Mapping[str, Sequence[int | str]]) -> str:
    return " ".join(f"{name}={','.join(map(str, shape))}" for name, shape in shapes.items())
