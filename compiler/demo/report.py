"""The demo's result as tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from paddle_tvm.runtime.wording import agreeing

from .pipeline import TextLine
from .result import DemoResult, LinePair


def print_result(result: DemoResult, console: Console) -> None:
    """Print the lines beside Paddle's, the verdict, and the measurements."""
    if result.lines:
        console.print(_lines_table(result))
    console.print(_verdict(result))
    console.print(f"Annotated picture: {result.annotated}", soft_wrap=True)
    console.print()
    console.print(_measurements_table(result))
    console.print(
        f"To run artifacts takes {_megabytes(result.runtime_bytes)} beyond NumPy; "
        f"Paddle takes {_megabytes(result.paddle_bytes)} without its dependencies (byte code left out)."
    )


def _lines_table(result: DemoResult) -> Table:
    table = Table(title=f"Lines in {result.picture.name}", title_justify="left")
    table.add_column("", justify="right")
    table.add_column("paddle-tvm", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("Paddle Inference", overflow="fold")
    table.add_column("score", justify="right")
    table.add_column("equal")
    for number, pair in enumerate(result.lines, start=1):
        table.add_row(str(number), *_cells(pair.ours), *_cells(pair.paddle), _mark(pair))
    return table


def _cells(line: TextLine | None) -> tuple[Text, str]:
    # Text, not str: brackets in what was read are no markup.
    return (Text("no line", style="dim"), "") if line is None else (Text(line.text), f"{line.score:.4f}")


def _mark(pair: LinePair) -> Text:
    return Text("yes", style="green") if pair.equal else Text("NO", style="bold red")


def _verdict(result: DemoResult) -> Text:
    if not result.lines:
        return Text("No text was recognised in the picture, by either engine.", style="yellow")
    count = len(result.lines)
    if not result.equal:
        differing = sum(not pair.equal for pair in result.lines)
        differ = agreeing(differing, "differs", "differ")
        return Text(
            f"{differing} of {count} lines {differ} from Paddle Inference's.",
            style="bold red",
        )
    verdict = f"Every line ({count} of {count}) equals Paddle Inference's, character for character."
    if result.drawn is not None:
        verdict += f" As drawn: {result.lines_as_drawn} of {len(result.drawn)}."
    return Text(verdict, style="green")


def _measurements_table(result: DemoResult) -> Table:
    table = Table(
        title=f"Compile, load and run on {result.threads} thread{'s' * (result.threads > 1)}",
        title_justify="left",
        caption="Latency: all calls for the picture, median of rounds in turns. Paddle runs with oneDNN.\n"
        "Each artifact carries its own TVM runtime library.",
        caption_justify="left",
    )
    models = result.models
    table.add_column("")
    for heading in (*(model.name for model in models), "together"):
        table.add_column(heading, justify="right")

    def add(label: str, values: list[float], form: Callable[[float], str], section: bool = False) -> None:
        table.add_row(label, *map(form, [*values, sum(values)]), end_section=section)

    add("calls", [m.calls for m in models], str, section=True)
    add("compile", [m.compile_seconds for m in models], _seconds)
    add("load", [m.load_seconds for m in models], _seconds)
    add("load, Paddle", [m.paddle_load_seconds for m in models], _seconds, section=True)
    latency, paddle = [m.latency for m in models], [m.paddle_latency for m in models]
    add("latency", latency, _milliseconds)
    add("latency, Paddle", paddle, _milliseconds)
    pairs = zip([*latency, sum(latency)], [*paddle, sum(paddle)], strict=True)
    table.add_row("ours / Paddle", *(_ratio(ours, other) for ours, other in pairs), end_section=True)
    add("artifact", [m.artifact_bytes for m in models], _megabytes)
    add("model, Paddle", [m.model_bytes for m in models], _megabytes)
    return table


def _ratio(ours: float, paddle: float) -> str:
    return f"{ours / paddle:.2f}" if paddle else "-"


def _seconds(value: float) -> str:
    return f"{value:.2f} s"


def _milliseconds(value: float) -> str:
    return f"{value * 1e3:.1f} ms"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:.1f} MB"
