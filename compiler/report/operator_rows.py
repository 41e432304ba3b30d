"""The table of operators: what became of each, those of a subgraph together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from paddle_tvm.compiler.report.content import Content
from paddle_tvm.compiler.report.operators import Fate, operator_fates

_FATES = {
    "own": "own kernel",
    "fused": "fused",
    "folded": "folded",
    "external": "accelerator",
    "loops": "TVM's loops",
    "view": "view",
    "constant": "constant",
}


def fate_filters(content: Content) -> str:
    """A button for each fate, with how many operators have it."""
    counts = Counter(fate.kind for fate in operator_fates(content))
    return "".join(
        f'<button class="fate {kind}" data-fate="{kind}">{escape(name)} {counts[kind]}</button>'
        for kind, name in _FATES.items()
        if counts[kind]
    )


def operator_rows(content: Content) -> str:
    """The rows of the table."""
    together: dict[object, list[Fate]] = {}
    for fate in operator_fates(content):
        # Those of a subgraph are too many for a row each, and all rows would say the same.
        alike = fate.place is not None and content.table.is_subgraph(content.form.calls[fate.place])
        key = (fate.kind, fate.what, fate.place) if alike else fate
        together.setdefault(key, []).append(fate)
    rows = []
    for fates in together.values():
        fate = fates[0]
        place = "" if fate.place is None else f' data-place="{fate.place}"'
        rows.append(
            f'<tr data-kind="{fate.kind}"{place}><td>{_names(fates)}</td>'
            f'<td><span class="fate {fate.kind}">{escape(_FATES[fate.kind])}</span></td>'
            f"<td>{escape(fate.what)}</td></tr>"
        )
    return "".join(rows)


def _names(fates: Sequence[Fate]) -> str:
    """The operators of a row; of several how many there are of each kind, which opens to their names."""
    if len(fates) == 1:
        return escape(fates[0].operator)
    kinds = Counter(fate.operator.partition(" ")[0] for fate in fates)
    heading = ", ".join(f"{count} {name}" for name, count in kinds.most_common())
    listed = ", ".join(fate.operator for fate in fates)
    return f"<details><summary>{escape(heading)}</summary>{escape(listed)}</details>"
