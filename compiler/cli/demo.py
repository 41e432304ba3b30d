"""``paddle-tvm demo``: the whole road on a real model."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.option("--image", type=click.Path(path_type=Path), help="Picture to read; by default the shipped one.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("demo_output"),
    show_default=True,
    help="Directory for the artifacts and the annotated picture.",
)
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="CPU threads.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; progress goes to stderr.")
def demo(image: Path | None, output: Path, threads: int, as_json: bool) -> None:
    """Compile PP-OCRv4, read a picture with it, and compare with Paddle Inference.

    Prints each recognised line beside Paddle's, writes the annotated picture, and ends with compile and load
    times, latency and sizes. Exits with 4 where a line differs from Paddle's.
    """
    from paddle_tvm.compiler.demo.weights import find_weights

    # First of all, because it says what to install where the imports below would fail.
    weights = find_weights()

    from rich.console import Console

    from paddle_tvm.compiler.demo.report import print_result
    from paddle_tvm.compiler.demo.run import run_demo

    result = run_demo(weights, output, Console(stderr=True), image=image, threads=threads)
    if as_json:
        click.echo(json.dumps(result.as_json(), ensure_ascii=False, indent=2))
    else:
        print_result(result, Console())
    result.require_equal()
