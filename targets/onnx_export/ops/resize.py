"""Images in other sizes, and samples of them."""

from __future__ import annotations

from tvm import relax

from paddle_tvm.targets.onnx_export.context import ExportContext, size
from paddle_tvm.targets.onnx_export.registry import register

_METHODS = {"nearest_neighbor": "nearest", "linear": "linear", "cubic": "cubic"}
_PLACES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
_ROUNDING = {"": "round_prefer_floor", "round": "round_prefer_floor"}


def _refuse_resize(call: relax.Call) -> str | None:
    attributes = call.attrs
    if str(attributes.layout) != "NCHW":
        return f"its layout is {attributes.layout}, and ONNX's is NCHW"
    if str(attributes.coordinate_transformation_mode) not in _PLACES:
        return f"its places are {attributes.coordinate_transformation_mode}"
    sizes = [
        (size(have), size(want)) for have, want in zip(call.args[0].ty.shape, call.ty.shape, strict=True)
    ]
    if any(have is None or want is None for have, want in sizes[2:]):
        return "its sizes are not known"
    if str(attributes.method) == "nearest_neighbor" and any(
        (want or 0) % (have or 1) for have, want in sizes[2:]
    ):
        return "it copies elements a number of times that is not whole, where libraries round differently"
    return None


@register("image.resize2d", operands=2, refuse=_refuse_resize)
def _resize(ctx: ExportContext) -> str:
    attributes = ctx.attrs
    rounding = str(attributes.rounding_method)
    return ctx.add(
        "Resize",
        ctx.input(0),
        "",
        "",
        ctx.ints([size(dim) or 0 for dim in list(ctx.result.shape)[2:]]),
        axes=[2, 3],
        mode=_METHODS[str(attributes.method)],
        coordinate_transformation_mode=str(attributes.coordinate_transformation_mode),
        nearest_mode=_ROUNDING.get(rounding, rounding),
        cubic_coeff_a=float(attributes.cubic_alpha),
        exclude_outside=int(attributes.cubic_exclude),
    )


def _refuse_samples(call: relax.Call) -> str | None:
    if str(call.attrs.layout) != "NCHW":
        return f"its layout is {call.attrs.layout}, and ONNX's is NCHW"
    return None


@register("image.grid_sample", operands=2, refuse=_refuse_samples)
def _grid_sample(ctx: ExportContext) -> str:
    # Relax has x and y as channels, ONNX has them last.
    grid = ctx.add("Transpose", ctx.input(1), perm=[0, 2, 3, 1])
    return ctx.add(
        "GridSample",
        ctx.input(0),
        grid,
        mode=str(ctx.attrs.method),
        padding_mode=str(ctx.attrs.padding_mode),
        align_corners=int(ctx.attrs.align_corners),
    )
