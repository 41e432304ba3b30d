"""The table of kernels: a row for each, with bars, the slowest first."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from paddle_tvm.compiler.profiling.kernel_table import KernelCall, Schedule, operator_kinds
from paddle_tvm.compiler.profiling.profile import Work
from paddle_tvm.compiler.report.colours import kind_mark, operator_mark
from paddle_tvm.compiler.report.content import Content

_TIMED = ("ms", "of run", "GFLOP/s", "of peak", "GB/s")


@dataclass
class _Row:
    """A kernel: the numbers of its calls, and sums over them."""

    call: KernelCall
    places: list[int]
    microseconds: float = 0.0
    flops: int = 0
    known: bool = True
    bytes: int = 0

    @property
    def gflops(self) -> float:
        """GFLOP/s; 0 where there is no arithmetic, where it is not known, or no time."""
        return self.flops / self.microseconds / 1e3 if self.microseconds and self.known else 0.0


def kernel_table(content: Content) -> str:
    """The table; sorting is the page's."""
    timed = _TIMED if content.profile is not None else ("GFLOP",)
    heads = [("operators and schedule", ""), ("result", ""), ("calls", "number")]
    heads += [(name, "number") for name in timed]
    # Without records every form is the default one, which needs no column.
    formed = any(content.table.schedules[call.kernel].form for call in content.form.calls)
    heads += [("form", "")] if formed else []
    header = "".join(f'<th class="{kind}" data-sort>{escape(name)}</th>' for name, kind in heads)
    listed = _rows(content)
    longest = max((row.microseconds for row in listed), default=0.0)
    # Some kernels pass the peak (``Schedule.passes_peak``).
    most = max(1.0, *(_peak_share(row, content) for row in listed)) if listed else 1.0
    rows = "".join(_row(row, longest, most, formed, content) for row in listed)
    head = f"<thead><tr>{header}</tr></thead>"
    return f'<table id=kernels style="--full:{1 / most:.4f}">{head}<tbody>{rows}</tbody></table>'


def bars_key(content: Content) -> str:
    """What the bars of the table mean, of those that it has; empty where nothing was timed."""
    if content.profile is None:
        return ""
    parts = ['<i class="share"></i>time, the slowest kernel being full']
    rows = _rows(content)
    if any(_peak_share(row, content) for row in rows):
        reasons = (content.table.schedules[row.call.kernel].passes_peak for row in rows)
        passes = "".join(f"; {escape(reason)}" for reason in dict.fromkeys(filter(None, reasons)))
        whose = "the GPU's" if content.profile.devices else "this machine's"
        parts.append(f'<i class="peak"></i>multiply-adds, 100 % of {whose} peak at the dashed line{passes}')
    shown = "".join(f"<span>{part}</span>" for part in parts)
    return f'<div class="key below"><b>Bars</b>{shown}</div>'


def _rows(content: Content) -> list[_Row]:
    rows: dict[str, _Row] = {}
    for place, call in enumerate(content.form.calls):
        if content.table.schedules[call.kernel].view:
            continue
        row = rows.setdefault(call.kernel, _Row(call, []))
        work = content.work(place)
        row.places.append(place)
        flops = content.flops(call)
        row.flops += flops or 0
        row.known &= flops is not None
        if work is not None:
            row.microseconds += work.microseconds
            row.bytes += work.bytes or 0
    return sorted(rows.values(), key=lambda row: (-row.microseconds, -row.flops))


def _peak_share(row: _Row, content: Content) -> float:
    if content.profile is None or not row.known:
        return 0.0
    work = Work(row.microseconds, row.flops, row.bytes)
    return content.profile.peak_share(work, content.table.schedules[row.call.kernel]) or 0.0


def _row(row: _Row, longest: float, most: float, formed: bool, content: Content) -> str:
    marks = "".join(
        f'<span><i class="mark {mark}"></i>{escape(name)}</span> ' for name, mark in _parts(row.call, content)
    )
    edge = row.call.outputs[0]
    layout = f' <em class="layout">{escape(edge.layout)}</em>' if edge.layout else ""
    places = " ".join(map(str, row.places))
    cells = [
        f'<td class=operators title="{escape(row.call.kernel)}">{marks}'
        f"<div class=schedule>{escape(content.schedule(row.call))}</div></td>",
        f"<td class=shape>{escape(content.shape(edge).replace(' ', ''))}{layout}</td>",
        _number(len(row.places), str(len(row.places))),
        *_measured(row, longest, most, content),
        *([_form(content.table.schedules[row.call.kernel])] if formed else []),
    ]
    return f'<tr data-places="{places}">{"".join(cells)}</tr>'


def _parts(call: KernelCall, content: Content) -> list[tuple[str, str]]:
    """The operators of a kernel, or how many of each kind a subgraph has, with their colours."""
    if content.table.schedules[call.kernel].external is None:
        return [(operator.name, operator_mark(operator, call)) for operator in call.operators]
    return [
        (f"{count} {name}", kind_mark(name, folded)) for (name, folded), count in operator_kinds(call).items()
    ]


def _form(schedule: Schedule) -> str:
    if schedule.choice is None or not schedule.form:
        return "<td></td>"
    return f'<td title="{escape(schedule.form)}">{schedule.choice.origin}</td>'


def _measured(row: _Row, longest: float, most: float, content: Content) -> list[str]:
    profile = content.profile
    if profile is None:
        return [_number(row.flops, f"{row.flops / 1e9:.3f}" if row.known and row.flops else "-")]
    share = profile.share(row.microseconds)
    gflops, peak = row.gflops, _peak_share(row, content)
    gbps = row.bytes / row.microseconds / 1e3 if row.microseconds else 0.0
    return [
        _number(row.microseconds, f"{row.microseconds / 1e3:.3f}"),
        _bar(share, f"{100 * share:.1f} %", "share", row.microseconds / max(longest, 1e-9)),
        _number(gflops, f"{gflops:.1f}" if gflops else "-"),
        # Without a share there is no peak to draw, either.
        _bar(peak, f"{100 * peak:.0f} %", "peak", peak / most) if peak else _number(0.0, "-"),
        _number(gbps, f"{gbps:.1f}" if gbps else "-"),
    ]


def _number(value: float, text: str) -> str:
    return f'<td class=number data-value="{value:g}">{escape(text)}</td>'


def _bar(value: float, text: str, kind: str, length: float) -> str:
    return (
        f'<td class="number bar {kind}" data-value="{value:g}"><i style="--length:{length:.4f}"></i>'
        f"<span>{escape(text)}</span></td>"
    )
