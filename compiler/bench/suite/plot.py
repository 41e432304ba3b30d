"""The suite's result as a picture: every engine's time relative to the fastest of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from paddle_tvm.compiler.bench.disturbance import MARK, marked
from paddle_tvm.compiler.bench.suite.result import OURS, PEERS, TITLES, Ratios, Row, SuiteResult
from paddle_tvm.runtime.wording import counted

_COLOURS = {OURS: "#c8102e", "paddle": "#5b7f95", "onnxruntime": "#8a6fb0", "openvino": "#d0993a"}
_MARKS = {OURS: "o", "paddle": "s", "onnxruntime": "D", "openvino": "^"}
# Beyond them a point stands on the edge.
_LIMITS = (0.4, 4.0)
_TICKS = (0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0)
_INK, _FAINT = "#222222", "#d9d9d9"


def draw_suite(result: SuiteResult, files: list[Path]) -> None:
    """Draw one panel for each number of threads, and write it to ``files``, in the formats of their names."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = sorted({row.threads for _, row in result.rows()})
    names = [workload.title for workload in result.workloads if workload.rows]
    figure = Figure(figsize=(2.6 + 4.6 * len(counts), 1.7 + 0.36 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(counts), sharey=True, squeeze=False)[0]
    for panel, threads in zip(panels, counts, strict=True):
        _draw_panel(panel, result, threads, names)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    figure.suptitle(
        "paddle-tvm beside other engines: time relative to the fastest of the others",
        x=0.01,
        ha="left",
        fontsize=13,
        color=_INK,
    )
    if any(workload.disturbed for workload in result.workloads):
        hollow = {"facecolor": "white", "edgecolor": "#777777", "linewidth": 1.2}
        panels[0].scatter([], [], s=40, label=f"hollow, {MARK}: other processes disturbed it", **hollow)
    handles, labels = panels[0].get_legend_handles_labels()
    legend = figure.legend(
        handles, labels, loc="outside lower left", ncols=len(labels), frameon=False, fontsize=9
    )
    legend.set_title(result.machine["cpu"])
    legend.get_title().set(fontsize=7, color="#777777")
    for file in files:
        figure.savefig(file, dpi=160)


def _draw_panel(panel: Any, result: SuiteResult, threads: int, names: list[str]) -> None:
    from matplotlib.ticker import NullLocator

    panel.set_xscale("log")
    panel.set_xlim(*_LIMITS)
    panel.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS], fontsize=8)
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_title(counted(threads, "thread"), loc="left", fontsize=10, color=_INK)
    rows = {workload.title: row for workload, row in result.rows() if row.threads == threads}
    ratios = Ratios()
    for row in rows.values():
        best = row.best_peer() or ""
        ratios.add(row.ratio(OURS, best), row.disturbed(OURS, best))
    if ratios.mean is not None:
        title = marked(f"geometric mean {ratios.mean:.2f}", ratios.disturbed)
        panel.set_title(title, loc="right", fontsize=9, color=_INK)
    panel.axvspan(_LIMITS[0], 1, color="#eef6ee", zorder=0)
    panel.axvline(1, color="#777777", linewidth=1, zorder=1)
    panel.grid(axis="x", color=_FAINT, linewidth=0.6, zorder=0)
    panel.tick_params(length=0, colors=_INK)
    for side in panel.spines.values():
        side.set_visible(False)
    panel.set_xlabel(
        "faster  ←  time / best of the others  →  slower (at the edge: beyond it)", fontsize=8, color=_INK
    )
    points: dict[str, list[_Point]] = {name: [] for name in (*PEERS, OURS)}
    for place, title in enumerate(names):
        panel.axhline(place, color=_FAINT, linewidth=0.6, zorder=0)
        if title in rows:
            _place(panel, rows[title], place, points)
    for name, placed in points.items():
        if name not in result.settings["engines"]:
            continue
        ours = name == OURS
        for disturbed in (False, True):
            some = [point for point in placed if point.disturbed == disturbed]
            panel.scatter(
                [point.ratio for point in some],
                [point.place for point in some],
                s=64 if ours else 30,
                marker=_MARKS[name],
                facecolor="white" if disturbed else _COLOURS[name],
                edgecolor=_COLOURS[name] if disturbed else "white",
                linewidth=1.2 if disturbed else 0.8,
                zorder=4 if ours else 3,
                # In the legend an engine stands once.
                label=None if disturbed else TITLES.get(name, "paddle-tvm"),
                clip_on=False,
            )


class _Point(NamedTuple):
    """An engine's time over the best peer's, on the line of a model."""

    ratio: float
    place: int
    disturbed: bool


def _place(panel: Any, row: Row, place: int, points: dict[str, list[_Point]]) -> None:
    """Add one model's points, clipped to the panel, and its numbers at the right."""
    best = row.best_peer()
    if best is None:
        return
    for name, placed in points.items():
        ratio = row.ratio(name, best)
        if ratio is not None:
            shown = min(max(ratio, _LIMITS[0]), _LIMITS[1])
            placed.append(_Point(shown, place, row.disturbed(name, best)))
    ratio, ours = row.ratio(OURS, best), row.engines[OURS].median
    if ratio is None or ours is None:
        text, colour = "ours: none", "#777777"
    else:
        text = marked(f"{ratio:.2f}", row.disturbed(OURS, best))
        colour = "#1b7837" if ratio <= 1 else _COLOURS[OURS]
    panel.annotate(
        text, (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=8.5, color=colour
    )
