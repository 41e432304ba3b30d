"""Padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tvm import relax, te, tirx

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext
from paddle_tvm.compiler.frontends.paddle.ops.spatial import is_channel_last
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register
from paddle_tvm.targets.meaning import means, vector


@register("pad")
def _pad(ctx: OpContext) -> Converted:
    paddings = ctx.attr("paddings")
    pads = [(paddings[2 * axis], paddings[2 * axis + 1]) for axis in range(ctx.ndim(0))]
    return _constant(ctx, pads, ctx.constant(1).item())


@register("pad3d")
def _pad3d(ctx: OpContext) -> Converted:
    flat = ctx.dims(1)
    # Innermost axis first: left, right, top, bottom, front, back.
    spatial = [(flat[2 * axis], flat[2 * axis + 1]) for axis in reversed(range(3))]
    last = is_channel_last(ctx.attr("data_format"))
    pads: list[tuple[Dim, Dim]] = [(0, 0), *spatial, (0, 0)] if last else [(0, 0), (0, 0), *spatial]
    mode = ctx.attr("mode")
    if mode == "constant":
        return _constant(ctx, pads, ctx.attr("pad_value"))
    return _emit(
        ctx, pads, lambda data, source: data(*source), _SOURCES[mode], f"pad_{mode}", _ONNX_MODES.get(mode)
    )


def _constant(ctx: OpContext, pads: Sequence[tuple[Dim, Dim]], value: float) -> relax.Expr:
    flat = [pad for pair in pads for pad in pair]
    if "float" in ctx.dtype(0) and all(isinstance(pad, int) and pad >= 0 for pad in flat):
        return relax.op.nn.pad(ctx.input(0), flat, "constant", value)

    def inside_or_value(data: te.Tensor, source: Sequence[Any]) -> Any:
        checks = [tirx.all(index >= 0, index < size) for index, size in zip(source, data.shape, strict=True)]
        return tirx.if_then_else(tirx.all(*checks), data(*source), tirx.const(value, data.dtype))

    return _emit(ctx, pads, inside_or_value, lambda index, size: index, "pad")


def _emit(
    ctx: OpContext,
    pads: Sequence[tuple[Dim, Dim]],
    element: Callable[[te.Tensor, Sequence[Any]], Any],
    source: Callable[[Any, Any], Any],
    name: str,
    onnx: str | None = None,
) -> relax.Expr:
    """Pad with elements of the tensor; ``onnx`` is what ONNX calls the mode."""

    def compute(data: te.Tensor, before: Sequence[Dim], shape: Sequence[Dim]) -> te.Tensor:
        def padded(*index: Any) -> Any:
            shifted = [i - pad for i, pad in zip(index, before, strict=True)]
            unpadded = [isinstance(b, int) and b == 0 and a == 0 for b, a in pads]
            return element(
                data,
                [
                    i if plain else source(s, size)
                    for i, s, size, plain in zip(index, shifted, data.shape, unpadded, strict=True)
                ],
            )

        return te.compute(tuple(shape), padded, name=name)

    shape = [
        ctx.simplify(size + before + after) for size, (before, after) in zip(ctx.shape(0), pads, strict=True)
    ]
    meaning = None
    known = [pad for end in zip(*pads, strict=True) for pad in end if isinstance(pad, int) and pad >= 0]
    if onnx is not None and len(known) == 2 * len(pads):
        meaning = means("Pad", 0, vector(known), mode=onnx)
    return ctx.emit_te(
        compute, ctx.input(0), [before for before, _ in pads], shape, name=name, attributes=meaning
    )


def _reflect(index: Any, size: Any) -> Any:
    index = tirx.max(index, -index)
    return tirx.min(index, 2 * size - index - 2)


def _replicate(index: Any, size: Any) -> Any:
    return tirx.min(tirx.max(index, 0), size - 1)


_ONNX_MODES = {"reflect": "reflect", "replicate": "edge"}

# Where the element at an index before or behind an axis comes from.
_SOURCES: Mapping[str, Callable[[Any, Any], Any]] = {
    "reflect": _reflect,
    "replicate": _replicate,
    "circular": tirx.floormod,
}
