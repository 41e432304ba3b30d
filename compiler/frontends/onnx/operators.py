"""Which operators of a model cannot be imported."""

from __future__ import annotations

from collections import Counter

import onnx

# Importing the package registers the operators.
from paddle_tvm.compiler.frontends.onnx import ops as _ops  # noqa: F401
from paddle_tvm.compiler.frontends.onnx.constants import FOLDABLE
from paddle_tvm.compiler.frontends.onnx.kept_nodes import may_be_kept
from paddle_tvm.compiler.frontends.onnx.model import OnnxModel, all_nodes, load_onnx
from paddle_tvm.compiler.frontends.onnx.registry import registered
from paddle_tvm.compiler.frontends.onnx.tvm_converters import TVM_OPERATORS
from paddle_tvm.compiler.frontends.source import ModelSource

_STANDARD = ("", "ai.onnx")


def missing_onnx_operators(source: ModelSource, *, kept: bool = False) -> Counter[str]:
    """Operators that cannot be imported, with how often each occurs.

    ``kept`` says that what ONNX Runtime may run is not missing.

    Raises
    ------
    UnsupportedModelError
        The file cannot be read.
    """
    return missing_operators(load_onnx(source.program), kept=kept)


def missing_operators(model: OnnxModel, *, kept: bool = False) -> Counter[str]:
    """As ``missing_onnx_operators``, of a model that is loaded."""
    return Counter(
        operator_name(node)
        for node in all_nodes(model.proto.graph)
        if is_missing(node) and not (kept and may_be_kept(node))
    )


def operator_name(node: onnx.NodeProto) -> str:
    """A node's operator, with its domain where that is not ONNX's own."""
    return str(node.op_type) if node.domain in _STANDARD else f"{node.domain}::{node.op_type}"


def is_missing(node: onnx.NodeProto) -> bool:
    """Whether there is no converter of a node."""
    if node.op_type in TVM_OPERATORS.get(node.domain, frozenset()):
        return False
    ours = registered() | FOLDABLE | {"If"}
    return not (node.domain in _STANDARD and node.op_type in ours)
