"""TIR functions of the importers that say which operator they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from paddle_tvm.targets.meaning import meaning_of
from paddle_tvm.targets.onnx_export.context import ExportContext
from paddle_tvm.targets.onnx_export.graph import element_type
from paddle_tvm.targets.onnx_export.ops.normalisation import grouped
from paddle_tvm.targets.onnx_export.registry import register

Composite = Callable[[ExportContext, Sequence[str], Mapping[str, Any]], str]


def _not_equal(ctx: ExportContext, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
    return ctx.add("Not", ctx.add("Equal", *inputs))


def _is_finite(ctx: ExportContext, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
    return ctx.add("Not", ctx.add("Or", ctx.add("IsNaN", *inputs), ctx.add("IsInf", *inputs)))


def _group_norm(ctx: ExportContext, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
    return grouped(ctx, inputs[0], attributes["groups"], attributes["epsilon"], inputs[1:])


def _keeping_nan(op_type: str) -> Composite:
    """A reduction that gives NaN where there is one: ONNX Runtime's passes over it."""

    def convert(ctx: ExportContext, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        reduced = ctx.add(op_type, *inputs, **attributes)
        dtype = str(ctx.result.dtype)
        if not dtype.startswith("float"):
            return reduced
        found = ctx.add("Cast", ctx.add("IsNaN", inputs[0]), to=element_type("float32"))
        any_found = ctx.add(
            "Cast", ctx.add("ReduceMax", found, *inputs[1:], **attributes), to=element_type("bool")
        )
        return ctx.add("Where", any_found, ctx.scalar(float("nan"), dtype), reduced)

    return convert


_COMPOSITES: dict[str, Composite] = {
    "ReduceMax": _keeping_nan("ReduceMax"),
    "ReduceMin": _keeping_nan("ReduceMin"),
    "NotEqual": _not_equal,
    "IsFinite": _is_finite,
    "GroupNorm": _group_norm,
}


@register("call_tir", operands=2)
def _call_tir(ctx: ExportContext) -> str:
    assert ctx.kernel is not None
    meaning = meaning_of(ctx.kernel)
    assert meaning is not None
    tensors = ctx.inputs(1)
    inputs = []
    for operand in meaning.operands:
        if operand is None:
            inputs.append("")
        elif operand.number is not None:
            inputs.append(tensors[operand.number])
        else:
            inputs.append(ctx.graph.constant(operand.value, operand.dtype))
    composite = _COMPOSITES.get(meaning.op_type)
    if composite is not None:
        return composite(ctx, inputs, meaning.attributes)
    return ctx.add(meaning.op_type, *inputs, **meaning.attributes)
