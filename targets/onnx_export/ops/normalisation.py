"""Normalisations."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import relax, tirx

from paddle_tvm.targets.onnx_export.context import ExportContext, reshape, size
from paddle_tvm.targets.onnx_export.registry import register


def _trailing(call: relax.Call) -> bool:
    rank = len(call.ty.shape)
    axes = sorted(int(axis) % rank for axis in call.attrs.axes)
    return axes == list(range(rank - len(axes), rank))


def _refuse_layer_norm(call: relax.Call) -> str | None:
    if not _trailing(call):
        return "it normalises over other dimensions than the last ones"
    if not call.attrs.center or not call.attrs.scale:
        return "it has no scale or shift"
    return None


@register("nn.layer_norm", operands=3, refuse=_refuse_layer_norm)
def _layer_norm(ctx: ExportContext) -> str:
    return ctx.add(
        "LayerNormalization",
        ctx.input(0),
        ctx.input(1),
        ctx.input(2),
        axis=-len(ctx.attrs.axes),
        epsilon=float(ctx.attrs.epsilon),
    )


def _refuse_rms_norm(call: relax.Call) -> str | None:
    return None if _trailing(call) else "it normalises over other dimensions than the last ones"


@register("nn.rms_norm", operands=2, refuse=_refuse_rms_norm)
def _rms_norm(ctx: ExportContext) -> str:
    x, dtype = ctx.input(0), ctx.dtype(0)
    axes = ctx.ints(range(-len(ctx.attrs.axes), 0))
    mean = ctx.add("ReduceMean", ctx.add("Mul", x, x), axes, keepdims=1)
    root = ctx.add("Sqrt", ctx.add("Add", mean, ctx.scalar(float(ctx.attrs.epsilon), dtype)))
    return ctx.add("Mul", ctx.add("Div", x, root), ctx.input(1))


def _refuse_batch_norm(call: relax.Call) -> str | None:
    if call.attrs.training:
        return "it normalises by the statistics of its own batch"
    if int(call.attrs.axis) != 1:
        return f"it normalises along dimension {call.attrs.axis}, and ONNX does along 1"
    if not call.attrs.center or not call.attrs.scale:
        return "it has no scale or shift"
    return None


@register("nn.batch_norm", operands=5, refuse=_refuse_batch_norm)
def _batch_norm(ctx: ExportContext) -> list[str]:
    operands = [ctx.input(index) for index in range(5)]
    result = ctx.add("BatchNormalization", *operands, epsilon=float(ctx.attrs.epsilon))
    return [result, *operands[3:]]


def _refuse_grouped(call: relax.Call) -> str | None:
    rank = len(call.ty.shape)
    if int(call.attrs.channel_axis) % rank != 1:
        return f"its channels are dimension {call.attrs.channel_axis}, and ONNX's are dimension 1"
    if sorted(int(axis) % rank for axis in call.attrs.axes) != list(range(2, rank)):
        return "it normalises over some of the dimensions after the channels"
    if not call.attrs.center or not call.attrs.scale:
        return "it has no scale or shift"
    if size(call.ty.shape[1]) is None:
        return "how many channels it has is not known"
    return None


@register("nn.group_norm", operands=3, refuse=_refuse_grouped)
def _group_norm(ctx: ExportContext) -> str:
    groups, epsilon = int(ctx.attrs.num_groups), float(ctx.attrs.epsilon)
    return grouped(ctx, ctx.input(0), groups, epsilon, [ctx.input(1), ctx.input(2)])


@register("nn.instance_norm", operands=3, refuse=_refuse_grouped)
def _instance_norm(ctx: ExportContext) -> str:
    return ctx.add(
        "InstanceNormalization",
        ctx.input(0),
        ctx.input(1),
        ctx.input(2),
        epsilon=float(ctx.attrs.epsilon),
    )


def grouped(ctx: ExportContext, data: str, groups: int, epsilon: float, affine: Sequence[str]) -> str:
    """Normalise groups of channels, dimension 1; then scale and shift each channel, where that is given."""
    dtype, dims = str(ctx.result.dtype), list(ctx.result.shape)
    # 0 stands for the dimension of the input.
    rows = ctx.add("Reshape", data, ctx.ints([0, groups, -1]))
    one, zero = (ctx.graph.constant([value] * groups, dtype) for value in (1, 0))
    normalised = ctx.add("InstanceNormalization", rows, one, zero, epsilon=epsilon)
    result = ctx.reshaped(normalised)
    sizes = [dims[1], *[tirx.IntImm("int64", 1)] * (len(dims) - 2)]
    for op_type, vector in zip(("Mul", "Add"), affine, strict=False):
        result = ctx.add(op_type, result, reshape(ctx.graph, vector, sizes))
    return result
