"""The tables of what won: forms of kernels, and choices above kernels."""

from __future__ import annotations

from html import escape

from paddle_tvm.compiler.tuning.report.content import Content
from paddle_tvm.compiler.tuning.standings_view import show_gain, show_ms, show_timed_on
from paddle_tvm.compiler.tuning.task import Comparison
from paddle_tvm.compiler.tuning.workload_names import name_form, name_workload
from paddle_tvm.runtime.wording import counted


def winners_table(content: Content) -> str:
    """For each task the default form, that which won, and how they compare; what saves most comes first."""
    history = content.history
    comparisons = history.comparisons
    if not comparisons:
        # Where choices above kernels are all that there is to choose, they have a section of their own.
        only_above = history.graph_trials and not history.tasks
        return "" if only_above else "<p>No form was compared with the default.</p>"
    counts = sorted({count for comparison in comparisons for count in comparison.seconds}, reverse=True)
    heads = [
        ("operator", False),
        *((f"gain, {show_timed_on(count, content.on_gpu)}", True) for count in counts),
    ]
    at_sizes = any(comparison.elsewhere for comparison in comparisons)
    at_other = f"gain at other sizes, {show_timed_on(content.threads, content.on_gpu)}"
    heads += [(at_other, True)] if at_sizes else []
    heads += [
        ("saves in a run", True),
        ("calls", True),
        (f"ms, {show_timed_on(content.threads, content.on_gpu)}", True),
    ]
    heads += [("GFLOP/s", True), ("of peak", True)]
    head = "".join(
        f"<th data-sort{' class=number' if number else ''}>{escape(name)}</th>" for name, number in heads
    )
    most = max(max(_saved(one, content.threads) for one in comparisons), 1e-12)
    rows = "".join(
        _row(comparison, counts, most, content, at_sizes)
        for comparison in sorted(comparisons, key=lambda one: -_saved(one, content.threads))
    )
    better = sum(comparison.is_better for comparison in comparisons)
    tasks = counted(len(content.history.tasks), "task")
    return (
        f"<p>A form that is faster than the default won in <b>{better}</b> of {tasks}. The best of a task "
        "and its default were timed in turns; these are the times below.</p>"
        f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def graph_choices(content: Content) -> str:
    """What was tried above kernels (layouts, fusions, an accelerator's subgraphs), with the whole model."""
    trials = content.history.graph_trials
    if not trials:
        return ""
    rows = []
    for trial in trials:
        threads = next(iter(trial.seconds))
        now, before = trial.seconds[threads], trial.default[threads]
        cells = [
            f"<td class=name>{escape(name_workload(trial.workload))}</td>",
            f"<td><code>{escape(name_form(trial.config))}</code></td>",
            _number(before / now, f"{before / now:.2f}x"),
            _number(before, f"{show_ms(before)} → {show_ms(now)}"),
            f"<td>{'kept' if trial.rejected is None else escape(f'not kept: {trial.rejected}')}</td>",
        ]
        rows.append(f"<tr{'' if trial.won else ' class=same'}>{''.join(cells)}</tr>")
    return (
        "<p>Each was tried with the whole model, in turns with the best before it.</p>"
        "<div class=scroll><table><thead><tr><th>choice</th><th>other form</th>"
        "<th class=number>gain</th><th class=number>ms, one run, "
        f"{show_timed_on(content.threads, content.on_gpu)}</th><th></th>"
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(comparison: Comparison, counts: list[int], most: float, content: Content, at_sizes: bool) -> str:
    task, better = comparison.task, comparison.is_better
    now, before = comparison.seconds[content.threads], comparison.default[content.threads]
    peak = content.history.peak_gflops
    gflops = 0.0 if task.flops is None else task.flops / now / 1e9
    saved = _saved(comparison, content.threads)
    default, winner = (
        f"<code>{escape(name_form(config))}</code>"
        for config in (task.workload.default(), comparison.winner.config)
    )
    forms = [("default", default), ("winner", winner)] if better else [("winner", f"the default, {default}")]
    forms += [("not kept", escape(comparison.rejected))] if comparison.rejected else []
    listed = "".join(f"<span><i>{whose} </i><em>{form}</em></span>" for whose, form in forms)
    cells = [
        f'<td class=name title="{escape(", ".join(task.names))}">'
        f"<b>{escape(name_workload(task.workload))}</b>{listed}</td>"
    ]
    for count in counts:
        if count in comparison.seconds:
            gain = comparison.default[count] / comparison.seconds[count]
            cells.append(_number(gain, f"{gain:.2f}x"))
        else:
            cells.append(_number(0.0, "-"))
    if at_sizes:
        elsewhere = comparison.gains_elsewhere(content.threads)
        cells.append(_number(min(elsewhere, default=0.0), " ".join(map(show_gain, elsewhere)) or "-"))
    cells += [
        f'<td class="bar number" data-value="{saved:.9f}"><i style="--length:{max(saved, 0) / most:.4f}"></i>'
        f"<span>{saved * 1e3:.3f} ms</span></td>",
        _number(task.calls, str(task.calls)),
        _number(before, show_ms(before) + (f" → {show_ms(now)}" if better else "")),
        _number(gflops, f"{gflops:.0f}" if gflops else "-"),
        _number(gflops, f"{100 * gflops / peak:.0f} %" if gflops and peak else "-"),
    ]
    return f"<tr{'' if better else ' class=same'}>{''.join(cells)}</tr>"


def _saved(comparison: Comparison, threads: int) -> float:
    """Seconds that the winner saves in a run of the model."""
    return comparison.task.calls * (comparison.default[threads] - comparison.seconds[threads])


def _number(value: float, text: str) -> str:
    return f'<td class=number data-value="{value:.9g}">{escape(text)}</td>'
