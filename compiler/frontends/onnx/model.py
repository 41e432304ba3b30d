"""Reads an .onnx file and makes sure that it is a model which can be worked with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from onnx.external_data_helper import load_external_data_for_model

from paddle_tvm.compiler.frontends.paddle.registry import KnownArray
from paddle_tvm.runtime.errors import UnsupportedModelError

_DTYPES = {
    *("float16", "float32", "float64", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "bool"),
}


@dataclass(frozen=True)
class GraphInput:
    """An input of the graph; a dimension is an int, the name that the model gives it, or None.

    ``shape`` is None where the model does not even say the rank.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None


@dataclass(frozen=True)
class OnnxModel:
    """A model whose weights are read and whose local functions are inlined."""

    path: Path
    proto: Any = field(repr=False)
    opset: int
    inputs: tuple[GraphInput, ...]
    outputs: tuple[str, ...]
    constants: dict[str, KnownArray] = field(repr=False)


def load_onnx(path: Path) -> OnnxModel:
    """Read a model and its weights.

    Raises
    ------
    UnsupportedModelError
        The file is damaged, its external weights are missing, or it is of a newer ONNX than is installed.
    """
    proto = _read(path)
    opset = _check_versions(path, proto)
    if proto.functions:
        try:
            proto = onnx.inliner.inline_local_functions(proto)
        except Exception as error:
            raise UnsupportedModelError(f"{path}: its local functions cannot be inlined: {error}") from error
    if proto.graph.sparse_initializer:
        raise UnsupportedModelError(
            f"{path} has {len(proto.graph.sparse_initializer)} sparse weights, which are not supported: "
            "export the model with dense ones"
        )
    constants: dict[str, KnownArray] = {}
    for tensor in proto.graph.initializer:
        if tensor.name in constants:
            raise UnsupportedModelError(f"{path} is damaged: two weights are named '{tensor.name}'")
        constants[tensor.name] = read_tensor(path, tensor)
    # Before IR version 4 every weight had to be listed among the inputs as well.
    inputs = tuple(_graph_input(path, info) for info in proto.graph.input if info.name not in constants)
    if not inputs:
        raise UnsupportedModelError(f"{path} has no inputs: there is nothing to run it with")
    if not proto.graph.output:
        raise UnsupportedModelError(f"{path} has no outputs: it is no inference model")
    outputs = tuple(info.name for info in proto.graph.output)
    return OnnxModel(path, proto, opset, inputs, outputs, constants)


def all_nodes(graph: Any) -> Iterator[Any]:
    """The nodes of a graph and of the graphs inside its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from all_nodes(attribute.g)
            for inner in attribute.graphs:
                yield from all_nodes(inner)


def read_tensor(path: Path, tensor: Any) -> KnownArray:
    """The value of a weight."""
    try:
        array = np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:
        raise UnsupportedModelError(
            f"{path}: weight '{tensor.name}' of shape {list(tensor.dims)} cannot be read, "
            f"the file or its external data is damaged: {error}"
        ) from error
    # Weights of four bits are the same numbers in eight.
    narrow = tensor.data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4)
    checked_dtype(path, tensor.name, tensor.data_type, exact=narrow)
    return array


def replaced_type(elem_type: int) -> str | None:
    """The name of an element type in whose place ONNX puts the next larger one of NumPy's; else None."""
    name = str(onnx.TensorProto.DataType.Name(elem_type))
    return name if name.startswith(("BFLOAT16", "FLOAT8", "FLOAT4", "INT4", "UINT4")) else None


def checked_dtype(path: Path, name: str, elem_type: int, *, exact: bool = False) -> str:
    """The NumPy name of an ONNX element type, where it is one that can be compiled.

    ``exact`` says that NumPy's type in its place holds the same values, and nothing rounds to it any more.
    """
    try:
        dtype = str(onnx.helper.tensor_dtype_to_np_dtype(elem_type))
        onnx_name = onnx.TensorProto.DataType.Name(elem_type)
    except (KeyError, ValueError):
        dtype, onnx_name = "", str(elem_type)
    if dtype not in _DTYPES or onnx_name == "STRING" or (replaced_type(elem_type) and not exact):
        raise UnsupportedModelError(
            f"{path}: tensor '{name}' has the element type {onnx_name}; supported are "
            + ", ".join(sorted(_DTYPES))
        )
    return dtype


def _read(path: Path) -> Any:
    try:
        proto = onnx.load_model(str(path), load_external_data=False, format="protobuf")
    except (DecodeError, UnicodeDecodeError) as error:
        raise UnsupportedModelError(
            f"{path} is no ONNX model, or is cut off: {error} (size {path.stat().st_size} bytes)"
        ) from error
    if not proto.HasField("graph") or not proto.opset_import:
        raise UnsupportedModelError(
            f"{path} is no ONNX model: it holds no graph (size {path.stat().st_size} bytes)"
        )
    try:
        load_external_data_for_model(proto, str(path.parent))
    except Exception as error:
        raise UnsupportedModelError(
            f"{path} keeps weights in other files, and they cannot be read: {error}. "
            "Put the files that were saved with the model beside it"
        ) from error
    return proto


def _check_versions(path: Path, proto: Any) -> int:
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    opset = versions.get("", versions.get("ai.onnx"))
    newest = onnx.defs.onnx_opset_version()
    if opset is None:
        raise UnsupportedModelError(
            f"{path} does not say which version of the ONNX operators it uses; it names only "
            + ", ".join(sorted(versions))
        )
    if opset > newest:
        raise UnsupportedModelError(
            f"{path} uses ONNX operator set {opset}; onnx {onnx.__version__}, which is installed, knows sets "
            f"up to {newest}: export the model with opset_version={newest} or lower"
        )
    if opset < 7:
        raise UnsupportedModelError(
            f"{path} uses ONNX operator set {opset}; supported are 7 to {newest}: convert it with "
            "onnx.version_converter.convert_version"
        )
    return int(opset)


def _graph_input(path: Path, info: Any) -> GraphInput:
    if not info.type.HasField("tensor_type"):
        kind = info.type.WhichOneof("value") or "nothing"
        raise UnsupportedModelError(f"{path}: input '{info.name}' is a {kind}; only tensors are supported")
    tensor = info.type.tensor_type
    dtype = checked_dtype(path, info.name, tensor.elem_type)
    if not tensor.HasField("shape"):
        return GraphInput(info.name, dtype, None)
    return GraphInput(info.name, dtype, tuple(_dimension(dim) for dim in tensor.shape.dim))


def _dimension(dim: Any) -> int | str | None:
    # Some exporters write -1 for an unknown dimension.
    if dim.HasField("dim_value") and dim.dim_value >= 0:
        return int(dim.dim_value)
    return dim.dim_param or None
