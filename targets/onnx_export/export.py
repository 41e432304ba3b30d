"""Subgraphs, and single calls, as ONNX models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import onnx
from onnx import TensorProto
from tvm import ir, relax, tirx

from paddle_tvm.targets.offload import Step, Subgraph

# Importing the package registers the operators.
from paddle_tvm.targets.onnx_export import ops as _ops  # noqa: F401
from paddle_tvm.targets.onnx_export.context import ExportContext, tensors_of
from paddle_tvm.targets.onnx_export.graph import Graph
from paddle_tvm.targets.onnx_export.registry import find_converter


@dataclass(frozen=True)
class OnnxExport:
    """An ONNX model whose larger weights are beside it.

    Attributes
    ----------
    model
        Inputs are ``x0``, ``x1`` and so on, results ``y0``, ``y1``. What ``weights`` has is an initializer
        with external data, of which the model says no more than dtype and shape.
    weights
        By the names of initializers.
    """

    model: onnx.ModelProto
    weights: Mapping[str, npt.NDArray[Any]]

    @property
    def arithmetic(self) -> str | None:
        """``int8`` for a quantised model, of which an engine computes what it can on integers; else None."""
        quantized = any(node.op_type == "QuantizeLinear" for node in self.model.graph.node)
        return "int8" if quantized else None

    def self_contained(self) -> onnx.ModelProto:
        """The model with its weights in it.

        Raises
        ------
        ValueError
            They are too large for a protobuf message, which is below 2 GB.
        """
        if sum(array.nbytes for array in self.weights.values()) >= 1 << 31:
            raise ValueError("the weights are larger than 2 GB, and no ONNX model holds them within itself")
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        for tensor in model.graph.initializer:
            if tensor.name in self.weights:
                tensor.ClearField("external_data")
                tensor.data_location = TensorProto.DEFAULT
                tensor.raw_data = self.weights[tensor.name].tobytes()
        return model


def export_subgraph(subgraph: Subgraph, *, name_sources: bool = False) -> OnnxExport:
    """A subgraph whose steps are calls that ``refusal`` lets pass; equal ones give equal bytes.

    With ``name_sources`` nodes are named after operators of the model, for what is said when they fail: then
    equal ones of other models give other bytes.
    """
    graph = Graph()
    names = {variable: graph.input(variable.ty) for variable in subgraph.inputs}
    for step in subgraph.steps:
        graph.source = step.source if name_sources else ""
        _add_step(graph, step, names)
    graph.source = ""
    for result in subgraph.results:
        graph.output(names[result], result.ty)
    return OnnxExport(graph.model(subgraph.symbol), graph.weights)


def _add_step(graph: Graph, step: Step, names: dict[relax.Var, str]) -> None:
    (call,) = step.all_calls()
    outer = dict(zip(step.function.params, step.inputs, strict=True))

    def name(expr: relax.Expr) -> str:
        return graph.constant(*_value(expr)) if isinstance(expr, ir.Constant) else names[outer[expr]]

    def type_of(expr: relax.Expr) -> relax.TensorType:
        return expr.ty if isinstance(expr, ir.Constant) else outer[expr].ty

    results = _convert(graph, call, step.result.ty, name, type_of, step.kernel)
    if not isinstance(step.result.ty, relax.TupleType):
        names[step.result] = results[0]
        graph.note_sizes(results[0], step.result.ty)
    for index, variable in step.fields.items():
        names[variable] = results[index]
        graph.note_sizes(results[index], variable.ty)


def export_call(
    call: relax.Call, kernel: tirx.PrimFunc | None, *, constants_as_inputs: bool = False
) -> OnnxExport:
    """One call of the graph by itself.

    Parameters
    ----------
    call
        The call.
    kernel
        The TIR function that it calls, if it calls one.
    constants_as_inputs
        Whether weights that would be beside the model are inputs of it.
    """
    graph = Graph()
    names: dict[Any, str] = {}
    for operand in tensors_of(call):
        if isinstance(operand, ir.Constant):
            names[operand] = graph.constant(*_value(operand))
        elif operand not in names:
            names[operand] = graph.input(operand.ty)
    results = _convert(graph, call, call.ty, names.__getitem__, lambda expr: expr.ty, kernel)
    types = call.ty.fields if isinstance(call.ty, relax.TupleType) else [call.ty]
    for result, ty in zip(results, types, strict=True):
        graph.output(result, ty)
    model = graph.model("call")
    if constants_as_inputs:
        kept = [tensor for tensor in model.graph.initializer if tensor.name not in graph.weights]
        for tensor in model.graph.initializer:
            if tensor.name in graph.weights:
                model.graph.input.append(
                    onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
                )
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
    return OnnxExport(model, graph.weights)


def _convert(
    graph: Graph, call: relax.Call, result: Any, name: Any, type_of: Any, kernel: tirx.PrimFunc | None
) -> Sequence[str]:
    converter = find_converter(str(call.op.name))
    assert converter is not None, call.op
    operands: list[str | list[str] | None] = []
    types: list[relax.TensorType | None] = []
    for operand in call.args:
        is_tensor = isinstance(getattr(operand, "ty", None), relax.TensorType)
        if isinstance(operand, relax.Tuple) and all(
            isinstance(getattr(part, "ty", None), relax.TensorType) for part in operand.fields
        ):
            operands.append([name(part) for part in operand.fields])
        else:
            operands.append(name(operand) if is_tensor else None)
        types.append(type_of(operand) if is_tensor else None)
    context = ExportContext(graph, call, result, operands, types, kernel)
    results = converter.convert(context)
    return [results] if isinstance(results, str) else results


def _value(constant: ir.Constant) -> tuple[npt.NDArray[Any], str]:
    return constant.value.numpy(), str(constant.ty.dtype)
