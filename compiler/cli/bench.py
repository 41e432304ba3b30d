"""``paddle-tvm bench``: an artifact beside other engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paddle_tvm.compiler.cli.extras import require_compiler
from paddle_tvm.compiler.cli.shape_option import parse_one_shape_set, shape_option
from paddle_tvm.runtime.errors import PaddleTvmError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from paddle_tvm.compiler.bench.result import BenchResult


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--model", type=click.Path(path_type=Path), help="The model it came from, for the other engines."
)
@click.option("--against", default="", metavar="ENGINE,...", help="Of paddle, onnxruntime and openvino.")
@click.option(
    "--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="For every engine."
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Turns of each engine."
)
@shape_option("Shape of an input; by default a small one that is shown.")
@click.option("--cold", is_flag=True, help="Time whole processes, from their start to the first result.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random input.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; progress goes to stderr.")
def bench(
    artifact: Path,
    model: Path | None,
    against: str,
    threads: int,
    rounds: int,
    shapes: tuple[str, ...],
    cold: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Time ARTIFACT beside other engines, each in its own process, taking turns.

    Times are from NumPy arrays in to NumPy arrays out. An engine that cannot run the model is shown with its
    reason, and one that gives another answer is marked.
    """
    asked = parse_one_shape_set(shapes)
    require_compiler("bench")
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from paddle_tvm.compiler.bench.model_files import parse_peers
    from paddle_tvm.compiler.bench.session import bench_artifact
    from paddle_tvm.compiler.cli.console import stderr_console, stdout_console

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

        result = bench_artifact(
            artifact,
            model,
            peers,
            shapes=asked,
            threads=threads,
            rounds=rounds,
            cold=cold,
            seed=seed,
            on_start=lambda total: progress.update(task, total=total),
            on_turn=on_turn,
        )
    if as_json:
        click.echo(json.dumps(result.as_json(), indent=2))
    else:
        _print_result(result, stdout_console())
    if result.engines[0].failure is not None:
        raise PaddleTvmError(f"the artifact itself could not be timed: {result.engines[0].failure}")


def _print_result(result: BenchResult, console: Console) -> None:
    from rich.table import Table

    shapes = " ".join(f"{name}={','.join(map(str, shape))}" for name, shape in result.shapes.items())
    what = "process start to first result" if result.cold else "one run"
    threads = f"{result.threads} thread{'s' if result.threads > 1 else ''}"
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
            f"{engine.median * 1e3:.2f}",
            f"{min(engine.times) * 1e3:.2f}",
            "-" if ratio is None else f"{ratio:.2f}",
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
