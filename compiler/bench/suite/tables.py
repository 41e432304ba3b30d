"""The suite's result as tables of text, for the terminal and for a page alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from paddle_tvm.compiler.bench.disturbance import marked
from paddle_tvm.compiler.bench.result import EngineResult
from paddle_tvm.compiler.bench.suite.result import (
    OURS,
    PEERS,
    TITLES,
    Memory,
    Ratios,
    SuiteResult,
    WorkloadResult,
    geometric_mean,
)
from paddle_tvm.runtime.wording import agreeing, counted

Tone = Literal["", "good", "bad", "wrong", "best"]

_NONE = "-"


class Cell(NamedTuple):
    """A text, and what it says."""

    text: str
    tone: Tone = ""


@dataclass(frozen=True)
class Table:
    """Rows under a header; the first column is text, the others numbers."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[Cell, ...]]


def suite_tables(result: SuiteResult) -> list[Table]:
    """Times at each number of threads, other forms of ours, and what a model costs."""
    tables = [_times(result, threads) for threads in sorted({row.threads for _, row in result.rows()})]
    forms = [name for name in result.settings["engines"] if name.startswith(f"{OURS}:")]
    if forms:
        tables.append(_forms(result, forms))
    return [*tables, _costs(result, forms)]


def suite_notes(result: SuiteResult) -> list[str]:
    """What the numbers do not say: reasons, wrong answers, disturbances."""
    notes: dict[str, list[int]] = {}
    for workload, row in result.rows():
        for name, engine in row.engines.items():
            for said in _remarks(name, engine):
                notes.setdefault(f"{workload.title}: {said}", []).append(row.threads)
    everywhere = {row.threads for _, row in result.rows()}
    lines = [
        note if set(threads) == everywhere else f"{note} (at {', '.join(map(str, threads))}T)"
        for note, threads in notes.items()
    ]
    disturbed = [
        engine.disturbance or 0.0
        for _, row in result.rows()
        for engine in row.engines.values()
        if engine.disturbed
    ]
    if disturbed:
        lines.append(
            f"The machine was not idle: other processes kept up to {max(disturbed):.1f} cores busy during "
            f"{len(disturbed)} of these measurements. They, and the ratios and means that they are part of, "
            "are marked ~. On a quiet machine, --resume measures their models again."
        )
    for workload in result.workloads:
        if workload.failure is not None:
            lines.append(f"{workload.title}: not measured: {workload.failure}")
        for name, memory in workload.memory.items():
            ran = any(row.engines[name].failure is None for row in workload.rows)
            if memory.failure is not None and ran:
                lines.append(f"{workload.title}: memory of {engine_title(name)}: {memory.failure}")
    if result.interrupted:
        done = sum(workload.complete for workload in result.workloads)
        lines.append(
            f"Interrupted: {done} of {counted(result.asked, 'model')} {agreeing(done, 'is', 'are')} complete."
        )
    return lines


def engine_title(name: str) -> str:
    """What an engine is called in tables."""
    kind, _, form = name.partition(":")
    return f"{TITLES.get(kind, kind)} {form}".rstrip()


def _remarks(name: str, engine: EngineResult) -> list[str]:
    title = engine_title(name)
    if engine.failure is not None:
        return [f"{title} does not run it: {engine.failure}"]
    remarks = []
    if engine.wrong:
        remarks.append(f"{title} is WRONG, by {engine.difference:.1e} of the largest output")
    if engine.restless:
        remarks.append(f"the threads of {title} kept running into the turns of others")
    return remarks


def _times(result: SuiteResult, threads: int) -> Table:
    peers = [name for name in PEERS if name in result.settings["engines"]]
    header = ["model", "ours ms", *(f"{TITLES[peer]} ms" for peer in peers)]
    header += [f"ours / {TITLES[peer]}" for peer in peers]
    # With one peer it is the best.
    with_best = len(peers) > 1
    header += ["ours / best"] if with_best else []
    rows = []
    columns = [Ratios() for _ in range(len(peers) + with_best)]
    for workload, row in result.rows():
        if row.threads != threads:
            continue
        best = row.best_peer()
        times = [_time(row.engines[name], name == best) for name in (OURS, *peers)]
        compared = [*peers, *([best or ""] if with_best else [])]
        ratios = [row.ratio(OURS, peer) for peer in compared]
        marks = [row.disturbed(OURS, peer) for peer in compared]
        for column, ratio, mark in zip(columns, ratios, marks, strict=True):
            column.add(ratio, mark)
        rows.append((Cell(workload.title), *times, *map(_ratio, ratios, marks)))
    blank = [Cell("")] * (1 + len(peers))
    rows.append((Cell("geometric mean"), *blank, *(_ratio(c.mean, c.disturbed) for c in columns)))
    return Table(counted(threads, "thread"), tuple(header), rows)


def _forms(result: SuiteResult, forms: Sequence[str]) -> Table:
    header = ["model", "threads", "ours ms"]
    for form in forms:
        name = form.partition(":")[2]
        header += [f"{name} ms", f"{name} / ours", f"{name} compile s"]
    rows = []
    columns = {form: Ratios() for form in forms}
    for workload, row in result.rows():
        cells = [Cell(workload.title), Cell(str(row.threads)), _time(row.engines[OURS])]
        for form in forms:
            ratio, mark = row.ratio(form, OURS), row.disturbed(form, OURS)
            columns[form].add(ratio, mark)
            seconds = workload.forms[form].seconds
            cells += [_time(row.engines[form]), _plain_ratio(ratio, mark), Cell(_number(seconds or None, 1))]
        rows.append(tuple(cells))
    means = [
        cell
        for form in forms
        for cell in (Cell(""), _plain_ratio(columns[form].mean, columns[form].disturbed), Cell(""))
    ]
    rows.append((Cell("geometric mean"), Cell(""), Cell(""), *means))
    return Table("Other forms of ours", tuple(header), rows)


def _costs(result: SuiteResult, forms: Sequence[str]) -> Table:
    peers = [name for name in PEERS if name in result.settings["engines"]]
    header = ["model", "compile s", "kernels", "artifact MB", "ours peak MB"]
    header += [f"{TITLES[peer]} peak MB" for peer in peers]
    compared = "onnxruntime" in peers
    header += ["ours / ONNX Runtime"] if compared else []
    rows, ratios = [], []
    for workload in result.workloads:
        form = workload.forms.get(OURS)
        if form is None or not workload.memory:
            continue
        built = form.failure is None
        cells = [
            Cell(workload.title),
            Cell(_number(form.seconds if built else None, 1)),
            Cell(str(form.kernels) if built else _NONE),
            Cell(_number(form.artifact_bytes / 1e6 if built else None, 1)),
            *(_peak(workload.memory.get(name)) for name in (OURS, *peers)),
        ]
        if compared:
            ratio = _memory_ratio(workload)
            ratios += [] if ratio is None else [ratio]
            cells.append(_ratio(ratio))
        rows.append(tuple(cells))
    if compared:
        rows.append((Cell("geometric mean"), *[Cell("")] * (len(header) - 2), _ratio(geometric_mean(ratios))))
    return Table("Compile time, size, and peak resident memory of a running process", tuple(header), rows)


def _memory_ratio(workload: WorkloadResult) -> float | None:
    ours, theirs = workload.memory.get(OURS), workload.memory.get("onnxruntime")
    if ours is None or theirs is None or ours.failure is not None or theirs.failure is not None:
        return None
    return ours.peak / theirs.peak


def _peak(memory: Memory | None) -> Cell:
    known = memory is not None and memory.failure is None
    return Cell(_number(memory.peak / 1e6 if memory is not None and known else None, 0))


def _time(engine: EngineResult, best: bool = False) -> Cell:
    if engine.median is None:
        return Cell(_NONE)
    milliseconds = engine.median * 1e3
    text = marked(f"{milliseconds:.{_decimals(milliseconds)}f}", engine.disturbed)
    if engine.wrong:
        return Cell(f"{text} WRONG", "wrong")
    return Cell(text, "best" if best else "")


def _decimals(milliseconds: float) -> int:
    """Three digits, but never more than hundredths of a millisecond."""
    return 2 if milliseconds < 10 else 1 if milliseconds < 100 else 0


def _ratio(ratio: float | None, disturbed: bool = False) -> Cell:
    return Cell(_plain_ratio(ratio, disturbed).text, "" if ratio is None else "good" if ratio <= 1 else "bad")


def _plain_ratio(ratio: float | None, disturbed: bool) -> Cell:
    return Cell(marked(_number(ratio, 2), disturbed and ratio is not None))


def _number(value: float | None, digits: int) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"
