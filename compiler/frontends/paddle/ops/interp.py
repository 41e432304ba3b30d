"""Interpolation, with the arithmetic of Paddle's CPU kernels (``phi/kernels/cpu/interpolate_kernel.cc``)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from tvm import te, tirx

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext
from paddle_tvm.compiler.frontends.paddle.ops.spatial import is_channel_last, opaque_factor
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register
from paddle_tvm.targets.meaning import means, vector
from paddle_tvm.targets.offload import RESAMPLING


@register("nearest_interp", "linear_interp", "bilinear_interp", "trilinear_interp", "bicubic_interp")
def _interpolate(ctx: OpContext) -> Converted:
    ndim = ctx.ndim(0)
    first = 1 if is_channel_last(ctx.attr("data_format")) else 2
    axes = list(range(first, first + ndim - 2))
    sizes = [ctx.shape(0)[axis] for axis in axes]
    output, scales = _output_sizes(ctx, sizes)
    if all(ctx.is_equal(size, out) for size, out in zip(sizes, output, strict=True)):
        return ctx.input(0)
    method, aligned = ctx.attr("interp_method"), bool(ctx.attr("align_corners"))
    half_pixel = ctx.attr("align_mode") == 0 and not aligned
    # Where one output element is left, Paddle 3.3 samples the first input element in the two-dimensional
    # methods, and the middle in the others.
    zero_for_one = (method == "bilinear" and half_pixel) or method == "bicubic"

    def compute(data: te.Tensor, output: Sequence[Dim]) -> te.Tensor:
        sources = [data.shape[axis] for axis in axes]
        ratios = [
            _ratio(size, out, scale, aligned, zero_for_one)
            for size, out, scale in zip(sources, output, scales, strict=True)
        ]
        if not aligned and all(scale and 1 <= scale < 2 for scale in scales):
            # Paddle copies where no size changes, which a scale such as 1.05 can bring about.
            same = tirx.all(*(size == out for size, out in zip(sources, output, strict=True)))
            ratios = [_if(same, np.float32(1), ratio) for ratio in ratios]
        shape = list(data.shape)
        for axis, out in zip(axes, output, strict=True):
            shape[axis] = out

        def element(*index: Any) -> Any:
            taps = []
            for axis, size, ratio in zip(axes, sources, ratios, strict=True):
                if method == "nearest":
                    taps.append(_nearest(index[axis], size, ratio, aligned))
                elif method == "bicubic":
                    taps.append(_cubic(index[axis], size, ratio, aligned, data.dtype))
                else:
                    taps.append(_linear(index[axis], size, ratio, half_pixel, data.dtype))
            total: Any = None
            for corner in itertools.product(*taps):
                place = list(index)
                for axis, (position, _) in zip(axes, corner, strict=True):
                    place[axis] = position
                value = data(*place)
                for _, weight in corner:
                    value = value if weight is None else value * weight
                total = value if total is None else total + value
            return total

        return te.compute(tuple(shape), element, name=f"{method}_interp")

    attributes: dict[str, str] = {}
    if first == 2 and not aligned and (method == "nearest" or half_pixel):
        kind = _resampling(method, sizes, output, scales)
        attributes = {} if kind is None else {RESAMPLING: kind}
    if first == 2:
        attributes |= _resize(ctx, method, aligned, half_pixel, sizes, output, scales)
    return ctx.emit_te(compute, ctx.input(0), output, name=f"{method}_interp", attributes=attributes)


def _resampling(
    method: str, sizes: Sequence[Dim], output: Sequence[Dim], scales: Sequence[float | None]
) -> str | None:
    """What libraries call this, where its arithmetic is theirs; None where it is not.

    With pixels' middles as their places, and samples as far apart as the sizes say; the nearest element is
    the same for Paddle, which rounds the pixel's edge, where each is copied a whole number of times.
    """
    for size, out, scale in zip(sizes, output, scales, strict=True):
        if not isinstance(size, int) or not isinstance(out, int) or out <= 1:
            return None
        if scale and np.float32(1 / scale) != np.float32(size) / np.float32(out):
            return None
        if method == "nearest" and out % size:
            return None
    return {"nearest": "nearest", "linear": "linear", "bilinear": "linear", "trilinear": "linear"}.get(method)


def _resize(
    ctx: OpContext,
    method: str,
    aligned: bool,
    half_pixel: bool,
    sizes: Sequence[Dim],
    output: Sequence[Dim],
    scales: Sequence[float | None],
) -> dict[str, str]:
    """What ONNX calls it, where sizes are known and it samples the same places; else nothing."""
    rank = len(sizes)
    steps = []
    for size, out, scale in zip(sizes, output, scales, strict=True):
        if not isinstance(size, int) or not isinstance(out, int) or out <= 1:
            return {}
        step = np.float32(size) / np.float32(out)
        if not aligned and scale and np.float32(1 / scale) != step:
            return {}
        steps.append(step)
    mode = {"nearest": "nearest", "bicubic": "cubic"}.get(method, "linear")
    if mode == "nearest":
        # Libraries divide where Paddle multiplies, and may come to the element beside.
        if aligned or not all(map(_copies_alike, sizes, output, steps)):
            return {}
        places = "asymmetric"
    else:
        places = (
            "align_corners" if aligned else "half_pixel" if half_pixel or mode == "cubic" else "asymmetric"
        )
    return means(
        "Resize",
        0,
        None,
        None,
        vector([int(out) for out in output if isinstance(out, int)]),
        axes=list(range(2, 2 + rank)),
        mode=mode,
        coordinate_transformation_mode=places,
        nearest_mode="floor",
        cubic_coeff_a=-0.75,
    )


def _copies_alike(size: Dim, out: Dim, step: Any) -> bool:
    """Whether the nearest element is the same for each element of the result."""
    assert isinstance(out, int)
    index = np.arange(out, dtype="float32")
    paddle = np.floor(index * step)
    return bool((paddle == np.floor(index / (np.float32(out) / np.float32(size)))).all())


def _output_sizes(ctx: OpContext, sizes: Sequence[Dim]) -> tuple[list[Dim], list[float | None]]:
    """Sizes of the result, and the scales where those, not the sizes, say how far apart samples are."""
    rank = len(sizes)
    if ctx.has_input(2):
        return ctx.dims(2), [None] * rank
    if ctx.has_input(3):
        values = [float(value) for value in ctx.constant(3).flatten()]
    else:
        values = [float(value) for value in ctx.attr("scale")]
    scales: list[float | None] = list(values * rank if len(values) == 1 else values) or [None] * rank
    if ctx.has_input(1):
        return ctx.dims(1), scales
    output = [ctx.attr(name) for name in ("out_d", "out_h", "out_w")][3 - rank :]
    return [
        out if scale is None else _scaled(ctx, size, scale)
        for size, out, scale in zip(sizes, output, scales, strict=True)
    ], scales


def _scaled(ctx: OpContext, size: Dim, scale: float) -> Dim:
    """``int(size * scale)`` in float64."""
    if isinstance(size, int):
        return int(size * scale)
    exact = Fraction(scale)
    if exact.numerator < 1 << 31 and exact.denominator < 1 << 31:
        return ctx.simplify(size * exact.numerator // exact.denominator)
    product = tirx.Cast("float64", size) * tirx.const(scale, "float64")
    return tirx.Cast("int64", product)


def _ratio(size: Any, out: Any, scale: float | None, aligned: bool, zero_for_one: bool) -> Any:
    """Input elements from one output element to the next, a float32."""
    size, out = (int(dim.value) if isinstance(dim, tirx.IntImm) else dim for dim in (size, out))
    if aligned:
        # A single output element has index 0, so that its ratio does not matter.
        if isinstance(size, int) and isinstance(out, int):
            return np.float32(size - 1) / np.float32(max(out - 1, 1))
        return opaque_factor(_float32(size - 1) / _float32(tirx.max(out - 1, 1)))
    ratio: Any
    if scale:
        ratio = np.float32(1 / scale)
    elif isinstance(size, int) and isinstance(out, int):
        ratio = np.float32(size) / np.float32(out)
    else:
        ratio = opaque_factor(_float32(size) / _float32(out))
    if not zero_for_one:
        return ratio
    if isinstance(out, int):
        return ratio if out > 1 else np.float32(0)
    return ratio if scale and scale >= 2 else _if(out > 1, ratio, np.float32(0))


def _float32(value: Any) -> Any:
    if isinstance(value, int | np.floating):
        return tirx.const(float(value), "float32")
    return value.astype("float32")


def _if(condition: Any, then: Any, otherwise: Any) -> Any:
    return opaque_factor(tirx.Select(condition, _float32(then), _float32(otherwise)))


def _floor_index(value: Any) -> Any:
    # By way of int32: x86 below AVX-512 has no vector conversion to int64.
    return value.astype("int32").astype("int64")


def _clamp(index: Any, size: Any) -> Any:
    return tirx.min(tirx.max(index, 0), size - 1)


def _nearest(index: Any, size: Any, ratio: Any, aligned: bool) -> list[tuple[Any, None]]:
    if isinstance(ratio, np.float32) and not aligned:
        exact = Fraction(float(ratio))
        if max(exact.numerator, exact.denominator) <= 64:
            # The float32 product is exact, and integers let the code generator see the pattern.
            return [(tirx.min(index * exact.numerator // exact.denominator, size - 1), None)]
    position = index.astype("float32") * _float32(ratio)
    if aligned:
        position = position.astype("float64") + tirx.const(0.5, "float64")
    return [(_clamp(_floor_index(position), size), None)]


def _linear(index: Any, size: Any, ratio: Any, half_pixel: bool, dtype: str) -> list[tuple[Any, Any]]:
    if half_pixel:
        half = tirx.const(0.5, "float64")
        wide = _float32(ratio).astype("float64") * (index.astype("float64") + half) - half
        low = tirx.max(_floor_index(wide), 0)
        exact = tirx.max(wide.astype("float32"), tirx.const(0, "float32"))
    else:
        exact = _float32(ratio) * index.astype("float32")
        low = _floor_index(exact)
    low = _clamp(low, size)
    upper = exact - low.astype("float32")
    lower = tirx.const(1, "float32") - upper
    return [(low, lower.astype(dtype)), (tirx.min(low + 1, size - 1), upper.astype(dtype))]


def _cubic(index: Any, size: Any, ratio: Any, aligned: bool, dtype: str) -> list[tuple[Any, Any]]:
    if aligned:
        position = (_float32(ratio) * index.astype("float32")).astype(dtype)
    else:
        half = tirx.const(0.5, "float64")
        wide = _float32(ratio).astype("float64") * (index.astype("float64") + half) - half
        position = wide.astype(dtype)
    below = tirx.floor(position)
    t = position - below
    start = _floor_index(below)
    one = tirx.const(1, dtype)
    weights = [_outer_cubic(t + one), _inner_cubic(t), _inner_cubic(one - t), _outer_cubic(one - t + one)]
    return [(_clamp(start + offset - 1, size), weight) for offset, weight in enumerate(weights)]


def _inner_cubic(x: Any) -> Any:
    """Keys' cubic convolution with a = -0.75, for distances below 1."""
    return (x * 1.25 - 2.25) * x * x + 1.0


def _outer_cubic(x: Any) -> Any:
    """The same for distances from 1 to 2."""
    return ((x * -0.75 + 3.75) * x - 6.0) * x + 3.0
