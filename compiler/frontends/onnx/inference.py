"""ONNX's own check and shape inference: a second opinion on every shape that the importer derives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from paddle_tvm.compiler.frontends.onnx.model import OnnxModel
from paddle_tvm.runtime.errors import UnsupportedModelError

# Larger weights matter to inference through their shape alone.
_LARGEST_SHAPE_TENSOR = 64


@dataclass(frozen=True)
class Inferred:
    """What ONNX says of a tensor; a dimension that it cannot tell is None, a symbol is a string.

    ``element`` is the number of its element type, for which ``dtype`` may be a larger one of NumPy's.
    """

    dtype: str
    shape: tuple[int | str | None, ...]
    element: int


def infer_shapes(model: OnnxModel, shapes: Mapping[str, Sequence[int | str]]) -> dict[str, Inferred]:
    """Check a model and infer the type of every tensor, by name; those of unknown rank are left out.

    Raises
    ------
    UnsupportedModelError
        The model breaks ONNX's rules, or does not fit the shapes of its inputs.
    """
    light = onnx.ModelProto()
    # The checker refuses newer numbers than its own, while what it reads here has not changed.
    light.ir_version = onnx.IR_VERSION
    light.opset_import.extend(model.proto.opset_import)
    light.graph.name = model.proto.graph.name or "graph"
    light.graph.node.extend(model.proto.graph.node)
    dtypes = {port.name: port.dtype for port in model.inputs}
    for name, shape in shapes.items():
        light.graph.input.append(_value_info(name, dtypes[name], shape))
    for tensor in model.proto.graph.initializer:
        array = model.constants[tensor.name]
        if array.size <= _LARGEST_SHAPE_TENSOR:
            light.graph.initializer.append(tensor)
        else:
            light.graph.input.append(_value_info(tensor.name, str(array.dtype), array.shape))
    for output in model.proto.graph.output:
        info = light.graph.output.add()
        info.name = output.name
        info.type.tensor_type.elem_type = output.type.tensor_type.elem_type
        # The checker wants some shape. The model's own would contradict inputs that the user fixed.
        info.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(light)
    except Exception as error:
        raise UnsupportedModelError(
            f"{model.path} breaks the rules of ONNX: {_first_lines(error)}"
        ) from error
    for info in light.graph.output:
        info.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(light, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:
        given = ", ".join(f"{name}={list(shape)}" for name, shape in shapes.items())
        raise UnsupportedModelError(
            f"{model.path} does not fit together with the inputs {given}: {_first_lines(error)}"
        ) from error
    graph = inferred.graph
    return {
        info.name: _inferred(info.type.tensor_type)
        for info in (*graph.value_info, *graph.output)
        if info.type.tensor_type.HasField("shape")
    }


def _value_info(name: str, dtype: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(
        name, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
    )


def _inferred(tensor: onnx.TypeProto.Tensor) -> Inferred:
    return Inferred(
        str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)),
        tuple(
            int(dim.dim_value) if dim.HasField("dim_value") else (dim.dim_param or None)
            for dim in tensor.shape.dim
        ),
        tensor.elem_type,
    )


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])
