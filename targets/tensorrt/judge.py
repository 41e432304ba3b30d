"""Why TensorRT does not take an ONNX model."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from paddle_tvm.targets.onnx_export import OnnxExport
from paddle_tvm.targets.tensorrt.layers import LAYERS, MOST_DIMENSIONS, Node


def refusal(exported: OnnxExport) -> str | None:
    """Why the parser would not take a model, or an engine would not compute what it means; None: it does.

    Parameters
    ----------
    exported
        A call as a model of its own, whose weights are inputs.
    """
    model = onnx.shape_inference.infer_shapes(exported.model, data_prop=True)
    graph = model.graph
    dtypes = {tensor.name: _dtype(tensor.data_type) for tensor in graph.initializer}
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    for info in (*graph.input, *graph.value_info, *graph.output):
        dtypes[info.name] = _dtype(info.type.tensor_type.elem_type)
        ranks[info.name] = len(info.type.tensor_type.shape.dim)
    constants: dict[str, npt.NDArray[Any] | None] = dict.fromkeys(exported.weights)
    constants |= {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for name, rank in ranks.items():
        if rank > MOST_DIMENSIONS:
            return f"TensorRT's tensors have {MOST_DIMENSIONS} dimensions at most, and {name} has {rank}"
    for proto in graph.node:
        reason = _node_refusal(Node(proto, dtypes, ranks, constants))
        if reason is not None:
            return reason
    return None


def _node_refusal(node: Node) -> str | None:
    op_type = node.proto.op_type
    layer = LAYERS.get(op_type)
    if node.proto.domain or layer is None:
        return f"TensorRT has no {op_type}"
    # Of a choice or a sample the first operand says which, and results of comparisons are no operands.
    data = node.proto.input[1] if op_type == "Where" else node.proto.input[-1 if op_type == "OneHot" else 0]
    for name in {data, node.proto.output[0]} if op_type == "Cast" else {data}:
        dtype = node.dtypes.get(name)
        if dtype is not None and dtype not in layer.dtypes:
            return f"TensorRT's {op_type} does not compute {dtype}"
    return None if layer.restriction is None else layer.restriction(node)


def _dtype(elem_type: int) -> str:
    return str(helper.tensor_dtype_to_np_dtype(elem_type))
