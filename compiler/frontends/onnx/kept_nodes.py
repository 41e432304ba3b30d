"""Nodes that are kept as they are, for ONNX Runtime to run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from onnx import helper, numpy_helper
from tvm import relax, tirx

from paddle_tvm.compiler.frontends.onnx.context import NodeContext, as_expr
from paddle_tvm.compiler.frontends.paddle.context import Dim, TensorValue
from paddle_tvm.compiler.frontends.paddle.registry import is_constant
from paddle_tvm.targets.onnx_export.graph import OPSET, element_type
from paddle_tvm.targets.onnx_node import onnx_node

_IR_VERSION = 10
_STANDARD = ("", "ai.onnx")
_MICROSOFT = "com.microsoft"

_NEVER = {
    # How many elements they give out is known only when they have run.
    *("Compress", "NonMaxSuppression", "NonZero", "Unique"),
    # They give out no tensors of numbers, or take none.
    *("ConcatFromSequence", "SplitToSequence", "ImageDecoder", "TfIdfVectorizer", "RegexFullMatch"),
    # Equal ones are not equal.
    *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
}

# Larger constants matter to the types of results through their shape alone.
_LARGEST_VALUE = 4096


def may_be_kept(node: onnx.NodeProto) -> bool:
    """Whether ONNX Runtime is likely to run a node: it knows the operator, which is one of tensors."""
    if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        return False
    if node.op_type in _NEVER or node.op_type.startswith(("Optional", "Sequence", "String")):
        return False
    return bool(node.domain == _MICROSOFT or (node.domain in _STANDARD and onnx.defs.has(node.op_type)))


def keep_node(ctx: NodeContext, opsets: Sequence[onnx.OperatorSetIdProto]) -> list[relax.Expr]:
    """A node as an operator of the graph that stands for it.

    Raises
    ------
    UnsupportedModelError
        ONNX Runtime does not run it, or what it gives out has no shape that is known before.
    """
    version = _version(ctx, opsets)
    names: list[str] = []
    operands: list[TensorValue] = []
    for operand in ctx.operands:
        names.append("" if operand is None else str(len(operands)))
        if operand is not None:
            operands.append(operand)
    while names and not names[-1]:
        names.pop()
    node = onnx.NodeProto()
    node.CopyFrom(ctx.node)
    del node.input[:]
    node.input.extend(names)
    types = _result_types(ctx, node, operands, version)
    call = onnx_node(node, version, [operand.expr(ctx.builder) for operand in operands], types)
    result = ctx.builder.emit(call)
    if len(types) == 1:
        parts = [result]
    else:
        parts = [ctx.builder.emit(relax.TupleGetItem(result, index)) for index in range(len(types))]
    given = iter(parts)
    # What nobody asked for keeps its place.
    return [next(given) if name else relax.const(0) for name in node.output]


def _version(ctx: NodeContext, opsets: Sequence[onnx.OperatorSetIdProto]) -> int:
    """The version of the node's operators in the model that it becomes part of."""
    if ctx.node.domain not in _STANDARD:
        return int(next(entry.version for entry in opsets if entry.domain == ctx.node.domain))
    own, ours = (_form(ctx.node.op_type, version) for version in (ctx.opset, OPSET))
    if own != ours:
        raise ctx.unsupported(
            f"it could be kept for ONNX Runtime, but operator set {ctx.opset} has another form of it than "
            f"set {OPSET}, in which it would run: export the model with opset_version={OPSET}"
        )
    return OPSET


def _form(op_type: str, version: int) -> int | None:
    """The operator set that an operator has been the same since; None where a set has no such operator."""
    try:
        return int(onnx.defs.get_schema(op_type, version).since_version)
    except onnx.defs.SchemaError:
        return None


def _result_types(
    ctx: NodeContext, node: onnx.NodeProto, operands: Sequence[TensorValue], version: int
) -> list[relax.TensorType]:
    """What ONNX Runtime says of the results."""
    dims: dict[str, tirx.Expr] = {}
    inputs, initializers = [], []
    for number, operand in enumerate(operands):
        array = operand.array
        if array is not None and is_constant(array) and array.size <= _LARGEST_VALUE:
            initializers.append(numpy_helper.from_array(array, str(number)))
            continue
        shape = [_named(dim, dims) for dim in operand.shape]
        inputs.append(helper.make_tensor_value_info(str(number), element_type(operand.dtype), shape))
    probed = onnx.NodeProto()
    probed.CopyFrom(node)
    probed.name = "node"
    for number, name in enumerate(probed.output):
        probed.output[number] = f"result{number}" if name else ""
    results = [name for name in probed.output if name]
    # ONNX Runtime's Python package gives unknown dimensions and no dimensions in the same way; how many a
    # shape has, it knows or not.
    shapes = [helper.make_node("Shape", [name], [f"{name}_shape"]) for name in results]
    names = [*results, *(node.output[0] for node in shapes)]
    outputs = [helper.make_empty_tensor_value_info(name) for name in names]
    graph = helper.make_graph([probed, *shapes], "node", inputs, outputs, initializers)
    imports = [helper.make_opsetid("", OPSET)]
    if node.domain not in _STANDARD:
        imports.append(helper.make_opsetid(node.domain, version))
    model = helper.make_model(graph, ir_version=_IR_VERSION, opset_imports=imports)
    ports = _session(ctx, model).get_outputs()
    return [
        _type(ctx, port, shape, dims)
        for port, shape in zip(ports[: len(results)], ports[len(results) :], strict=True)
    ]


def _session(ctx: NodeContext, model: onnx.ModelProto) -> Any:
    from paddle_tvm.targets.onnxruntime.kernels import first_line, open_session

    try:
        return open_session(model.SerializeToString())
    except ImportError as error:
        raise ctx.unsupported(f"ONNX Runtime would have to be asked about it: {error}") from error
    except Exception as error:
        raise ctx.unsupported(f"ONNX Runtime does not run it, either: {first_line(error)}") from error


def _named(dim: Dim, dims: dict[str, tirx.Expr]) -> int | str:
    if isinstance(dim, int):
        return dim
    name = str(dim)
    dims[name] = as_expr(dim)
    return name


def _type(ctx: NodeContext, port: Any, port_shape: Any, dims: dict[str, tirx.Expr]) -> relax.TensorType:
    if not port.type.startswith("tensor("):
        raise ctx.unsupported(f"it gives out a {port.type}, and only tensors can be compiled")
    name = port.type.removeprefix("tensor(").removesuffix(")")
    dtype = {"float": "float32", "double": "float64"}.get(name, name)
    if port_shape.shape != [len(port.shape)]:
        raise ctx.unsupported("how many dimensions it gives out is not known before it has run")
    shape = []
    for axis, dim in enumerate(port.shape):
        if isinstance(dim, int):
            shape.append(as_expr(dim))
        elif dim in dims:
            shape.append(dims[dim])
        else:
            raise ctx.unsupported(
                f"the size of dimension {axis} of what it gives out ({port.type}{list(port.shape)}) is not "
                "known before it has run; fix the model's input shapes with --shape, if it depends on those"
            )
    return relax.TensorType(shape, dtype)
