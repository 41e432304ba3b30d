"""The table of kernels: a row for each, with bars, the slowest first."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from paddle_tvm.compiler.graph_nodes import operator_family
from paddle_tvm.compiler.profiling.kernel_table import KernelCall
from paddle_tvm.compiler.report.content import Content

_TIMED = ("ms", "share", "GFLOP/s", "of peak", "GB/s")


@dataclass
class _Row:
    """A kernel: the numbers of its calls, and sums over them."""

    call: KernelCall
    places: list[int]
    microseconds: float = 0.0
    flops: int = 0
    bytes: int = 0


def kernel_table(content: Content) -> str:
    """The table; sorting is the page's."""
    timed = _TIMED if content.profile is not None else ("GFLOP",)
    heads = [("operators", ""), ("result", ""), ("calls", "number")]
    heads += [(name, "number") for name in timed]
    heads.append(("schedule", ""))
    header = "".join(f'<th class="{kind}" data-sort>{escape(name)}</th>' for name, kind in heads)
    listed = _rows(content)
    longest = max((row.microseconds for row in listed), default=0.0)
    rows = "".join(_row(row, longest, content) for row in listed)
    return f"<table id=kernels><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>"


def _rows(content: Content) -> list[_Row]:
    rows: dict[str, _Row] = {}
    for place, call in enumerate(content.form.calls):
        if content.table.schedules[call.kernel].view:
            continue
        row = rows.setdefault(call.kernel, _Row(call, []))
        work = content.work(place)
        row.places.append(place)
        row.flops += content.flops(call) or 0
        if work is not None:
            row.microseconds += work.microseconds
            row.bytes += work.bytes or 0
    return sorted(rows.values(), key=lambda row: (-row.microseconds, -row.flops))


def _row(row: _Row, longest: float, content: Content) -> str:
    marks = "".join(
        f'<span><i class="mark {operator_family(operator.name)}"></i>{escape(operator.name)}</span> '
        for operator in row.call.operators
    )
    edge = row.call.outputs[0]
    layout = f' <em class="layout">{escape(edge.layout)}</em>' if edge.layout else ""
    places = " ".join(map(str, row.places))
    cells = [
        f'<td class=operators title="{escape(row.call.kernel)}">{marks}</td>',
        f"<td class=shape>{escape(content.shape(edge).replace(' ', ''))}{layout}</td>",
        _number(len(row.places), str(len(row.places))),
        *_measured(row, longest, content),
        f"<td class=schedule>{escape(content.schedule(row.call))}</td>",
    ]
    return f'<tr data-places="{places}">{"".join(cells)}</tr>'


def _measured(row: _Row, longest: float, content: Content) -> list[str]:
    profile = content.profile
    if profile is None:
        return [_number(row.flops, f"{row.flops / 1e9:.3f}")]
    share = profile.share(row.microseconds)
    gflops = row.flops / row.microseconds / 1e3 if row.microseconds else 0.0
    gbps = row.bytes / row.microseconds / 1e3 if row.microseconds else 0.0
    peak = gflops / profile.peak.gflops
    return [
        _number(row.microseconds, f"{row.microseconds / 1e3:.3f}"),
        _bar(share, f"{100 * share:.1f} %", "share", row.microseconds / max(longest, 1e-9)),
        _number(gflops, f"{gflops:.1f}" if gflops else "-"),
        _bar(peak, f"{100 * peak:.0f} %" if gflops else "-", "peak", peak),
        _number(gbps, f"{gbps:.1f}" if gbps else "-"),
    ]


def _number(value: float, text: str) -> str:
    return f'<td class=number data-value="{value:g}">{escape(text)}</td>'


def _bar(value: float, text: str, kind: str, length: float) -> str:
    width = 100 * min(max(length, 0.0), 1.0)
    return (
        f'<td class="number bar {kind}" data-value="{value:g}"><i style="width:{width:.1f}%"></i>'
        f"<span>{escape(text)}</span></td>"
    )
