"""Draws the kernels of a form: what is fused in each, and shape and layout of what goes between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from paddle_tvm.compiler.graph_html import curve
from paddle_tvm.compiler.graph_layout import Layout, Node, lay_out
from paddle_tvm.compiler.profiling.kernel_table import Edge, KernelCall, count_computed, operator_kinds
from paddle_tvm.compiler.report.colours import kind_mark, operator_mark
from paddle_tvm.compiler.report.content import Content
from paddle_tvm.runtime.wording import counted

_CHAR = 6.65
_ROW = 19.0
_PADDING = 12.0
_MARGIN = 30.0
# Kinds of operators in the box of a subgraph.
_KINDS_SHOWN = 6


@dataclass(eq=False)
class _Box:
    """A kernel or a port; ``rows`` are (text, detail, kind)."""

    kind: str
    rows: list[tuple[str, str, str]]
    place: int | None = None
    heat: float = 0.0
    readers: list[tuple[_Box, Edge]] = field(default_factory=list)


def draw_kernels(content: Content) -> str:
    """The graph of a form as SVG; ``data-place`` of a box is the number of its call."""
    boxes = _boxes(content)
    nodes = [Node(_width(box), len(box.rows) * _ROW + 8) for box in boxes]
    index = {box: number for number, box in enumerate(boxes)}
    edges = [(index[box], index[reader], edge) for box in boxes for reader, edge in box.readers]
    layout = lay_out(nodes, [(start, end) for start, end, _ in edges])
    return _svg(boxes, nodes, layout, [edge for _, _, edge in edges], content)


def is_transform(content: Content, call: KernelCall) -> bool:
    """Whether a call only changes the layout of a tensor, and moves it for that."""
    if content.table.schedules[call.kernel].view:
        return False
    if not call.inputs or not call.outputs or any(operator.number is not None for operator in call.operators):
        return False
    before, after = call.inputs[0], call.outputs[0]
    if before.layout != after.layout:
        return True
    return before.shape != after.shape and sorted(map(str, before.shape)) == sorted(map(str, after.shape))


def _boxes(content: Content) -> list[_Box]:
    form = content.form
    boxes: list[_Box] = []
    made_by: dict[int, _Box] = {}
    for name, edge in form.inputs.items():
        box = _Box("input", [(name, f"{edge.dtype} {content.shape(edge)}", "port")])
        boxes.append(box)
        if edge.value is not None:
            made_by[edge.value] = box
    for place, call in enumerate(form.calls):
        box = _kernel_box(content, place, call)
        for edge in {edge.value: edge for edge in call.inputs if edge.value in made_by}.values():
            assert edge.value is not None
            made_by[edge.value].readers.append((box, edge))
        boxes.append(box)
        made_by.update({edge.value: box for edge in call.outputs if edge.value is not None})
    for name, edge in form.outputs.items():
        box = _Box("output", [(name, f"{edge.dtype} {content.shape(edge)}", "port")])
        boxes.append(box)
        if edge.value in made_by:
            assert edge.value is not None
            made_by[edge.value].readers.append((box, edge))
    return boxes


def _kernel_box(content: Content, place: int, call: KernelCall) -> _Box:
    work = content.work(place)
    if content.table.schedules[call.kernel].view:
        kind = "view"
    else:
        kind = "transform" if is_transform(content, call) else "kernel"
    rows = _operator_rows(content, call)
    rows += [(content.shape(edge).replace(" ", ""), edge.layout or "plain", "edge") for edge in call.outputs]
    heat = 0.0
    if work is not None and content.profile is not None:
        share = content.profile.share(work.microseconds)
        peak = content.profile.peak_share(work, content.table.schedules[call.kernel])
        rate = f"{100 * peak:.0f} % of peak" if peak else ""
        rows.append((f"{work.microseconds:.0f} µs · {100 * share:.1f} %", rate, "time"))
        # A twentieth of the run is as hot as it gets.
        heat = min(share / 0.05, 1.0)
    return _Box(kind, rows, place, heat)


def _operator_rows(content: Content, call: KernelCall) -> list[tuple[str, str, str]]:
    accelerator = content.table.schedules[call.kernel].external
    if accelerator is None:
        return [
            (
                operator.name,
                "" if operator.number is None else f"#{operator.number}",
                operator_mark(operator, call),
            )
            for operator in call.operators
        ]
    kinds = operator_kinds(call)
    shown = list(kinds.items())[:_KINDS_SHOWN]
    rows = [(f"{accelerator}: {counted(count_computed(call), 'operator')}", "", "title")]
    rows += [
        (name, f"\N{MULTIPLICATION SIGN} {count}", kind_mark(name, folded)) for (name, folded), count in shown
    ]
    rest = sum(kinds.values()) - sum(count for _, count in shown)
    return [*rows, (f"and {rest} more", "", "other")] if rest else rows


def _width(box: _Box) -> float:
    return max(len(text) + len(detail) + 2 for text, detail, _ in box.rows) * _CHAR + 2 * _PADDING


def _svg(
    boxes: Sequence[_Box], nodes: Sequence[Node], layout: Layout, edges: Sequence[Edge], content: Content
) -> str:
    width, height = layout.width + 2 * _MARGIN, layout.height + 2 * _MARGIN
    lines = [
        f'<path class="line{" blocked" if edge.layout else ""}" d="{curve(points)}">'
        f"<title>{escape(content.shape(edge))} {escape(edge.layout or 'plain')} {escape(edge.dtype)}</title>"
        "</path>"
        for points, edge in zip(layout.lines, edges, strict=True)
    ]
    drawn = [_draw(box, node) for box, node in zip(boxes, nodes, strict=True)]
    return (
        f'<svg id="graph" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="graph of the kernels">'
        f"<defs>{_arrow('arrow')}{_arrow('arrow-blocked')}</defs>"
        f'<g transform="translate({_MARGIN:.0f} {_MARGIN:.0f})">{"".join(lines)}{"".join(drawn)}</g></svg>'
    )


def _arrow(name: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" '
        'markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0.5 L8,4 L0,7.5 z"/></marker>'
    )


def _draw(box: _Box, node: Node) -> str:
    left, width, height = node.x - node.width / 2, node.width, node.height
    corner = 6 if box.kind in ("kernel", "transform") else height / 2
    place = "" if box.place is None else f' data-place="{box.place}" tabindex="0"'
    parts = [
        f'<g class="box {box.kind}"{place} transform="translate({left:.1f} {node.y:.1f})">'
        f'<rect class="frame" width="{width:.1f}" height="{height:.1f}" rx="{corner:g}"/>'
    ]
    if box.heat:
        parts.append(
            f'<rect class="heat" width="{width:.1f}" height="{height:.1f}" rx="{corner:g}" '
            f'opacity="{0.04 + 0.4 * box.heat:.2f}"/>'
        )
    for number, (text, detail, kind) in enumerate(box.rows):
        y = number * _ROW + 4
        if kind not in ("edge", "time", "port", "title"):
            parts.append(
                f'<rect class="mark {kind}" x="5" y="{y + 4:g}" width="4" height="{_ROW - 8:g}" rx="2"/>'
            )
        blocked = " blocked" if kind == "edge" and detail != "plain" else ""
        parts.append(
            f'<text class="{kind}" x="{_PADDING + 3:g}" y="{y + 13.5:g}">{escape(text)}</text>'
            f'<text class="detail {kind}{blocked}" x="{width - _PADDING:.1f}" y="{y + 13.5:g}">'
            f"{escape(detail)}</text>"
        )
    return "".join(parts) + "</g>"
