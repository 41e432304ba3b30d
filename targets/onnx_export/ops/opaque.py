"""Nodes of the model that were kept as they are."""

from __future__ import annotations

from paddle_tvm.targets.onnx_export.context import ExportContext
from paddle_tvm.targets.onnx_export.registry import register
from paddle_tvm.targets.onnx_node import OPERATOR, node_of


@register(OPERATOR)
def _onnx_node(ctx: ExportContext) -> list[str]:
    node, version = node_of(ctx.call)
    tensors = ctx.inputs(0)
    # The inputs that the node has are numbers of the call's operands.
    inputs = [tensors[int(name)] if name else "" for name in node.input]
    names = ctx.graph.copy_node(node, inputs, version)
    return [name for name in names if name]
