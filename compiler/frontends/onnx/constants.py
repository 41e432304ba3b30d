"""Computes nodes whose inputs are constants, with the reference implementation of the onnx package."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from paddle_tvm.compiler.frontends.paddle.registry import KnownArray

# Arithmetic on shapes and layouts of weights. Heavier operators are left to the compiled graph, whose
# passes fold them as well.
FOLDABLE = {
    *("Abs", "Add", "And", "BitShift", "Cast", "Ceil", "Clip", "Concat", "Constant", "ConstantOfShape"),
    *("Div", "Equal", "Exp", "Expand", "Flatten", "Floor", "Gather", "GatherElements", "GatherND"),
    *("Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Log", "Max", "Min", "Mod", "Mul"),
    *("Neg", "NonZero", "Not", "OneHot", "Or", "Pad", "Pow", "Range", "Reciprocal", "ReduceMax"),
    *("ReduceMin", "ReduceProd", "ReduceSum", "Reshape", "Round", "ScatterElements", "ScatterND", "Shape"),
    *("Sign", "Size", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Tile", "Transpose", "Trilu"),
    *("Unsqueeze", "Where", "Xor"),
}


def evaluate(
    node: onnx.NodeProto, inputs: Sequence[KnownArray | None], opsets: Sequence[onnx.OperatorSetIdProto]
) -> list[KnownArray] | None:
    """The results of a node, or None where one of them is no tensor."""
    feeds = {
        name: array for name, array in zip(node.input, inputs, strict=True) if name and array is not None
    }
    graph = onnx.helper.make_graph(
        [node],
        "node",
        [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in feeds],
        [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in node.output if name],
    )
    model = onnx.helper.make_model(graph, opset_imports=opsets)
    with np.errstate(all="ignore"):
        results = ReferenceEvaluator(model).run(None, feeds)
    if not all(isinstance(result, np.ndarray | np.generic) for result in results):
        return None
    return [np.asarray(result) for result in results]
