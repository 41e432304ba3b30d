"""Products of matrices."""

from __future__ import annotations

from tvm import relax

from paddle_tvm.targets.onnx_export.context import ExportContext
from paddle_tvm.targets.onnx_export.registry import register


def _refuse(call: relax.Call) -> str | None:
    dtypes = {str(call.ty.dtype), *(str(operand.ty.dtype) for operand in call.args)}
    return f"its dtypes are {', '.join(sorted(dtypes))}" if len(dtypes) > 1 else None


@register("matmul", operands=2, refuse=_refuse)
def _matmul(ctx: ExportContext) -> str:
    return ctx.add("MatMul", ctx.input(0), ctx.input(1))


@register("einsum")
def _einsum(ctx: ExportContext) -> str:
    return ctx.add("Einsum", *ctx.inputs(0), equation=str(ctx.attrs.subscripts))
