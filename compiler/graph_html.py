"""A page that shows a model: its numbers, and a picture of its graph. It needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

from paddle_tvm.compiler.analysis import ModelAnalysis, ModelPort, value_shapes
from paddle_tvm.compiler.cli.text_table import format_bytes, format_count, format_shape
from paddle_tvm.compiler.frontends.paddle.program import Program, Value
from paddle_tvm.compiler.graph_layout import Layout, Node, lay_out
from paddle_tvm.compiler.graph_nodes import Box, build_boxes
from paddle_tvm.runtime.wording import counted

_CHAR = 6.65
_ROW = 20.0
_PADDING = 10.0
_MARGIN = 30.0


def render_page(title: str, program: Program, analysis: ModelAnalysis) -> str:
    """Render a page that stands alone."""
    template = files(__package__).joinpath("graph_page.html").read_text(encoding="utf-8")
    missing = {use.name for use in analysis.unsupported}
    picture = render_graph(program, value_shapes(program, analysis.shapes), missing)
    parts = {"TITLE": escape(title), "SUMMARY": _summary(analysis), "GRAPH": picture}
    for name, part in parts.items():
        template = template.replace(f"<!--{name}-->", part)
    return template


def render_graph(program: Program, shapes: Mapping[Value, tuple[int, ...]], missing: set[str]) -> str:
    """Render the graph of a program as SVG."""
    boxes = build_boxes(program, shapes, missing)
    nodes = [Node(_width(box), len(box.rows) * _ROW) for box in boxes]
    index = {box: number for number, box in enumerate(boxes)}
    edges = [(index[box], index[target], shape) for box in boxes for target, shape in box.targets]
    layout = lay_out(nodes, [(start, end) for start, end, _ in edges])
    return _svg(boxes, nodes, layout, [shape for _, _, shape in edges])


def _width(box: Box) -> float:
    widest = max(len(row.name) + (len(row.detail) + 2 if row.detail else 0) for row in box.rows)
    return widest * _CHAR + 2 * _PADDING + 6


def _svg(boxes: Sequence[Box], nodes: Sequence[Node], layout: Layout, labels: Sequence[str]) -> str:
    width, height = layout.width + 2 * _MARGIN, layout.height + 2 * _MARGIN
    lines = [
        f'<path class="line" d="{curve(points)}"><title>{escape(label)}</title></path>'
        for points, label in zip(layout.lines, labels, strict=True)
    ]
    drawn = [_draw_box(box, node) for box, node in zip(boxes, nodes, strict=True)]
    return (
        f'<svg id="graph" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="graph of the model">'
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0,0.5 L8,4 L0,7.5 z"/></marker></defs>'
        f'<g transform="translate({_MARGIN:.0f} {_MARGIN:.0f})">{"".join(lines)}{"".join(drawn)}</g></svg>'
    )


def curve(points: Sequence[tuple[float, float]]) -> str:
    """The path of a line through points, as SVG writes it."""
    (x, y), *rest = points
    parts = [f"M{x:.1f},{y:.1f}"]
    for next_x, next_y in rest:
        if abs(next_x - x) < 0.5:
            parts.append(f"L{next_x:.1f},{next_y:.1f}")
        else:
            middle = (y + next_y) / 2
            parts.append(f"C{x:.1f},{middle:.1f} {next_x:.1f},{middle:.1f} {next_x:.1f},{next_y:.1f}")
        x, y = next_x, next_y
    return " ".join(parts)


def _draw_box(box: Box, node: Node) -> str:
    left, top = node.x - node.width / 2, node.y
    corner = 5 if box.kind == "operations" else node.height / 2
    parts = [
        f'<g class="box {box.kind}" transform="translate({left:.1f} {top:.1f})">'
        f'<rect class="frame" width="{node.width:.1f}" height="{node.height:.1f}" rx="{corner:g}"/>'
    ]
    for number, row in enumerate(box.rows):
        y = number * _ROW
        kind = row.family if row.supported else "unsupported"
        if box.kind == "operations":
            parts.append(
                f'<rect class="mark {kind}" x="4" y="{y + 4:g}" width="4" height="{_ROW - 8:g}" rx="2"/>'
            )
        text = "name unsupported" if not row.supported else "name"
        parts.append(
            f'<text class="{text}" x="{_PADDING + 4:g}" y="{y + 14:g}">{escape(row.name)}</text>'
            f'<text class="detail" x="{node.width - _PADDING:.1f}" y="{y + 14:g}">{escape(row.detail)}</text>'
        )
    return "".join(parts) + "</g>"


def _summary(analysis: ModelAnalysis) -> str:
    shapes = " ".join(f"{name} {format_shape(shape)}" for name, shape in analysis.shapes.items())
    flops = format_count(analysis.flops)
    if analysis.uncounted:
        flops = f"at least {flops}"
    facts = [
        ("parameters", f"{format_count(analysis.parameters)} ({format_bytes(analysis.parameter_bytes)})"),
        ("FLOPs", f"{flops}, a multiply-add as two"),
        ("counted at", shapes),
        ("operations", str(sum(use.count for use in analysis.operators))),
    ]
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    unsupported = "".join(
        f"<li>{escape(use.name)} ({counted(use.count, 'time')})</li>" for use in analysis.unsupported
    )
    warning = (
        f'<section class="warning"><h2>Unsupported</h2><ul>{unsupported}</ul></section>'
        if unsupported
        else ""
    )
    table = "".join(
        f"<tr{'' if use.supported else ' class=unsupported'}>"
        f"<td>{escape(use.name.removeprefix('pd_op.'))}</td>"
        f"<td>{use.count}</td><td>{_share(use.flops, analysis.flops)}</td></tr>"
        for use in analysis.operators
    )
    return (
        f"<dl>{rows}</dl>{warning}<h2>Inputs</h2>{_ports(analysis.inputs)}<h2>Outputs</h2>{_ports(analysis.outputs)}"
        "<h2>Operators</h2><table><thead><tr><th>operator</th><th>count</th><th>FLOPs</th></tr></thead>"
        f"<tbody>{table}</tbody></table>"
    )


def _ports(ports: Sequence[ModelPort]) -> str:
    items = "".join(
        f"<li><b>{escape(port.name)}</b> {escape(port.dtype)} {escape(format_shape(port.shape))}</li>"
        for port in ports
    )
    return f"<ul>{items}</ul>"


def _share(flops: int, total: int) -> str:
    if not flops or not total:
        return ""
    share = 100 * flops / total
    return f"{share:.1f} %" if share >= 0.1 else "<0.1 %".replace("<", "&lt;")
