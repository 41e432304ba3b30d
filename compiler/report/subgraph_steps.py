"""The section on subgraphs: their steps, as accelerators tell them; and what is not known of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from html import escape

from paddle_tvm.compiler.report.content import Content
from paddle_tvm.runtime.wording import counted


def subgraph_section(content: Content) -> str:
    """A section with the steps of accelerators' subgraphs; empty where there are none."""
    calls = {call.kernel for call in content.form.calls}
    parts = []
    for symbol, primitives in content.subgraphs.items():
        if symbol not in calls:
            continue
        accelerator = content.accelerator
        # Some tell the steps alone.
        told = any(step.implementation or step.layouts for step in primitives)
        kinds = Counter((step.what, step.implementation) for step in primitives)
        layouts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for step in primitives:
            layouts[step.what, step.implementation][step.layouts] += 1
        rows = "".join(
            f"<tr><td class=number>{count}</td><td>{escape(what)}</td>"
            + (f"<td><code>{escape(how)}</code></td>" if told else "")
            + (f"<td><code>{escape(_list_layouts(layouts[what, how]))}</code></td>" if told else "")
            + "</tr>"
            for (what, how), count in kinds.most_common()
        )
        steps = counted(len(primitives), "step")
        if told:
            inside = sum(step.what == "reorder" for step in primitives)
            edges = sum(step.what.startswith("reorder of") for step in primitives)
            said = (
                f"{accelerator} runs {steps}; reorders: {inside} between steps, {edges} of inputs and results"
            )
            heads = "<th>code</th><th>layouts, source to result</th>"
        else:
            said = f"{accelerator} is given {steps}, which it may join and lay out as it likes"
            heads = ""
        parts.append(
            f"<h3>{escape(symbol)}</h3><p>{escape(said)}</p>"
            f'<div class="scroll"><table{"" if told else " class=narrow"}><thead><tr>'
            "<th class=number>calls</th><th>step</th>"
            f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        )
    if not parts:
        return ""
    return f'<section id="subgraphs"><h2>Subgraphs of accelerators</h2>{"".join(parts)}</section>'


def _list_layouts(layouts: Counter[str]) -> str:
    shown = [
        text if count == 1 or len(layouts) == 1 else f"{text} ({count})"
        for text, count in layouts.most_common(4)
        if text
    ]
    return ", ".join(shown) + (", ..." if len(layouts) > 4 else "")


def unknown_numbers(content: Content) -> str:
    """Why numbers of subgraphs are missing, where there are any."""
    calls = [call for call in content.form.calls if content.table.is_subgraph(call)]
    reasons = []
    if calls and content.profile is not None:
        reasons.append("GB/s of a subgraph: what its accelerator moves between the steps is not known here")
    if content.profile is not None and content.profile.arithmetic:
        kinds, known = " and ".join(content.profile.arithmetic), content.profile.peak.precision
        reasons.append(f"share of peak of what is computed in {kinds}: the peak is that of {known}")
    if any(call.flops is None for call in calls):
        reasons.append("arithmetic of operators that only ONNX Runtime has: nothing here defines it")
    if not reasons:
        return ""
    return f'<div class="key below"><b>-</b>{"".join(f"<span>{reason}</span>" for reason in reasons)}</div>'
