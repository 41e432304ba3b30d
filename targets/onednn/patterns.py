"""What oneDNN takes of a graph, and why it leaves the rest."""

from __future__ import annotations

from collections.abc import Mapping

from tvm import relax
from tvm.relax.dpl import (
    CallPattern,
    DFPattern,
    GlobalVarPattern,
    is_const,
    is_op,
    is_tuple,
    wildcard,
)

from paddle_tvm.targets.offload import RESAMPLING, Pattern
from paddle_tvm.targets.onednn.facts import known_shape, scalar
from paddle_tvm.targets.onednn.refusals import (
    Refuse,
    checked,
    refuse_adaptive,
    refuse_arithmetic,
    refuse_convolution,
    refuse_layer_norm,
    refuse_layouts,
    refuse_matmul,
    refuse_mean,
    refuse_pooling,
    refuse_quantization,
    refuse_shape,
    refuse_slice,
    refuse_tensor,
    refuse_transposed,
    refuse_transposed_layouts,
)

WORTHWHILE = {"conv1d", "conv2d", "conv3d", "conv2d_transpose", "matmul"}
"""Patterns for which a subgraph is worth a call of its own."""

ACTIVATIONS = {
    "relu": "relax.nn.relu",
    "gelu": "relax.nn.gelu",
    "gelu_tanh": "relax.nn.gelu_tanh",
    "silu": "relax.nn.silu",
    "sigmoid": "relax.sigmoid",
    "tanh": "relax.tanh",
    "exp": "relax.exp",
    "sqrt": "relax.sqrt",
    "square": "relax.square",
    "abs": "relax.abs",
    "negative": "relax.negative",
}
ARITHMETIC = {
    "add": "relax.add",
    "subtract": "relax.subtract",
    "multiply": "relax.multiply",
    "divide": "relax.divide",
    "maximum": "relax.maximum",
    "minimum": "relax.minimum",
}

_NO_RESAMPLING = "oneDNN's resampling counts pixels in another way"

_MOST_CONCATENATED = 16


def _pattern(name: str, operator: str, operands: int, refuse: Refuse | None = None) -> Pattern:
    root = is_op(operator)(*(wildcard() for _ in range(operands)), varg_default_wildcard=False)
    return Pattern(name, root, refuse=checked(refuse))


def _dequantized() -> DFPattern:
    """Weights that are dequantised, as a pattern."""
    weights = is_op("relax.dequantize")(is_const(), is_const(), is_const())
    return weights | is_op("relax.permute_dims")(weights)


def _quantized(name: str, operator: str, refuse: Refuse) -> Pattern:
    """A product with weights that are dequantised constants."""
    root = is_op(operator)(wildcard(), _dequantized(), varg_default_wildcard=False)
    return Pattern(name, root, refuse=checked(refuse))


def _quantization(name: str) -> Pattern:
    def refuse(parts: Mapping[str, relax.Expr]) -> str | None:
        root = parts["root"]
        return refuse_shape(root) or refuse_quantization(root)

    root = is_op(f"relax.{name}")(wildcard(), wildcard(), wildcard())
    return Pattern(name, root, refuse=refuse)


def _hardswish() -> Pattern:
    x = wildcard()
    shift, low, high = wildcard(), wildcard(), wildcard()
    shifted = is_op("relax.add")(x, shift) | is_op("relax.add")(shift, x)
    above = is_op("relax.maximum")(low, shifted) | is_op("relax.maximum")(shifted, low)
    gate = is_op("relax.minimum")(high, above) | is_op("relax.minimum")(above, high)
    root = is_op("relax.multiply")(x, gate) | is_op("relax.multiply")(gate, x)

    def refuse(parts: Mapping[str, relax.Expr]) -> str | None:
        if [scalar(parts[name]) for name in ("shift", "low", "high")] != [3.0, 0.0, 6.0]:
            return "it is no hard-swish"
        return refuse_tensor(parts["root"])

    return Pattern("hardswish", root, {"shift": shift, "low": low, "high": high}, refuse)


def _leaky_relu() -> Pattern:
    x, slope = wildcard(), wildcard()
    scaled = is_op("relax.multiply")(x, slope)

    def refuse(parts: Mapping[str, relax.Expr]) -> str | None:
        value = scalar(parts["slope"])
        if value is None or value >= 1:
            return "it is no leaky ReLU"
        return refuse_tensor(parts["root"])

    return Pattern("leaky_relu", is_op("relax.maximum")(x, scaled), {"slope": slope}, refuse)


def _resample(method: str) -> Pattern:
    # The operator, the function, its operands.
    root = CallPattern(is_op("relax.call_tir"), [GlobalVarPattern(), is_tuple([wildcard()])])

    def refuse(parts: Mapping[str, relax.Expr]) -> str | None:
        if dict(parts["function"].attrs).get(RESAMPLING) != method:
            return _NO_RESAMPLING
        return refuse_tensor(parts["root"]) or refuse_tensor(parts["root"].args[1].fields[0])

    return Pattern(f"resample_{method}", root, refuse=refuse)


def _concat(count: int) -> Pattern:
    root: DFPattern = is_op("relax.concat")(is_tuple([wildcard() for _ in range(count)]))
    return Pattern("concat", root, refuse=checked(None))


def _channel_shuffle() -> Pattern:
    x = wildcard()
    split = is_op("relax.reshape")(x, wildcard())
    exchanged = is_op("relax.permute_dims")(split)
    root = is_op("relax.reshape")(exchanged, wildcard())

    def refuse(parts: Mapping[str, relax.Expr]) -> str | None:
        reason = refuse_tensor(parts["x"]) or refuse_tensor(parts["root"])
        if reason is not None:
            return reason
        before, between = (known_shape(parts[name]) for name in ("x", "split"))
        axes = parts["exchanged"].attrs.axes
        is_shuffle = (
            len(between) == len(before) + 1
            and before == known_shape(parts["root"])
            and before[:1] + before[2:] == between[:1] + between[3:]
            and axes is not None
            and [int(axis) for axis in axes] == [0, 2, 1, *range(3, len(between))]
        )
        return None if is_shuffle else "it is no exchange of groups of channels"

    return Pattern("channel_shuffle", root, {"x": x, "split": split, "exchanged": exchanged}, refuse)


PATTERNS = (
    _hardswish(),
    _leaky_relu(),
    _channel_shuffle(),
    *(_quantized(f"conv{rank}d", f"relax.nn.conv{rank}d", refuse_layouts) for rank in (1, 2, 3)),
    _quantized("conv2d_transpose", "relax.nn.conv2d_transpose", refuse_transposed_layouts),
    _quantized("matmul", "relax.matmul", refuse_matmul),
    *(_pattern(f"conv{rank}d", f"relax.nn.conv{rank}d", 2, refuse_convolution) for rank in (1, 2, 3)),
    _pattern("conv2d_transpose", "relax.nn.conv2d_transpose", 2, refuse_transposed),
    _pattern("matmul", "relax.matmul", 2, refuse_matmul),
    _pattern("max_pool2d", "relax.nn.max_pool2d", 1, refuse_pooling),
    _pattern("avg_pool2d", "relax.nn.avg_pool2d", 1, refuse_pooling),
    _pattern("adaptive_avg_pool2d", "relax.nn.adaptive_avg_pool2d", 1, refuse_adaptive),
    _pattern("mean", "relax.mean", 1, refuse_mean),
    _pattern("softmax", "relax.nn.softmax", 1),
    _pattern("layer_norm", "relax.nn.layer_norm", 3, refuse_layer_norm),
    *(_pattern(name, operator, 1) for name, operator in ACTIVATIONS.items()),
    *(_pattern(name, operator, 2, refuse_arithmetic) for name, operator in ARITHMETIC.items()),
    _resample("nearest"),
    _resample("linear"),
    *(_concat(count) for count in range(2, _MOST_CONCATENATED + 1)),
    _pattern("reshape", "relax.reshape", 2),
    _pattern("permute_dims", "relax.permute_dims", 1),
    _pattern("expand_dims", "relax.expand_dims", 1),
    _pattern("squeeze", "relax.squeeze", 1),
    _pattern("strided_slice", "relax.strided_slice", 5, refuse_slice),
    _quantization("quantize"),
    _quantization("dequantize"),
)
"""Largest first; each is one operator, apart from dequantised weights and written out activations."""


def reason_of(operator: str) -> str | None:
    """Why an operator has no pattern, where that is not plain."""
    return _NO_RESAMPLING if operator.endswith("_interp") or operator == "resize2d" else None
