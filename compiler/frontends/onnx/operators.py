"""Which operators of a model cannot be imported."""

from __future__ import annotations

from collections import Counter

# Importing the package registers the operators.
from paddle_tvm.compiler.frontends.onnx import ops as _ops  # noqa: F401
from paddle_tvm.compiler.frontends.onnx.constants import FOLDABLE
from paddle_tvm.compiler.frontends.onnx.model import OnnxModel, all_nodes, load_onnx
from paddle_tvm.compiler.frontends.onnx.registry import registered
from paddle_tvm.compiler.frontends.onnx.tvm_converters import TVM_OPERATORS
from paddle_tvm.compiler.frontends.source import ModelSource

_STANDARD = ("", "ai.onnx")


def missing_onnx_operators(source: ModelSource) -> Counter[str]:
    """Operators that cannot be imported, with how often each occurs.

    Raises
    ------
    UnsupportedModelError
        The file cannot be read.
    """
    return missing_operators(load_onnx(source.program))


def missing_operators(model: OnnxModel) -> Counter[str]:
    """As ``missing_onnx_operators``, of a model that is loaded."""
    ours = registered() | FOLDABLE | {"If"}
    return Counter(
        node.op_type if node.domain in _STANDARD else f"{node.domain}::{node.op_type}"
        for node in all_nodes(model.proto.graph)
        if node.op_type not in TVM_OPERATORS.get(node.domain, frozenset())
        and not (node.domain in _STANDARD and node.op_type in ours)
    )
