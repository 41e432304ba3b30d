"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import relax

from paddle_tvm.targets.onnx_export.context import ExportContext
from paddle_tvm.targets.onnx_export.registry import register

_LAYOUTS = {
    "conv1d": ("NCW", "OIW"),
    "conv2d": ("NCHW", "OIHW"),
    "conv3d": ("NCDHW", "OIDHW"),
    "conv1d_transpose": ("NCW", "IOW"),
    "conv2d_transpose": ("NCHW", "IOHW"),
    "conv3d_transpose": ("NCDHW", "IODHW"),
}


def _refuse(call: relax.Call) -> str | None:
    attributes = call.attrs
    layouts = (str(attributes.data_layout), str(attributes.kernel_layout))
    wanted = _LAYOUTS[str(call.op.name).rpartition(".")[2]]
    if layouts != wanted:
        return f"its layouts are {' and '.join(layouts)}, and ONNX's are {' and '.join(wanted)}"
    if str(call.ty.dtype) != str(call.args[0].ty.dtype):
        return f"it computes {call.ty.dtype} from {call.args[0].ty.dtype}"
    return None


def window_pads(padding: Sequence[int], rank: int) -> list[int]:
    """Padding as ONNX lists it: before in each dimension, then after."""
    values = [int(value) for value in padding]
    if len(values) == 1:
        return values * (2 * rank)
    return values * 2 if len(values) == rank else values


@register("nn.conv1d", "nn.conv2d", "nn.conv3d", operands=2, refuse=_refuse)
def _conv(ctx: ExportContext) -> str:
    return ctx.add(
        "Conv",
        ctx.input(0),
        ctx.input(1),
        strides=[int(stride) for stride in ctx.attrs.strides],
        pads=window_pads(ctx.attrs.padding, ctx.rank(0) - 2),
        dilations=[int(step) for step in ctx.attrs.dilation],
        group=int(ctx.attrs.groups),
    )


@register("nn.conv1d_transpose", "nn.conv2d_transpose", "nn.conv3d_transpose", operands=2, refuse=_refuse)
def _conv_transpose(ctx: ExportContext) -> str:
    return ctx.add(
        "ConvTranspose",
        ctx.input(0),
        ctx.input(1),
        strides=[int(stride) for stride in ctx.attrs.strides],
        pads=window_pads(ctx.attrs.padding, ctx.rank(0) - 2),
        output_padding=[int(more) for more in ctx.attrs.output_padding],
        dilations=[int(step) for step in ctx.attrs.dilation],
        group=int(ctx.attrs.groups),
    )
