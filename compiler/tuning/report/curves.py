"""The curves of a tuning run: of the model over time, and of each task over its trials."""

from __future__ import annotations

import json
from html import escape

from paddle_tvm.compiler.report.page_parts import key
from paddle_tvm.compiler.tuning.report.content import Content
from paddle_tvm.compiler.tuning.report.plot import Axes, area, dots, level, plot, steps, ticks, time_ticks
from paddle_tvm.compiler.tuning.standings_view import show_gain, show_ms, show_share, show_time, show_trials
from paddle_tvm.compiler.tuning.task import Task
from paddle_tvm.compiler.tuning.workload_names import name_workload
from paddle_tvm.runtime.wording import counted

_MOST_COLUMNS, _MOST_ROWS = 8, 5
# A curve of a gain of nothing should look flat.
_LEAST_RANGE = 0.05


def latency_curve(content: Content) -> str:
    """The expected latency of a run of the model over the time of the search.

    Empty where there was nothing to search, for choices above kernels are not expected but timed.
    """
    history = content.history
    if not history.moments:
        if history.graph_trials and not history.tasks:
            return ""
        kept = sum(history.kept)
        earlier = f" in this run; the log holds {show_trials(kept)} of earlier ones" if kept else ""
        return f"<p>Nothing was tried{earlier}.</p>"
    before = history.model_seconds * 1e3
    first, last = history.moments[0].elapsed, history.moments[-1].elapsed
    points = [(0.0, before)]
    points += [(moment.elapsed - first, moment.expected * 1e3) for moment in history.moments]
    least, most = min(y for _, y in points), max(y for _, y in points)
    margin = max(most - least, _LEAST_RANGE * most) * 0.15
    axes = Axes(0.0, max(last - first, 1e-3), max(least - margin, 0.0), most + margin)
    rows = [(y, f"{y:g} ms") for y in ticks(axes.low, axes.high, _MOST_ROWS)]
    columns = [(x, show_time(x)) for x in time_ticks(axes.right, _MOST_COLUMNS)]
    inside = level(axes, before, "before") + steps(axes, [*points, (axes.right, points[-1][1])], "now")
    data = json.dumps([[round(axes.x(x), 5), show_time(x), show_ms(y / 1e3)] for x, y in points])
    return (
        plot(axes, inside, rows, columns, "latency", "<i class=at></i><b class=at></b>")
        + key(("before", "default forms"), ("now", "best forms so far"))
        + f"<script>const moments = {data}, before = {before:.6g};</script>"
    )


def task_cards(content: Content) -> str:
    """A small plot for each task: the speed of each trial and the best so far, the default's being 1."""
    history = content.history
    cards = [
        _card(task, kept, content)
        for task, kept in zip(history.tasks, history.kept, strict=True)
        if task.outcomes
    ]
    idle = len(history.tasks) - len(cards)
    if not cards:
        return f"<p>Nothing was tried of {counted(idle, 'task')}.</p>" if idle else ""
    marks = [("now", "best so far"), ("before", "default, speed 1"), ("trial", "a trial")]
    marks += [("failed", "failed")] if any(task.failed for task in history.tasks) else []
    marks += [("kept", "of an earlier run")] if any(history.kept) else []
    rest = f"<p><small>{idle} more, of which nothing was tried.</small></p>" if idle else ""
    return f'{key(*marks)}<div class="cards">{"".join(cards)}</div>{rest}'


def _card(task: Task, kept: int, content: Content) -> str:
    failed = [number for number, outcome in enumerate(task.outcomes, 1) if outcome.status != "ok"]
    timed = [(number, outcome.median) for number, outcome in enumerate(task.outcomes, 1) if outcome.seconds]
    # Where the default could not be timed, the first that could stands for it.
    unit = task.default or (timed[0][1] if timed else 1.0)
    speeds = [(float(number), unit / seconds) for number, seconds in timed]
    best: list[tuple[float, float]] = []
    for number, speed in speeds:
        if not best or speed > best[-1][1]:
            best.append((number, speed))
    total = len(task.outcomes)
    if best:
        best.append((float(total), best[-1][1]))
    axes = Axes(1.0, float(max(total, 2)), 0.0, max([1.0, *(speed for _, speed in speeds)]) * 1.08)
    inside = (
        (area(axes, 1.0, float(kept), "kept") if kept > 1 else "")
        + level(axes, 1.0, "before")
        + dots(axes, speeds, "trial")
        + dots(axes, [(float(number), axes.high * 0.03) for number in failed], "failed")
        + steps(axes, best, "now")
    )
    peak = _of_peak(task, content)
    reached = [] if task.gflops is None else [f"{task.gflops:.0f} GFLOP/s{peak}"]
    said = ", ".join([*reached, show_trials(total, task.failed)])
    calls = counted(task.calls, "call")
    return (
        f'<div class="card"><div class="head"><b>{escape(name_workload(task.workload))}</b>'
        f"<em>{show_gain(task.gain)}</em></div>"
        f"<small>{show_share(task.share, 1)} of a run in default forms, {calls}</small>"
        f"{plot(axes, inside, [(1.0, '1')], [(1.0, '1'), (axes.right, str(total))], 'task')}"
        f"<small>{escape(said)}</small></div>"
    )


def _of_peak(task: Task, content: Content) -> str:
    """The share of the machine's peak that a task's best form reaches, behind its rate."""
    peak = content.history.peak_gflops
    return "" if task.gflops is None or not peak else f", {100 * task.gflops / peak:.0f} % of peak"
