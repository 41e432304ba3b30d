"""A node of an ONNX model that is kept as it is in a graph of Relax: an operator that carries it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import tvm
from tvm import ir, relax

if TYPE_CHECKING:
    # Every compilation looks for such nodes, and few have one.
    import onnx

OPERATOR = "paddle_tvm.onnx_node"

ir.op._ffi_api.RegisterOp(OPERATOR, "A node of an ONNX model.")
ir.register_op_attr(OPERATOR, "FPurity", True)
# What it gives out is what its one type argument says.
ir.register_op_attr(OPERATOR, "FInferType", lambda call, _: call.ty_args[0])


def onnx_node(
    node: onnx.NodeProto, version: int, operands: Sequence[relax.Expr], results: Sequence[relax.TensorType]
) -> relax.Call:
    """A call that stands for a node.

    Parameters
    ----------
    node
        The node; its inputs are the numbers of operands, or empty where an optional one is left out. Results
        without a name are not wanted.
    version
        Of the operators of the node's domain.
    operands
        What it reads.
    results
        The types of what it gives out and is wanted. A single one is the call's own type, several a tuple.
    """
    import onnx

    kept = onnx.NodeProto()
    kept.CopyFrom(node)
    # Names tell nothing, and equal nodes are to be equal.
    kept.ClearField("name")
    kept.ClearField("doc_string")
    if kept.domain == "ai.onnx":
        # Another name of the standard domain.
        kept.ClearField("domain")
    for number, name in enumerate(kept.output):
        kept.output[number] = str(number) if name else ""
    payload = base64.b64encode(kept.SerializeToString(deterministic=True)).decode()
    attributes = tvm.ir.make_node("ir.DictAttrs", node=payload, version=version)
    ty = results[0] if len(results) == 1 else relax.TupleType(list(results))
    return relax.Call(ir.Op.get(OPERATOR), [relax.Tuple(list(operands))], attributes, [ty])


def is_onnx_node(expr: Any) -> bool:
    """Whether an expression is such a call."""
    return isinstance(expr, relax.Call) and isinstance(expr.op, ir.Op) and str(expr.op.name) == OPERATOR


def node_of(call: relax.Call) -> tuple[onnx.NodeProto, int]:
    """The node that a call stands for, and the version of its domain's operators."""
    import onnx

    node = onnx.NodeProto()
    node.ParseFromString(base64.b64decode(str(call.attrs["node"])))
    return node, int(call.attrs["version"])
