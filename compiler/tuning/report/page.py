"""Renders the report of a tuning run as one page that needs nothing else."""

from __future__ import annotations

from collections import defaultdict
from html import escape
from importlib.resources import files
from typing import get_args

from paddle_tvm.compiler.report.page_parts import fact, fill, section
from paddle_tvm.compiler.tuning.finalists import WORSE
from paddle_tvm.compiler.tuning.outcome import Outcome, Status
from paddle_tvm.compiler.tuning.report.content import Content
from paddle_tvm.compiler.tuning.report.curves import latency_curve, task_cards
from paddle_tvm.compiler.tuning.report.winners import graph_choices, winners_table
from paddle_tvm.compiler.tuning.standings_view import show_ms, show_time, show_timed_on, show_trials
from paddle_tvm.compiler.tuning.workload_names import name_form, name_workload

FAILURES: dict[Status, str] = {
    "wrong": "its output is not that of the default form",
    "crash": "it ended the process that ran it",
    "timeout": "it was not done in time",
    "memory": "it needed more memory than it may take",
    "error": "it could not be built, or raised an error",
}
"""What the kinds of failures mean."""

_EXAMPLES = 20
# Notes above the numbers; a process that measures may be started again many times.
_NOTES_SHOWN = 4


def render(content: Content) -> str:
    """The page."""
    template = files(__package__).joinpath("tuning_page.html").read_text(encoding="utf-8")
    sections = {
        "Latency": ("Expected latency of a run", latency_curve(content)),
        "Winners": ("What won", winners_table(content)),
        "Choices": ("Choices above kernels", graph_choices(content)),
        "Tasks": ("Tasks", task_cards(content)),
        "Failures": ("Failures", _failures(content)),
        "Environment": ("Environment", _environment(content)),
    }
    # A section that has nothing to show is left out, with its link.
    sections = {name: (title, body) for name, (title, body) in sections.items() if body}
    parts = {
        "TITLE": escape(content.model),
        "SUBTITLE": escape(content.subtitle),
        "NOTICE": _notice(content),
        "FACTS": "".join(fact(*shown) for shown in _facts(content)),
        "LINKS": "".join(f'<a href="#{name.lower()}">{name}</a>' for name in sections),
        "SECTIONS": "".join(section(name.lower(), *shown) for name, shown in sections.items()),
    }
    return fill(template, parts)


def _notice(content: Content) -> str:
    """What has to be known of the numbers, such as that the model became slower; it stands above them."""
    notes = list(dict.fromkeys(content.history.notes))
    if content.result is None:
        notes.insert(
            0,
            "Interrupted before the best forms were compared with the defaults. What was tried is in the "
            "log, and the same command goes on from there.",
        )
    shown = "".join(f"<p>{escape(note)}</p>" for note in notes[:_NOTES_SHOWN])
    rest = "".join(f"<p>{escape(note)}</p>" for note in notes[_NOTES_SHOWN:])
    if rest:
        shown += f"<details><summary>{len(notes) - _NOTES_SHOWN} more</summary>{rest}</details>"
    return f'<div class="notice">{shown}</div>' if shown else ""


def _facts(content: Content) -> list[tuple[str, str, str]]:
    history, result = content.history, content.result
    facts = []
    if result is not None:
        for threads, tuned in sorted(result.tuned_seconds.items(), reverse=True):
            before = result.default_seconds[threads]
            gain = f"{before / tuned:.2f}x{', slower' if tuned > WORSE * before else ''}"
            facts.append(
                (
                    f"one run, {show_timed_on(threads, content.on_gpu)}",
                    f"{show_ms(tuned)} ms",
                    f"{gain}; {show_ms(before)} ms in default forms, timed in turns",
                )
            )
    if history.moments:
        expected = history.moments[-1].expected
        # What the search has hoped for says nothing once the comparison has refuted all of it.
        if expected and (result is None or any(one.is_better for one in history.comparisons)):
            gain = f"{history.model_seconds / expected:.2f}x"
            facts.append(("expected by the search", gain, f"a run of {show_ms(expected)} ms"))
        searched = history.moments[-1].elapsed - history.moments[0].elapsed
        failed = sum(len(outcomes) for outcomes in _failed(content).values())
        rate = f"{(history.trials - 1) / searched:.1f} a second" if searched > 0 else "in no time"
        facts.append(("trials", str(history.trials), f"{rate}, {failed} failed, earlier ones included"))
    if history.tasks:
        share = sum(task.share for task in history.tasks)
        facts.append(("tasks", str(len(history.tasks)), f"{100 * share:.0f} % of a run in default forms"))
    if result is not None:
        facts.append(("took", show_time(result.elapsed), "from the import to the last comparison"))
    return facts


def _failed(content: Content) -> dict[Status, list[tuple[str, Outcome]]]:
    failed: defaultdict[Status, list[tuple[str, Outcome]]] = defaultdict(list)
    for task in content.history.tasks:
        name = name_workload(task.workload)
        for outcome in task.outcomes:
            if outcome.status != "ok":
                failed[outcome.status].append((name, outcome))
    return failed


def _failures(content: Content) -> str:
    failed = _failed(content)
    if not failed:
        return "<p>Nothing failed.</p>"
    parts = ["<p>A form that fails is recorded, and not tried again.</p>"]
    for status in get_args(Status):
        found = failed.get(status)
        if not found:
            continue
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td><code>{escape(name_form(outcome.config))}</code></td>"
            f"<td class=detail>{escape(outcome.detail)}</td></tr>"
            for name, outcome in found[:_EXAMPLES]
        )
        more = f"<p><small>and {len(found) - _EXAMPLES} more</small></p>" if len(found) > _EXAMPLES else ""
        parts.append(
            f"<details><summary><b>{len(found)}</b> {status} <small>{FAILURES[status]}</small></summary>"
            "<div class=scroll><table><thead><tr><th>operator</th><th>form</th><th>what was said</th></tr>"
            f"</thead><tbody>{rows}</tbody></table></div>{more}</details>"
        )
    return "".join(parts)


def _environment(content: Content) -> str:
    kept = sum(content.history.kept)
    facts = {**content.environment, **({"earlier runs": show_trials(kept)} if kept else {})}
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in facts.items()
    )
    return f"<table><tbody>{rows}</tbody></table>"
