"""The colours of a report: one for each kind of operator, and what they mean."""

from __future__ import annotations

from html import escape

from paddle_tvm.compiler.graph_nodes import operator_family
from paddle_tvm.compiler.profiling.kernel_table import KernelCall, Operator
from paddle_tvm.compiler.report.content import Content

TRANSFORM, OUTSIDE, FOLDED, SUBGRAPH = "transform", "runtime", "folded", "subgraph"

# By the class that the page's style sheet colours.
_MEANINGS = {
    "convolution": "convolution",
    "matrix": "matrix product, recurrence, look-up",
    "normalisation": "normalisation",
    "activation": "activation",
    "pooling": "pooling, reduction",
    "arithmetic": "arithmetic",
    "shape": "shape, copy, resize",
    "other": "other operator",
    FOLDED: "folded into weights, wholly or in part",
    TRANSFORM: "layout transform",
    SUBGRAPH: "subgraph of an accelerator, of whatever operators",
    OUTSIDE: "outside kernels",
}


def operator_mark(operator: Operator, call: KernelCall) -> str:
    """The class that colours an operator of a kernel."""
    if operator in call.folded:
        return FOLDED
    return TRANSFORM if operator.number is None else operator_family(operator.name)


def kind_mark(name: str, folded: bool) -> str:
    """The class that colours operators of a name in a subgraph."""
    return FOLDED if folded else operator_family(name)


def colour_key(content: Content, *, timed: bool) -> str:
    """What the colours mean, of those that a page shows; ``timed`` adds those of parts of a run."""
    shown = {operator_mark(operator, call) for call in content.form.calls for operator in call.operators}
    if timed:
        shown.add(OUTSIDE)
        if any(content.table.subgraph_name(call) for call in content.form.calls):
            shown.add(SUBGRAPH)
    return "".join(
        f'<span><i class="mark {mark}"></i>{escape(meaning)}</span>'
        for mark, meaning in _MEANINGS.items()
        if mark in shown
    )
