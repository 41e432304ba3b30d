"""``paddle-tvm bench``: an artifact beside other engines, or a whole suite of models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paddle_tvm.compiler.cli.extras import require_compiler
from paddle_tvm.compiler.cli.given_options import refuse_given
from paddle_tvm.compiler.cli.shape_option import parse_one_shape_set, shape_option
from paddle_tvm.runtime.errors import PaddleTvmError, UsageError, VerificationError
from paddle_tvm.runtime.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from paddle_tvm.compiler.bench.result import BenchResult

_MOST_THREADS = 1024

# Of which use the options are; the others are for both.
_FOR_SUITE = ("models", "output", "resume", "force", "dynamic", "untuned", "mcpus", "cache")
_FOR_ARTIFACT = ("model", "shapes", "cold")


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path), required=False)
@click.option(
    "--model", type=click.Path(path_type=Path), help="The model it came from, for the other engines."
)
@click.option(
    "--against",
    metavar="ENGINE,...",
    help="Of paddle, onnxruntime and openvino; all of them with --suite, else none.",
)
@click.option("--threads", metavar="N,...", help="For every engine; 1, and 1,2 with --suite.")
@click.option(
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Turns of each engine."
)
@shape_option("Shape of an input; by default a small one that is shown.")
@click.option("--cold", is_flag=True, help="Time whole processes, from their start to the first result.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random input.")
@click.option(
    "--time-limit",
    type=click.IntRange(min=1),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="For an engine to load a model or take a turn, and for each other step.",
)
@click.option("--suite", is_flag=True, help="Time a fixed set of models instead of ARTIFACT.")
@click.option("--models", metavar="NAME,...", help="With --suite: only these.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --suite: the folder for tables, plot and samples; bench-suite by default.",
)
@click.option("--resume", is_flag=True, help="With --suite: keep the models that --output has already.")
@click.option("--force", is_flag=True, help="With --suite: replace what --output has already.")
@click.option(
    "--dynamic", is_flag=True, help="With --suite: also the form whose dynamic dimensions stay dynamic."
)
@click.option("--untuned", is_flag=True, help="With --suite: also the form without tuning records.")
@click.option(
    "--mcpu", "mcpus", metavar="NAME", multiple=True, help="With --suite: also a form for this CPU."
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --suite: where its models are kept; ~/.cache/paddle-tvm/suite by default.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; progress goes to stderr.")
@click.pass_context
def bench(
    context: click.Context,
    artifact: Path | None,
    model: Path | None,
    against: str | None,
    threads: str | None,
    rounds: int,
    shapes: tuple[str, ...],
    cold: bool,
    seed: int,
    time_limit: int,
    suite: bool,
    models: str | None,
    output: Path | None,
    resume: bool,
    force: bool,
    dynamic: bool,
    untuned: bool,
    mcpus: tuple[str, ...],
    cache: Path | None,
    as_json: bool,
) -> None:
    """Time ARTIFACT, or with --suite a fixed set of models, beside other engines.

    Each engine has its own process, and all take turns. Times are from NumPy arrays in to NumPy arrays out.
    An engine that cannot run the model is shown with its reason, and one that gives another answer is marked.
    Exits with 4 where ours does.
    """
    if suite == (artifact is not None):
        raise UsageError("give an ARTIFACT to time, or --suite for the fixed set of models")
    if suite:
        refuse_given(context, _FOR_ARTIFACT, "for an ARTIFACT, and the suite has its own")
    else:
        refuse_given(context, _FOR_SUITE, "for --suite")
    asked = parse_one_shape_set(shapes)
    counts = _parse_threads(threads or ("1,2" if suite else "1"))
    require_compiler("bench")
    if artifact is None:
        from paddle_tvm.compiler.cli.bench_suite import bench_suite

        bench_suite(
            models=_names(models),
            against=against,
            threads=counts,
            rounds=rounds,
            seed=seed,
            time_limit=time_limit,
            output=output or Path("bench-suite"),
            resume=resume,
            force=force,
            dynamic=dynamic,
            untuned=untuned,
            mcpus=mcpus,
            cache=cache,
            as_json=as_json,
        )
        return
    if len(counts) != 1:
        raise UsageError(f"--threads {threads}: an artifact is timed at one number of threads")
    result = _bench_artifact(artifact, model, against or "", asked, counts[0], rounds, cold, seed, time_limit)
    if as_json:
        click.echo(json.dumps(result.as_json(), indent=2))
    else:
        from paddle_tvm.compiler.cli.console import stdout_console

        _print_result(result, stdout_console())
    if result.engines[0].failure is not None:
        raise PaddleTvmError(f"the artifact itself could not be timed: {result.engines[0].failure}")
    if result.engines[0].wrong:
        reason = f"; {result.foreign_model}" if result.foreign_model else ""
        raise VerificationError(
            f"the artifact gives a wrong answer: its outputs differ from {result.reference}'s by "
            f"{result.engines[0].difference:.1e} of the largest{reason}. See which operator does with: "
            f"paddle-tvm verify {artifact} --model {model}"
        )


def _parse_threads(value: str) -> tuple[int, ...]:
    parts = [part.strip() for part in value.split(",")]
    if not all(part.isascii() and part.isdigit() and 1 <= int(part) <= _MOST_THREADS for part in parts):
        raise UsageError(f"--threads {value}: expected numbers from 1 to {_MOST_THREADS}, like 1,2")
    return tuple(dict.fromkeys(map(int, parts)))


def _bench_artifact(
    artifact: Path,
    model: Path | None,
    against: str,
    shapes: dict[str, tuple[int, ...]],
    threads: int,
    rounds: int,
    cold: bool,
    seed: int,
    time_limit: int,
) -> BenchResult:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from paddle_tvm.compiler.bench.model_files import parse_peers
    from paddle_tvm.compiler.bench.session import bench_artifact
    from paddle_tvm.compiler.cli.console import stderr_console
    from paddle_tvm.runtime.artifact import read_manifest
    from paddle_tvm.runtime.gpus import require_gpu

    require_gpu(artifact, read_manifest(artifact))
    peers = parse_peers(against)
    if model is not None and not peers:
        raise UsageError("--model is for other engines: name them with --against paddle,onnxruntime,openvino")
    console = stderr_console()
    with Progress(
        TextColumn("{task.description:<14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("prepare", total=None)
        turns = 0

        def on_turn(engine: str) -> None:
            nonlocal turns
            progress.update(task, description=engine, completed=turns)
            turns += 1

        return bench_artifact(
            artifact,
            model,
            peers,
            shapes=shapes,
            threads=threads,
            rounds=rounds,
            cold=cold,
            seed=seed,
            time_limit=time_limit,
            on_start=lambda total: progress.update(task, total=total),
            on_turn=on_turn,
        )


def _print_result(result: BenchResult, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    from paddle_tvm.compiler.bench.disturbance import marked

    shapes = " ".join(f"{name}={','.join(map(str, shape))}" for name, shape in result.shapes.items())
    what = "process start to first result" if result.cold else "one run"
    threads = counted(result.threads, "thread")
    console.print(f"{what}, {threads}, random {shapes}", soft_wrap=True)
    table = Table()
    table.add_column("engine")
    headings = ["median ms", "best ms", "ours / engine"]
    headings += [] if result.cold else ["load ms", "difference"]
    for heading in headings:
        table.add_column(heading, justify="right", overflow="fold")
    for engine in result.engines:
        if engine.failure is not None or engine.median is None:
            continue
        ratio = result.ratio(engine)
        row = [
            engine.engine,
            marked(f"{engine.median * 1e3:.2f}", engine.disturbed),
            f"{min(engine.times) * 1e3:.2f}",
            "-" if ratio is None else marked(f"{ratio:.2f}", result.ratio_disturbed(engine)),
        ]
        if not result.cold:
            row.append("-" if engine.load_seconds is None else f"{engine.load_seconds * 1e3:.0f}")
            if engine.difference is None:
                row.append("reference" if engine.engine == result.reference else "-")
            else:
                row.append(
                    f"[red]{engine.difference:.1e} WRONG[/]" if engine.wrong else f"{engine.difference:.1e}"
                )
        table.add_row(*row)
    console.print(table)
    for engine in result.engines:
        if engine.failure is not None:
            console.print(f"[yellow]{engine.engine} cannot run this model:[/] ", end="")
            console.print(engine.failure, markup=False, soft_wrap=True)
    if len(result.engines) > 1:
        console.print("ours / engine below 1: ours is faster.")
    for remark in _remarks(result):
        console.print(f"[yellow]warning:[/] {escape(remark)}", soft_wrap=True)


def _remarks(result: BenchResult) -> list[str]:
    """What makes the numbers doubtful."""
    from paddle_tvm.compiler.bench.disturbance import MARK

    remarks = [] if result.foreign_model is None else [result.foreign_model]
    disturbances = [engine.disturbance or 0.0 for engine in result.engines if engine.disturbed]
    if disturbances:
        remarks.append(
            f"other processes kept up to {max(disturbances):.1f} cores busy meanwhile; what they disturbed "
            f"is marked {MARK}: repeat it on a quiet machine"
        )
    restless = [engine.engine for engine in result.engines if engine.restless]
    if restless:
        remarks.append(f"threads of {', '.join(restless)} kept running into the turns of others")
    return remarks


def _names(models: str | None) -> list[str]:
    """The models that are asked for; none stands for all of them."""
    if models is None:
        return []
    names = [name.strip() for name in models.split(",") if name.strip()]
    if not names:
        raise UsageError("--models names no model; leave it out to time all of them")
    return names
