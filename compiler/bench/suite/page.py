"""The suite's result as a Markdown page."""

from __future__ import annotations

from paddle_tvm.compiler.bench.suite.result import SuiteResult
from paddle_tvm.compiler.bench.suite.tables import Cell, Table, suite_notes, suite_tables

_METHOD = """\
Times are medians in milliseconds, from NumPy arrays in to NumPy arrays out, float32, batch 1 unless the
model's name says otherwise. Each engine runs in its own process, and all of them take turns in every round:
wait until no thread of any of them runs, warm up, then run for 0.6 s and at least three times. A time is the
median over the rounds of each round's median. Ratios are our time over the other engine's, the median over
the rounds of the ratio in each: below 1 we are faster. The best of the other engines is in bold; ~ marks what
was measured while other processes kept a tenth of a core busy, and what is computed from that. Every engine
knows the input shapes when it loads the model; ONNX Runtime, and OpenVINO where it does not read the model
itself, get what paddle2onnx makes of it."""


def suite_page(result: SuiteResult, plot: str | None) -> str:
    """Tables, notes, the machine and the method; ``plot`` is the picture's file name."""
    parts = ["# Benchmark", _METHOD]
    if plot is not None:
        parts.append(f"![Our time and that of the other engines]({plot})")
    parts += [f"## {table.title}\n\n{_markdown(table)}" for table in suite_tables(result)]
    notes = suite_notes(result)
    if notes:
        parts.append("## Notes\n\n" + "\n".join(f"- {_escaped(note)}" for note in notes))
    rounds = f"| rounds | {result.settings['rounds']} |"
    machine = [f"| {name} | {_escaped(value)} |" for name, value in result.machine.items()]
    parts.append("\n".join(["## Machine\n", "| | |", "|---|---|", *machine, rounds]))
    return "\n\n".join(parts) + "\n"


def _markdown(table: Table) -> str:
    lines = [table.header, ("---", *("---:" for _ in table.header[1:]))]
    lines += [tuple(_cell(cell) for cell in row) for row in table.rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(cell: Cell) -> str:
    text = _escaped(cell.text)
    return f"**{text}**" if cell.tone in ("best", "wrong") else text


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
