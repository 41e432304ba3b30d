"""The largest elements, and where they are."""

from __future__ import annotations

from tvm import relax

from paddle_tvm.targets.onnx_export.context import ExportContext
from paddle_tvm.targets.onnx_export.graph import element_type
from paddle_tvm.targets.onnx_export.registry import register


def _refuse_flat(call: relax.Call) -> str | None:
    return "it looks at the flattened tensor" if call.attrs.axis is None else None


@register("argmax", "argmin", refuse=_refuse_flat)
def _arg(ctx: ExportContext) -> str:
    op_type = {"relax.argmax": "ArgMax", "relax.argmin": "ArgMin"}[str(ctx.call.op.name)]
    return ctx.add(op_type, ctx.input(0), axis=int(ctx.attrs.axis), keepdims=int(ctx.attrs.keepdims))


def _refuse_topk(call: relax.Call) -> str | None:
    return None if int(call.attrs.k) > 0 else f"it asks for {call.attrs.k} elements"


@register("topk", refuse=_refuse_topk)
def _topk(ctx: ExportContext) -> list[str]:
    inputs = [ctx.input(0), ctx.ints([int(ctx.attrs.k)])]
    attributes = {"axis": int(ctx.attrs.axis), "largest": int(bool(ctx.attrs.largest)), "sorted": 1}
    values, places = ctx.graph.node("TopK", inputs, 2, attributes=attributes)
    if str(ctx.attrs.dtype) != "int64" and str(ctx.attrs.ret_type) != "values":
        places = ctx.add("Cast", places, to=element_type(str(ctx.attrs.dtype)))
    return {"both": [values, places], "values": [values], "indices": [places]}[str(ctx.attrs.ret_type)]
