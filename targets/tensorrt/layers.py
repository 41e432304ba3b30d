"""What the ONNX parser of TensorRT 10 takes, by operator.

From the table that the parser's project publishes (onnx/onnx-tensorrt, docs/operators.md, for TensorRT
10.15), for the operators that the exporter makes; narrower where that is safer for earlier releases of 10.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import onnx
from onnx import helper

MOST_DIMENSIONS = 8
"""Of a tensor (``nvinfer1::Dims::MAX_DIMS``)."""

_MOST_SELECTED = 3840


@dataclass(frozen=True)
class Node:
    """A node with what is known of its tensors.

    Attributes
    ----------
    proto
        The node.
    dtypes, ranks
        Of inputs and results, by name, where known.
    constants
        Inputs whose values are in the model, by name; None for those that are beside it.
    """

    proto: onnx.NodeProto
    dtypes: Mapping[str, str]
    ranks: Mapping[str, int]
    constants: Mapping[str, npt.NDArray[Any] | None]

    def attribute(self, name: str, default: object) -> object:
        """An attribute's value."""
        found = (helper.get_attribute_value(each) for each in self.proto.attribute if each.name == name)
        return next(found, default)


Restriction = Callable[[Node], "str | None"]


@dataclass(frozen=True)
class Layer:
    """What an operator computes: its dtypes, and why some uses of it are not taken."""

    dtypes: frozenset[str]
    restriction: Restriction | None = None


FLOATS = frozenset({"float32", "float16"})
_NUMBERS = FLOATS | {"int32", "int64"}
_ALL = _NUMBERS | {"bool"}
_BOOL = frozenset({"bool"})


def _two_or_three_dimensions(node: Node) -> str | None:
    kernel = node.attribute("kernel_shape", ())
    assert isinstance(kernel, Sequence)
    if len(kernel) not in (2, 3):
        return f"TensorRT pools over 2 or 3 dimensions, and this does over {len(kernel)}"
    dilations = node.attribute("dilations", ())
    assert isinstance(dilations, Sequence)
    if any(step != 1 for step in dilations):
        return "TensorRT's windows have no gaps"
    if len(node.proto.output) > 1:
        return "TensorRT does not tell where the largest elements are"
    return None


def _spatial(node: Node) -> str | None:
    rank = node.ranks.get(node.proto.input[0])
    if rank not in (4, 5):
        return f"TensorRT convolves tensors of 4 or 5 dimensions, and this has {rank}"
    if node.proto.input[1] not in node.constants:
        return "its weights are not known while compiling"
    return None


def _constant_operand(index: int, what: str) -> Restriction:
    def check(node: Node) -> str | None:
        if len(node.proto.input) > index and node.proto.input[index] not in node.constants:
            return f"TensorRT wants to know {what} when it builds"
        return None

    return check


def _resize(node: Node) -> str | None:
    if node.attribute("mode", b"nearest") not in (b"nearest", b"linear"):
        return "TensorRT resizes by nearest or linear interpolation, and this is cubic"
    return None


def _four_dimensions(node: Node) -> str | None:
    rank = node.ranks.get(node.proto.input[0])
    return None if rank == 4 else f"TensorRT samples tensors of 4 dimensions, and this has {rank}"


def _plain_scatter(node: Node) -> str | None:
    if node.attribute("reduction", b"none") != b"none":
        return "TensorRT only overwrites, and does not join values"
    return None


def _few_selected(node: Node) -> str | None:
    count = node.constants.get(node.proto.input[1])
    if count is None:
        return "TensorRT wants to know how many elements are selected when it builds"
    if count.item() >= _MOST_SELECTED:
        return f"TensorRT selects less than {_MOST_SELECTED} elements, and this does {count.item()}"
    return None


LAYERS: Mapping[str, Layer] = {
    **dict.fromkeys(
        (
            *("Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Cos", "Cosh", "Elu", "Erf"),
            *("Exp", "Floor", "GlobalAveragePool", "Clip", "InstanceNormalization", "IsInf", "LeakyRelu"),
            *("LayerNormalization", "Log", "LogSoftmax", "MatMul", "PRelu", "Pow", "Reciprocal", "Round"),
            *("Selu", "Sigmoid", "Sin", "Sinh", "Softmax", "Softplus", "Sqrt", "Tan", "Tanh", "Einsum"),
            *("BatchNormalization", "IsNaN", "Relu"),
        ),
        Layer(FLOATS),
    ),
    **dict.fromkeys(
        (
            *("Abs", "Add", "ArgMax", "ArgMin", "Div", "Equal", "Greater", "GreaterOrEqual", "Less"),
            *("LessOrEqual", "Max", "Min", "Mod", "Mul", "Neg", "Pad", "Sign", "Sub"),
        ),
        Layer(_NUMBERS),
    ),
    **dict.fromkeys(
        (
            *("Cast", "Concat", "Expand", "Gather", "GatherElements", "GatherND", "Identity", "Reshape"),
            *("Shape", "Slice", "Split", "Tile", "Transpose", "Trilu", "Where"),
        ),
        Layer(_ALL),
    ),
    **dict.fromkeys(("And", "Not", "Or", "Xor"), Layer(_BOOL)),
    **dict.fromkeys(
        ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"),
        Layer(_NUMBERS, _constant_operand(1, "the axes")),
    ),
    **dict.fromkeys(("Conv", "ConvTranspose"), Layer(FLOATS, _spatial)),
    **dict.fromkeys(("AveragePool", "MaxPool"), Layer(FLOATS, _two_or_three_dimensions)),
    "CumSum": Layer(FLOATS, _constant_operand(1, "the axis")),
    "GridSample": Layer(FLOATS, _four_dimensions),
    "OneHot": Layer(_ALL, _constant_operand(1, "the depth")),
    "Resize": Layer(FLOATS, _resize),
    "ScatterElements": Layer(_NUMBERS, _plain_scatter),
    "ScatterND": Layer(_NUMBERS, _plain_scatter),
    "TopK": Layer(_NUMBERS, _few_selected),
    "Unsqueeze": Layer(_ALL, _constant_operand(1, "the axes")),
}
"""Layers by ONNX operator."""
