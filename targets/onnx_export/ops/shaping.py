"""Operators that move elements, and change none."""

from __future__ import annotations

from tvm import relax, tirx

from paddle_tvm.targets.onnx_export.context import ExportContext, numbers, reshape, size
from paddle_tvm.targets.onnx_export.graph import UnknownSizeError
from paddle_tvm.targets.onnx_export.registry import register

# Further than any tensor reaches.
_FAR = (1 << 63) - 1


@register("reshape", "flatten", "squeeze", operands=(1, 2))
def _reshape(ctx: ExportContext) -> str:
    dims = list(ctx.result.shape)
    unknown = [dim for dim in dims if not _is_computable(ctx, dim)]
    if len(unknown) == 1:
        # ONNX finds out the one that is left.
        sizes = [tirx.IntImm("int64", -1) if dim is unknown[0] else dim for dim in dims]
        return reshape(ctx.graph, ctx.input(0), sizes)
    return reshape(ctx.graph, ctx.input(0), dims)


def _is_computable(ctx: ExportContext, dim: tirx.Expr) -> bool:
    try:
        ctx.graph.size(dim)
    except UnknownSizeError:
        return False
    return True


@register("expand_dims")
def _expand_dims(ctx: ExportContext) -> str:
    rank = len(ctx.result.shape)
    axes = sorted(int(axis) % rank for axis in ctx.attrs.axis)
    return ctx.add("Unsqueeze", ctx.input(0), ctx.ints(axes))


@register("permute_dims")
def _permute_dims(ctx: ExportContext) -> str:
    rank = ctx.rank(0)
    axes = ctx.attrs.axes
    order = range(rank - 1, -1, -1) if axes is None else [int(axis) % rank for axis in axes]
    return ctx.add("Transpose", ctx.input(0), perm=list(order))


def _refuse_broadcast(call: relax.Call) -> str | None:
    # TVM 0.27 makes the sizes a parameter of the match, whose result then has no shape.
    shape = call.ty.shape
    if shape is None or any(size(dim) is None for dim in shape):
        return "the sizes that it spreads to are known only when it runs"
    return None


@register("broadcast_to", operands=2, refuse=_refuse_broadcast)
def _broadcast_to(ctx: ExportContext) -> str:
    return ctx.add("Expand", ctx.input(0), ctx.graph.shape(list(ctx.result.shape)))


@register("tile")
def _tile(ctx: ExportContext) -> str:
    repeats = [int(count) for count in ctx.attrs.repeats]
    rank = ctx.rank(0)
    data = ctx.input(0)
    if len(repeats) > rank:
        data = ctx.add("Unsqueeze", data, ctx.ints(range(len(repeats) - rank)))
    return ctx.add("Tile", data, ctx.ints([1] * (rank - len(repeats)) + repeats))


@register("flip")
def _flip(ctx: ExportContext) -> str:
    axis = ctx.ints([int(ctx.attrs.axis)])
    return ctx.add("Slice", ctx.input(0), ctx.ints([-1]), ctx.ints([-_FAR]), axis, ctx.ints([-1]))


def _refuse_slice(call: relax.Call) -> str | None:
    axes, begins, ends, *strides = map(numbers, call.args[1:])
    if axes is None or begins is None or ends is None or None in strides:
        return "its bounds are not known"
    steps = strides[0] if strides and strides[0] is not None else [1] * len(axes)
    for axis, begin, end, step in zip(axes, begins, ends, steps, strict=True):
        have, left = size(call.args[0].ty.shape[axis]), size(call.ty.shape[axis])
        if have is None or left is None:
            return "it takes a part of a dimension whose size is not known"
        if len(range(have)[slice(begin, end, step)]) != left:
            return f"ONNX takes another part of {have} elements for {begin}:{end}:{step}"
    return None


@register("strided_slice", operands=(5, 4), refuse=_refuse_slice)
def _strided_slice(ctx: ExportContext) -> str:
    axes, begins, ends, *strides = (ctx.ints(numbers(part) or []) for part in ctx.call.args[1:])
    return ctx.add("Slice", ctx.input(0), begins, ends, axes, *strides)


_PAD_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}


def _refuse_pad(call: relax.Call) -> str | None:
    if str(call.attrs.pad_mode) not in _PAD_MODES:
        return f"it pads in the mode {call.attrs.pad_mode}"
    return None


@register("nn.pad", refuse=_refuse_pad)
def _pad(ctx: ExportContext) -> str:
    widths = [int(width) for width in ctx.attrs.pad_width]
    inputs = [ctx.input(0), ctx.ints(widths[::2] + widths[1::2])]
    mode = _PAD_MODES[str(ctx.attrs.pad_mode)]
    if mode == "constant":
        inputs.append(ctx.scalar(float(ctx.attrs.pad_value), ctx.dtype(0)))
    return ctx.add("Pad", *inputs, mode=mode)


def _refuse_triangle(call: relax.Call) -> str | None:
    return None if isinstance(call.args[1], tirx.IntImm) else "its diagonal is not known"


@register("tril", "triu", operands=2, refuse=_refuse_triangle)
def _triangle(ctx: ExportContext) -> str:
    diagonal = ctx.scalar(int(ctx.call.args[1].value), "int64")
    return ctx.add("Trilu", ctx.input(0), diagonal, upper=int(str(ctx.call.op.name) == "relax.triu"))
