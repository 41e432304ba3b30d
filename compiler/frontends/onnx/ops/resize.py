"""Resize and Upsample."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from tvm import relax, tirx

from paddle_tvm.compiler.frontends.onnx.context import NodeContext, as_expr
from paddle_tvm.compiler.frontends.onnx.registry import register
from paddle_tvm.compiler.frontends.paddle.context import Dim

_METHODS = {"nearest": "nearest_neighbor", "linear": "linear", "cubic": "cubic"}
_UNSUPPORTED_DEFAULTS = {"antialias": 0, "keep_aspect_ratio_policy": "stretch"}


@register("Upsample")
def _upsample(ctx: NodeContext) -> relax.Expr:
    scales = list(ctx.attr("scales")) if ctx.opset < 9 else ctx.constant(1).tolist()
    axes = list(range(ctx.ndim(0)))
    return _resize(ctx, _scaled(ctx, axes, scales), "asymmetric", "floor")


@register("Resize")
def _convert_resize(ctx: NodeContext) -> relax.Expr:
    for name, default in _UNSUPPORTED_DEFAULTS.items():
        if ctx.attr(name, default) != default:
            raise ctx.unsupported(f"{name}={ctx.attr(name)} is not supported, only {default}")
    ndim = ctx.ndim(0)
    axes = [axis % ndim for axis in ctx.attr("axes", range(ndim))]
    if ctx.opset < 11:
        return _resize(ctx, _scaled(ctx, axes, ctx.constant(1).tolist()), "asymmetric", "floor")
    if ctx.has_input(3) and ctx.value(3).shape != [0]:
        sizes = ctx.shape(0)
        for axis, size in zip(axes, ctx.dims(3), strict=True):
            sizes[axis] = size
    else:
        sizes = _scaled(ctx, axes, ctx.constant(2).tolist())
    return _resize(
        ctx,
        sizes,
        ctx.attr("coordinate_transformation_mode", "half_pixel"),
        ctx.attr("nearest_mode", "round_prefer_floor"),
    )


def _scaled(ctx: NodeContext, axes: list[int], scales: list[float]) -> list[Dim]:
    """The sizes of the result. TVM derives the scale from the sizes, so that they must give it exactly."""
    sizes = ctx.shape(0)
    for axis, scale in zip(axes, scales, strict=True):
        ratio = Fraction(scale).limit_denominator(1 << 12)
        if abs(float(ratio) - scale) > 1e-6 * scale:
            raise ctx.unsupported(f"the scale {scale} is no simple ratio; give sizes in the model")
        scaled = ctx.simplify(sizes[axis] * ratio.numerator)
        size = ctx.simplify(tirx.floordiv(as_expr(scaled), as_expr(ratio.denominator)))
        if not ctx.is_equal(size * ratio.denominator, scaled):
            raise ctx.unsupported(
                f"the scale {scale} of axis {axis} with {sizes[axis]} elements does not give a whole number; "
                "fix the dimension with --shape, or give sizes in the model"
            )
        sizes[axis] = size
    return sizes


def _nearest(place: int, before: int, after: int, coordinates: str, rounding: str) -> int:
    """The element that an output element copies, exactly: TVM's float arithmetic misses ties.

    The formulas are those of the ONNX operator Resize.
    """
    if coordinates == "align_corners":
        source = Fraction(place * (before - 1), after - 1) if after > 1 else Fraction(0)
    elif coordinates == "asymmetric":
        source = Fraction(place * before, after)
    elif coordinates == "pytorch_half_pixel" and after == 1:
        source = Fraction(0)
    else:
        source = Fraction((2 * place + 1) * before, 2 * after) - Fraction(1, 2)
    half = Fraction(1, 2)
    rounded = {
        "round_prefer_floor": ceil(source - half),
        "round_prefer_ceil": floor(source + half),
        "floor": floor(source),
        "ceil": ceil(source),
    }[rounding]
    return min(max(rounded, 0), before - 1)


def _resize(ctx: NodeContext, sizes: list[Dim], coordinates: str, rounding: str) -> relax.Expr:
    shape = ctx.shape(0)
    if len(shape) != 4 or any(
        isinstance(before, int) and isinstance(after, int) and before != after
        for before, after in zip(shape[:2], sizes[:2], strict=True)
    ):
        raise ctx.unsupported(f"from {shape} to {sizes}: only the last two of four dimensions can change")
    data = ctx.require_equal(ctx.input(0), [*sizes[:2], *shape[2:]])
    method = ctx.attr("mode", "nearest")
    if method not in _METHODS or coordinates in ("tf_crop_and_resize", "half_pixel_symmetric"):
        raise ctx.unsupported(f"mode {method} with coordinates {coordinates} is not supported")
    if method == "nearest" and all(isinstance(dim, int) for dim in (*shape[2:], *sizes[2:])):
        for axis in (2, 3):
            before, after = ctx.fix(shape[axis], "a size"), ctx.fix(sizes[axis], "a size")
            nearest = [_nearest(place, before, after, coordinates, rounding) for place in range(after)]
            if nearest != list(range(before)):
                data = ctx.emit(relax.op.take(data, relax.const(nearest, "int64"), axis, mode="clip"))
        return data
    return relax.op.image.resize2d(
        data,
        size=relax.ShapeExpr([as_expr(size) for size in sizes[2:]]),
        layout="NCHW",
        method=_METHODS[method],
        coordinate_transformation_mode=coordinates,
        rounding_method=rounding,
        cubic_alpha=ctx.attr("cubic_coeff_a", -0.75),
        cubic_exclude=ctx.attr("exclude_outside", 0),
        extrapolation_value=ctx.attr("extrapolation_value", 0.0),
    )
