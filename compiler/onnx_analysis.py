"""What an ONNX model holds, in the terms of ``analysis``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import onnx

from paddle_tvm.compiler.analysis import ModelAnalysis, ModelPort, OperatorUse
from paddle_tvm.compiler.frontends.onnx import missing_onnx_operators
from paddle_tvm.compiler.frontends.onnx.model import all_nodes, load_onnx
from paddle_tvm.compiler.frontends.onnx.operators import operator_name
from paddle_tvm.compiler.frontends.source import ModelSource
from paddle_tvm.compiler.sample_inputs import Shapes, complete_shapes
from paddle_tvm.runtime.manifest import TensorSpec

_HEAVY = ("Conv", "ConvTranspose", "MatMul", "Gemm", "LSTM", "GRU")


def analyse_onnx(source: ModelSource, shapes: Mapping[str, Sequence[int]]) -> ModelAnalysis:
    """Count operators, parameters, and the arithmetic of convolutions and matrix products.

    Raises
    ------
    UnsupportedModelError
        The file is no ONNX model.
    UsageError
        A shape names no input, or contradicts the model.
    """
    model = load_onnx(source.program).proto
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    inputs = tuple(_port(port) for port in graph.input if port.name not in weights)
    chosen = _chosen_shapes(inputs, shapes)
    known = _infer_shapes(model, chosen)
    flops: Counter[str] = Counter()
    uncounted = 0
    for node in graph.node:
        if node.op_type in _HEAVY:
            count = _count_flops(node, known)
            uncounted += count is None
            flops[node.op_type] += count or 0
    missing, lost = missing_onnx_operators(source), missing_onnx_operators(source, kept=True)
    counts = Counter(operator_name(node) for node in all_nodes(graph))
    tensors = [*weights.values(), *_constants(graph)]
    sizes = [(prod(tensor.dims), _item_size(tensor)) for tensor in tensors]
    return ModelAnalysis(
        inputs=inputs,
        outputs=tuple(map(_port, graph.output)),
        operators=tuple(
            OperatorUse(name, count, flops[name], name not in missing, name in missing and name not in lost)
            for name, count in counts.most_common()
        ),
        parameters=sum(count for count, _ in sizes),
        parameter_bytes=sum(count * size for count, size in sizes),
        shapes=chosen,
        flops=flops.total(),
        uncounted=uncounted,
    )


def _port(port: Any) -> ModelPort:
    tensor = port.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    if not tensor.HasField("shape"):
        return ModelPort(port.name, dtype, None)
    dims = tuple(
        dim.dim_param or (dim.dim_value if dim.HasField("dim_value") else -1) for dim in tensor.shape.dim
    )
    return ModelPort(port.name, dtype, dims)


def _chosen_shapes(inputs: Sequence[ModelPort], asked: Mapping[str, Sequence[int]]) -> Shapes:
    """The shapes to count at; of inputs of unknown rank only what is asked for."""
    specs = [
        TensorSpec(
            port.name,
            port.dtype,
            (-1,) * len(asked.get(port.name, ())) if port.shape is None else port.shape,
        )
        for port in inputs
    ]
    chosen = next(complete_shapes(specs, asked))
    guessed = {port.name for port in inputs if port.shape is None} - set(asked)
    return {name: shape for name, shape in chosen.items() if name not in guessed}


def _constants(graph: Any) -> list[Any]:
    """Weights that stand in the graph as nodes, as paddle2onnx writes them: those of one axis and more."""
    return [
        attribute.t
        for node in graph.node
        for attribute in node.attribute
        if node.op_type == "Constant" and attribute.name == "value" and attribute.t.dims
    ]


def _item_size(tensor: Any) -> int:
    return int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _infer_shapes(model: Any, chosen: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """The shapes that ONNX's inference finds for some input shapes."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for port in fixed.graph.input:
        if port.name in chosen:
            shape = onnx.TensorShapeProto()
            for size in chosen[port.name]:
                shape.dim.add(dim_value=size)
            port.type.tensor_type.shape.CopyFrom(shape)
    _fold_constants(fixed.graph)
    # What the file says of them would stay as it is.
    del fixed.graph.value_info[:]
    for port in fixed.graph.output:
        port.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    known = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            known[value.name] = tuple(dim.dim_value for dim in dims)
    return known


def _fold_constants(graph: Any) -> None:
    """Turn constants, also copied and cast ones, into initializers, where ONNX's inference reads shapes."""
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        attributes = {attribute.name: attribute for attribute in node.attribute}
        if node.op_type == "Constant" and "value" in attributes:
            value = onnx.numpy_helper.to_array(attributes["value"].t)
        elif node.op_type in ("Cast", "Identity") and node.input[0] in values:
            value = values[node.input[0]]
            if node.op_type == "Cast":
                value = value.astype(onnx.helper.tensor_dtype_to_np_dtype(attributes["to"].i))
        else:
            continue
        values[node.output[0]] = value
        graph.initializer.append(onnx.numpy_helper.from_array(value, node.output[0]))
    kept = [node for node in graph.node if not values.keys() & set(node.output)]
    del graph.node[:]
    graph.node.extend(kept)


def _count_flops(node: Any, shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    try:
        out = prod(shapes[node.output[0]])
        first, second = shapes[node.input[0]], shapes[node.input[1]]
    except KeyError:
        return None
    if node.op_type == "Conv":
        return 2 * out * prod(second[1:])
    if node.op_type == "ConvTranspose":
        return 2 * prod(first) * prod(second[1:])
    if node.op_type == "MatMul":
        return 2 * out * first[-1]
    if node.op_type == "Gemm":
        transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        return 2 * out * first[0 if transposed else 1]
    recurrent = shapes.get(node.input[2])
    return None if recurrent is None else 2 * first[0] * first[1] * (prod(second) + prod(recurrent))
