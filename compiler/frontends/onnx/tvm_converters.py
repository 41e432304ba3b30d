"""The bridge to the converters of TVM's ONNX importer, with workarounds for what TVM 0.27 gets wrong."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import onnx
from tvm import relax
from tvm.relax.frontend.onnx import onnx_frontend

from paddle_tvm.compiler.frontends.onnx.context import NodeContext
from paddle_tvm.compiler.frontends.onnx.tvm_refusals import refuse
from paddle_tvm.compiler.frontends.onnx.weight_sizes import fit_data_to_weights
from paddle_tvm.runtime.errors import PaddleTvmError

# Their values are lists of tensors, which have no place in an artifact's inputs, outputs and shapes.
_NOT_TENSORS = {
    name for name in onnx_frontend._get_convert_map() if name.startswith("Optional") or "Sequence" in name
}
# TVM's converters go by the operator's name alone: these belong to ONNX Runtime's domain.
_MICROSOFT = {
    "Attention",
    "BiasGelu",
    "EmbedLayerNormalization",
    "FastGelu",
    "Gelu",
    "MatMulInteger16",
    "SkipLayerNormalization",
}
_ALL = frozenset(onnx_frontend._get_convert_map()) - _NOT_TENSORS

TVM_OPERATORS: dict[str, frozenset[str]] = {
    "": _ALL - _MICROSOFT | {"Gelu"},
    "ai.onnx": _ALL - _MICROSOFT | {"Gelu"},
    "com.microsoft": _ALL & _MICROSOFT,
}
"""Operators that TVM converts, by domain."""

_ELEMENTWISE = {
    *("Add", "Sub", "Mul", "Div", "Mod", "Pow", "Mean", "Sum", "Where"),
    *("And", "Or", "Xor", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor"),
    *("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"),
}


def convert_with_tvm(ctx: NodeContext) -> list[relax.Expr]:
    """Convert a node with TVM's converter.

    Raises
    ------
    UnsupportedModelError
        TVM refuses the node, or is known to convert it wrongly.
    """
    attributes: dict[str, Any] = {
        attribute.name: _tvm_attribute(attribute) for attribute in ctx.node.attribute
    }
    refuse(ctx)
    if (
        attributes.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER")
        and ctx.node.op_type in _WINDOWED
    ):
        attributes["pads"] = _same_pads(ctx, attributes)
        attributes["auto_pad"] = b"NOTSET"
    attributes["tvm_custom"] = {"name": ctx.node.name, "num_outputs": len(ctx.node.output)}
    importer = onnx_frontend.ONNXGraphImporter({}, None)
    importer.bb = ctx.builder
    importer.opset = ctx.opset
    inputs = _inputs(ctx)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = importer._convert_operator(
                ctx.node.op_type, onnx_frontend.onnx_input(inputs), attributes, ctx.opset
            )
            return _unpacked(ctx.builder, result)
    except PaddleTvmError:
        raise
    except Exception as error:
        shapes = ", ".join(str(list(value.shape)) if value else "-" for value in ctx.operands)
        raise ctx.unsupported(
            f"TVM's ONNX importer cannot convert it for inputs of the shapes {shapes}: "
            f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        ) from error


def _inputs(ctx: NodeContext) -> list[relax.Expr | None]:
    inputs = [value.expr(ctx.builder) if value else None for value in ctx.operands]
    if inputs and inputs[0] is not None:
        inputs[0] = fit_data_to_weights(ctx)
    if ctx.node.op_type in _ELEMENTWISE:
        present = [expr for expr in inputs if expr is not None]
        inputs = list(ctx.broadcast(present))
    if ctx.node.op_type == "Pow" and ctx.dtype(0) != ctx.dtype(1):
        inputs[1] = ctx.emit(relax.op.astype(inputs[1], ctx.dtype(0)))
    return inputs


def _unpacked(builder: relax.BlockBuilder, result: relax.Expr) -> list[relax.Expr]:
    if isinstance(result, relax.Tuple):
        return list(result.fields)
    if isinstance(result.ty, relax.TupleType):
        variable = result if isinstance(result, relax.Var) else builder.emit(result)
        return [builder.emit(relax.TupleGetItem(variable, index)) for index in range(len(variable.ty.fields))]
    return [result]


def _tvm_attribute(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    lists = (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS, onnx.AttributeProto.STRINGS)
    return tuple(value) if attribute.type in lists else value


# Windows ----------------------------------------------------------------------------------------------

_WINDOWED = frozenset({"Conv", "MaxPool", "AveragePool", "LpPool"})


def _same_pads(ctx: NodeContext, attributes: dict[str, Any]) -> tuple[int, ...]:
    """Pads of ``auto_pad`` SAME, by ONNX's formula: TVM's differs between operators and ignores dilation."""
    spatial = ctx.shape(0)[2:]
    kernel: Sequence[int] = attributes.get("kernel_shape") or [
        ctx.fix(size, "the kernel") for size in ctx.shape(1)[2:]
    ]
    strides = attributes.get("strides") or (1,) * len(spatial)
    dilations = attributes.get("dilations") or (1,) * len(spatial)
    before, after = [], []
    for size, window, stride, dilation in zip(spatial, kernel, strides, dilations, strict=True):
        reach = (window - 1) * dilation + 1
        if stride == 1:
            total = reach - 1
        else:
            fixed = ctx.fix(size, "auto_pad SAME with a stride needs the input's size, which")
            total = max((-(-fixed // stride) - 1) * stride + reach - fixed, 0)
        small, large = total // 2, total - total // 2
        upper = attributes["auto_pad"] == b"SAME_UPPER"
        before.append(small if upper else large)
        after.append(large if upper else small)
    return (*before, *after)
