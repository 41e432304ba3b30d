"""Normalisations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import relax, te, tirx

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, shape_of
from paddle_tvm.compiler.frontends.paddle.ops.reshape import product_of, reshape_to
from paddle_tvm.compiler.frontends.paddle.ops.spatial import fixed_sizes, is_channel_last
from paddle_tvm.compiler.frontends.paddle.registry import Converted, is_constant, register
from paddle_tvm.targets.meaning import means


@register("batch_norm", "batch_norm_")
def _batch_norm(ctx: OpContext) -> Converted:
    test_mode = ctx.attr("is_test") and not ctx.attr("trainable_statistics", False)
    if not (test_mode or ctx.attr("use_global_stats", False)):
        raise ctx.unsupported(
            "normalises by the statistics of its own batch, which is training; save the model after .eval()"
        )
    ndim = ctx.ndim(0)
    channel_axis = ndim - 1 if is_channel_last(ctx.attr("data_format")) and ndim > 2 else 1
    channels = _known_first([ctx.shape(index)[0] for index in range(1, 5) if ctx.has_input(index)])
    shape: list[Dim] = [channels if axis == channel_axis else 1 for axis in range(ndim)]
    data = ctx.require_equal(
        ctx.input(0), [channels if axis == channel_axis else dim for axis, dim in enumerate(ctx.shape(0))]
    )
    factor, offset = _batch_norm_factors(ctx, channels, shape)
    scaled = ctx.emit(relax.op.multiply(data, factor))
    return relax.op.add(scaled, offset)


def _batch_norm_factors(ctx: OpContext, channels: Dim, shape: Sequence[Dim]) -> tuple[relax.Expr, relax.Expr]:
    """Factor and offset of each channel; constants where the statistics are, as in every saved model."""
    epsilon, dtype = ctx.attr("epsilon"), ctx.dtype(0)
    operands = [index for index in range(1, 5) if ctx.has_input(index)]
    arrays = {index: ctx.value(index).array for index in operands}
    if all(array is not None and is_constant(array) for array in arrays.values()):
        wide = {index: np.asarray(array, "float64") for index, array in arrays.items()}
        factor = wide.get(3, 1.0) / np.sqrt(wide[2] + epsilon)
        offset = wide.get(4, 0.0) - wide[1] * factor
        return (
            relax.const(factor.astype(dtype).reshape(fixed_sizes(ctx, shape, "the channels"))),
            relax.const(offset.astype(dtype).reshape(fixed_sizes(ctx, shape, "the channels"))),
        )
    vectors = {index: ctx.require_equal(ctx.input(index), [channels]) for index in operands}
    mean, variance = vectors[1], vectors[2]
    spread = ctx.emit(relax.op.add(variance, relax.const(epsilon, dtype)))
    inverse = ctx.emit(relax.op.divide(relax.const(1, dtype), ctx.emit(relax.op.sqrt(spread))))
    scale = ctx.emit(relax.op.multiply(inverse, vectors[3])) if 3 in vectors else inverse
    shift = ctx.emit(relax.op.negative(ctx.emit(relax.op.multiply(mean, scale))))
    if 4 in vectors:
        shift = ctx.emit(relax.op.add(vectors[4], shift))
    return ctx.emit(relax.op.reshape(scale, shape)), ctx.emit(relax.op.reshape(shift, shape))


def _known_first(dims: Sequence[Dim]) -> Dim:
    """Of dimensions that must be equal, one that says most."""
    return next((dim for dim in dims if isinstance(dim, int)), dims[0])


@register("layer_norm")
def _layer_norm(ctx: OpContext) -> Converted:
    begin, epsilon = ctx.attr("begin_norm_axis"), ctx.attr("epsilon")
    shape = ctx.shape(0)
    scale, bias = (ctx.input(index) if ctx.has_input(index) else None for index in (1, 2))
    vectors = [vector for vector in (scale, bias) if vector is not None]
    if len(shape) - begin == 1 and vectors:
        shape = [*shape[:begin], *shape_of(vectors[0])]
    data = ctx.require_equal(ctx.input(0), shape)
    kept, normalised = shape[:begin], shape[begin:]
    if ctx.dtype(0) != "float32":
        # TVM 0.27's layer_norm takes float32 and float16 alone.
        size = product_of(ctx, normalised)
        rows = ctx.emit(relax.op.reshape(data, [product_of(ctx, kept), size]))
        scale, bias = (
            None if vector is None else reshape_to(ctx, vector, [size]) for vector in (scale, bias)
        )
        result = ctx.emit_te(_normalise_groups, rows, scale, bias, 1, epsilon, False, name="layer_norm")
        return relax.op.reshape(result, shape)
    # Paddle flattens scale and bias, TVM wants them in the shape of what is normalised.
    gamma = relax.op.ones(normalised, "float32") if scale is None else reshape_to(ctx, scale, normalised)
    beta = relax.op.zeros(normalised, "float32") if bias is None else reshape_to(ctx, bias, normalised)
    axes = list(range(begin, len(shape)))
    return relax.op.nn.layer_norm(data, ctx.emit(gamma), ctx.emit(beta), axes=axes, epsilon=epsilon)


@register("group_norm")
def _group_norm(ctx: OpContext) -> Converted:
    return _grouped(ctx, ctx.attr("groups"), is_channel_last(ctx.attr("data_format")), "group_norm")


@register("instance_norm")
def _instance_norm(ctx: OpContext) -> Converted:
    return _grouped(ctx, None, False, "instance_norm")


def _grouped(ctx: OpContext, groups: int | None, channel_last: bool, name: str) -> relax.Expr:
    """Normalise each group of channels; each channel by itself where ``groups`` is None."""
    scale, bias = (ctx.input(index) if ctx.has_input(index) else None for index in (1, 2))
    shape = ctx.shape(0)
    channel_axis = len(shape) - 1 if channel_last else 1
    for vector in (scale, bias):
        if vector is not None:
            shape[channel_axis] = shape_of(vector)[0]
    data = ctx.require_equal(ctx.input(0), shape)
    count = shape[channel_axis] if groups is None else groups
    epsilon = ctx.attr("epsilon")
    meaning = None
    if isinstance(count, int) and not channel_last and (bias is None or scale is not None):
        affine = [number for number, vector in enumerate((scale, bias), 1) if vector is not None]
        meaning = means("GroupNorm", 0, *affine, groups=count, epsilon=epsilon)
    return ctx.emit_te(
        _normalise_groups,
        data,
        scale,
        bias,
        count,
        epsilon,
        channel_last,
        name=name,
        attributes=meaning,
    )


def _normalise_groups(
    data: te.Tensor,
    scale: te.Tensor | None,
    bias: te.Tensor | None,
    groups: Any,
    epsilon: float,
    channel_last: bool,
) -> te.Tensor:
    """Mean first, then the variance about it: TVM 0.27's group_norm and instance_norm subtract squares,
    which loses all digits where the mean is large.
    """
    batch, *rest = data.shape
    *spatial, channels = rest if channel_last else [*rest[1:], rest[0]]
    members = channels // groups
    inner = [te.reduce_axis((0, size), f"k{number}") for number, size in enumerate([members, *spatial])]

    def at(n: Any, c: Any, position: Sequence[Any]) -> Any:
        return data(n, *position, c) if channel_last else data(n, c, *position)

    def member(n: Any, g: Any) -> Any:
        return at(n, g * members + inner[0], inner[1:])

    count: Any = members
    for size in spatial:
        count = count * size
    count = tirx.const(1, data.dtype) * count.astype(data.dtype)
    shape = (batch, groups)
    total = te.compute(shape, lambda n, g: te.sum(member(n, g), axis=inner), name="total")
    mean = te.compute(shape, lambda n, g: total(n, g) / count, name="mean")

    def deviation(n: Any, g: Any) -> Any:
        difference = member(n, g) - mean(n, g)
        return te.sum(difference * difference, axis=inner)

    spread = te.compute(shape, deviation, name="spread")
    one, small = tirx.const(1, data.dtype), tirx.const(epsilon, data.dtype)
    inverse = te.compute(
        shape, lambda n, g: one / tirx.sqrt(spread(n, g) / count + small), name="inverse_deviation"
    )

    def normalised(*index: Any) -> Any:
        n, c = index[0], index[-1] if channel_last else index[1]
        group = tirx.floordiv(c, members)
        value = (data(*index) - mean(n, group)) * inverse(n, group)
        if scale is not None:
            value = value * scale(c)
        return value if bias is None else value + bias(c)

    return te.compute(data.shape, normalised, name="normalised")


@register("fused_rms_norm_quant")
def _rms_norm(ctx: OpContext) -> Converted:
    if ctx.attr("quant_scale") > 0:
        raise ctx.unsupported("quantises its result; save the model without quantisation")
    data = ctx.input(0)
    residual = None
    if ctx.has_input(1):
        data = ctx.emit(relax.op.add(*ctx.broadcast([data, ctx.input(1)])))
    if ctx.has_input(2):
        data = residual = ctx.emit(relax.op.add(*ctx.broadcast([data, ctx.input(2)])))
    begin, shape = ctx.attr("begin_norm_axis"), shape_of(data)
    if len(shape) - begin == 1:
        shape = [*shape[:begin], *ctx.shape(3)]
    data = ctx.require_equal(data, shape)
    weight = reshape_to(ctx, ctx.input(3), shape[begin:])
    axes = list(range(begin, len(shape)))
    result = ctx.emit(relax.op.nn.rms_norm(data, ctx.emit(weight), axes=axes, epsilon=ctx.attr("epsilon")))
    if ctx.has_input(4):
        bias = ctx.emit(reshape_to(ctx, ctx.input(4), shape[begin:]))
        result = ctx.emit(relax.op.add(result, bias))
    return [result, residual]
