"""An ONNX graph while it is built: nodes, weights, and sizes that are computed from shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from tvm import relax, tirx

OPSET = 18
"""Of the standard operators: ONNX Runtime knows it since 1.14, TensorRT since 8.6."""

_IR_VERSION = 8

# Smaller constants are written into the model, where shape inference and optimisers read them.
_INLINE_BYTES = 1024

_BINARY = {tirx.Add: "Add", tirx.Sub: "Sub", tirx.Mul: "Mul", tirx.Max: "Max", tirx.Min: "Min"}


class UnknownSizeError(ValueError):
    """A size is not a computation over sizes that are known."""


class Graph:
    """Nodes and weights, with names that depend on the order of calls alone."""

    def __init__(self) -> None:
        self.weights: dict[str, npt.NDArray[Any]] = {}
        # The operator of the model whose nodes are added; empty where none is to be named.
        self.source = ""
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        # Where sizes that are not known can be read, by their expression: a tensor and its axis.
        self._places: dict[str, tuple[str, int]] = {}
        self._sizes: dict[str, str] = {}
        self._domains: dict[str, int] = {"": OPSET}
        self._values = 0

    # Values -------------------------------------------------------------------------------------------

    def input(self, ty: relax.TensorType) -> str:
        """A new input."""
        name = f"x{len(self._inputs)}"
        self._inputs.append(value_info(name, ty))
        self.note_sizes(name, ty)
        return name

    def output(self, value: str, ty: relax.TensorType) -> None:
        """Give a value out; it may be an input, a constant, or given out already."""
        name = f"y{len(self._outputs)}"
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"node{len(self._nodes)}"))
        self._outputs.append(value_info(name, ty))

    def constant(self, value: npt.ArrayLike, dtype: str) -> str:
        """A constant; equal ones are one."""
        array = np.ascontiguousarray(np.asarray(value, dtype)).reshape(np.shape(value))
        key = (dtype, array.shape, sha256(array.tobytes()).digest())
        if key not in self._constants:
            name = self._constants[key] = f"w{len(self._constants)}"
            tensor = numpy_helper.from_array(array, name)
            if array.nbytes > _INLINE_BYTES:
                self.weights[name] = array
                tensor.ClearField("raw_data")
                tensor.data_location = TensorProto.EXTERNAL
                tensor.external_data.add(key="location", value="weights")
            self._initializers.append(tensor)
        return self._constants[key]

    def node(
        self,
        op_type: str,
        inputs: Sequence[str],
        results: int = 1,
        domain: str = "",
        attributes: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Add a node; returns the names of its results."""
        names = [f"v{self._values + number}" for number in range(results)]
        self._values += results
        node = helper.make_node(
            op_type, inputs, names, self._node_name(), domain=domain, **(attributes or {})
        )
        self._nodes.append(node)
        return names

    def copy_node(self, node: onnx.NodeProto, inputs: Sequence[str], version: int) -> list[str]:
        """Add a node of another model, of a version of its domain's operators; its results have new names."""
        if self._domains.setdefault(node.domain, version) != version and node.domain:
            raise ValueError(f"two versions of {node.domain}: {self._domains[node.domain]} and {version}")
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        copied.name = self._node_name()
        names = [f"v{self._values + number}" if name else "" for number, name in enumerate(node.output)]
        self._values += len(names)
        copied.ClearField("input")
        copied.ClearField("output")
        copied.input.extend(inputs)
        copied.output.extend(names)
        self._nodes.append(copied)
        return names

    def _node_name(self) -> str:
        # Before the slash, whose it is; a name of its own each.
        return f"{self.source}/{len(self._nodes)}" if self.source else f"node{len(self._nodes)}"

    # Sizes --------------------------------------------------------------------------------------------

    def note_sizes(self, name: str, ty: relax.TensorType) -> None:
        """Remember that sizes can be read from a tensor's shape."""
        for axis, dim in enumerate(ty.shape):
            if not isinstance(dim, tirx.IntImm):
                self._places.setdefault(str(dim), (name, axis))

    def shape(self, dims: Sequence[tirx.Expr]) -> str:
        """A vector of sizes."""
        if all(isinstance(dim, tirx.IntImm) for dim in dims):
            return self.constant([int(dim.value) for dim in dims], "int64")
        return self.node("Concat", [self.size(dim) for dim in dims], attributes={"axis": 0})[0]

    def size(self, dim: tirx.Expr) -> str:
        """One size, as a vector of one element.

        Raises
        ------
        UnknownSizeError
            It cannot be computed from the sizes of tensors seen so far.
        """
        if isinstance(dim, tirx.IntImm):
            return self.constant([int(dim.value)], "int64")
        key = str(dim)
        if key not in self._sizes:
            self._sizes[key] = self._computed(dim)
        return self._sizes[key]

    def _computed(self, dim: tirx.Expr) -> str:
        if str(dim) in self._places:
            name, axis = self._places[str(dim)]
            return self.node("Shape", [name], attributes={"start": axis, "end": axis + 1})[0]
        if isinstance(dim, tirx.Var):
            raise UnknownSizeError(f"the size {dim.name} is none of its inputs'")
        if type(dim) in _BINARY:
            return self.node(_BINARY[type(dim)], [self.size(dim.a), self.size(dim.b)])[0]
        if isinstance(dim, tirx.FloorDiv | tirx.FloorMod):
            # ONNX's Div rounds towards zero, its Mod has the sign of the divisor.
            a, b = self.size(dim.a), self.size(dim.b)
            (rest,) = self.node("Mod", [a, b])
            if isinstance(dim, tirx.FloorMod):
                return rest
            return self.node("Div", [self.node("Sub", [a, rest])[0], b])[0]
        raise UnknownSizeError(f"the size {dim} is no arithmetic that ONNX has")

    # The model ----------------------------------------------------------------------------------------

    def model(self, name: str) -> onnx.ModelProto:
        """The model so far."""
        graph = helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, initializer=self._initializers
        )
        imports = [helper.make_opsetid(domain, self._domains[domain]) for domain in sorted(self._domains)]
        return helper.make_model(
            graph, ir_version=_IR_VERSION, opset_imports=imports, producer_name="paddle-tvm"
        )


def value_info(name: str, ty: relax.TensorType) -> onnx.ValueInfoProto:
    """A tensor's name and type; sizes that are not known have their expression as a name."""
    dims = [int(dim.value) if isinstance(dim, tirx.IntImm) else str(dim) for dim in ty.shape]
    return helper.make_tensor_value_info(name, element_type(str(ty.dtype)), dims)


def element_type(dtype: str) -> int:
    """The ONNX element type of a dtype's name."""
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
