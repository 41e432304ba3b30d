"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import relax

from paddle_tvm.targets.onnx_export.context import ExportContext, size
from paddle_tvm.targets.onnx_export.ops.conv import window_pads
from paddle_tvm.targets.onnx_export.registry import register

_LAYOUTS = {3: "NCW", 4: "NCHW", 5: "NCDHW"}


def _refuse_layout(call: relax.Call) -> str | None:
    wanted = _LAYOUTS.get(len(call.ty.shape))
    if str(call.attrs.layout) != wanted:
        return f"its layout is {call.attrs.layout}, and ONNX's is {wanted}"
    return None


def _refuse_window(call: relax.Call) -> str | None:
    reason = _refuse_layout(call)
    if reason is not None:
        return reason
    attributes = call.attrs
    kernel = [int(length) for length in attributes.pool_size]
    pads = window_pads(attributes.padding, len(kernel))
    if any(pad >= length for pad, length in zip(pads, kernel * 2, strict=True)):
        return f"it pads by {pads}, as much as its window of {kernel} or more"
    if attributes.ceil_mode and not _rounds_up(call, kernel, pads):
        return "its last windows may begin beyond the padded input, where libraries differ"
    return None


def _rounds_up(call: relax.Call, kernel: Sequence[int], pads: Sequence[int]) -> bool:
    """Whether there are as many windows as rounding up gives, none of them left out."""
    rank = len(kernel)
    for axis, stride in enumerate(int(stride) for stride in call.attrs.strides):
        before, after = size(call.args[0].ty.shape[axis + 2]), size(call.ty.shape[axis + 2])
        if before is None or after is None:
            return False
        steps = before + pads[axis] + pads[axis + rank] - kernel[axis]
        if after != -(-steps // stride) + 1:
            return False
    return True


def _refuse_average(call: relax.Call) -> str | None:
    if any(int(step) != 1 for step in call.attrs.dilation):
        return "it averages over windows with gaps"
    if call.attrs.ceil_mode and call.attrs.count_include_pad:
        return "its last windows go beyond the padding that it counts"
    return _refuse_window(call)


def _window(ctx: ExportContext) -> dict[str, Any]:
    kernel = [int(length) for length in ctx.attrs.pool_size]
    return {
        "kernel_shape": kernel,
        "strides": [int(stride) for stride in ctx.attrs.strides],
        "pads": window_pads(ctx.attrs.padding, len(kernel)),
        "ceil_mode": int(ctx.attrs.ceil_mode),
    }


@register("nn.max_pool1d", "nn.max_pool2d", "nn.max_pool3d", refuse=_refuse_window)
def _max_pool(ctx: ExportContext) -> str:
    dilations = [int(step) for step in ctx.attrs.dilation]
    return ctx.add("MaxPool", ctx.input(0), **_window(ctx), dilations=dilations)


@register("nn.avg_pool1d", "nn.avg_pool2d", "nn.avg_pool3d", refuse=_refuse_average)
def _average_pool(ctx: ExportContext) -> str:
    counted = int(ctx.attrs.count_include_pad)
    return ctx.add("AveragePool", ctx.input(0), **_window(ctx), count_include_pad=counted)


def _refuse_adaptive(call: relax.Call) -> str | None:
    reason = _refuse_layout(call)
    wanted = [size(dim) for dim in list(call.ty.shape)[2:]]
    if reason is not None or all(want == 1 for want in wanted):
        return reason
    sizes = [size(dim) for dim in list(call.args[0].ty.shape)[2:]]
    if any(have is None or want is None or have % want for have, want in zip(sizes, wanted, strict=True)):
        return f"ONNX's windows are of one size, and {sizes} does not divide into {wanted}"
    return None


@register(
    "nn.adaptive_avg_pool1d", "nn.adaptive_avg_pool2d", "nn.adaptive_avg_pool3d", refuse=_refuse_adaptive
)
def _adaptive(ctx: ExportContext) -> str:
    wanted = [size(dim) for dim in list(ctx.result.shape)[2:]]
    if all(want == 1 for want in wanted):
        return ctx.add("GlobalAveragePool", ctx.input(0))
    steps = [(size(have) or 0) // (want or 1) for have, want in zip(ctx.dims(0)[2:], wanted, strict=True)]
    return ctx.add("AveragePool", ctx.input(0), kernel_shape=steps, strides=steps)
