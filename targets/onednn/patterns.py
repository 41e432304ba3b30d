"""What oneDNN takes of a graph, and why it leaves the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, isfinite, prod
from typing import Any

import numpy as np
from tvm import ir, relax, tirx
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

Refuse = Callable[[relax.Call], "str | None"]

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

_MOST_DIMENSIONS = 6
_LARGEST = float(np.finfo(np.float32).max)
_MOST_CONCATENATED = 16


def shape_of(expr: relax.Expr) -> tuple[int, ...] | None:
    """The sizes of a tensor; None where one is not known."""
    shape = getattr(expr.ty, "shape", None)
    if shape is None or not all(isinstance(dim, tirx.IntImm) for dim in shape):
        return None
    return tuple(int(dim) for dim in shape)


def known_shape(expr: relax.Expr) -> tuple[int, ...]:
    """The sizes of a tensor of a match that was taken."""
    shape = shape_of(expr)
    assert shape is not None
    return shape


def scalar(expr: relax.Expr) -> float | None:
    """The value of a constant of one element; None for everything else."""
    if isinstance(expr, ir.Constant) and expr.value.numpy().size == 1:
        return float(expr.value.numpy().item())
    return None


def _refuse_tensor(expr: relax.Expr) -> str | None:
    if str(expr.ty.dtype) != "float32":
        return f"this target computes float32, and this is {expr.ty.dtype}"
    return _refuse_shape(expr)


def _refuse_shape(expr: relax.Expr) -> str | None:
    shape = shape_of(expr)
    if shape is None:
        return "oneDNN's primitives are made for known shapes (--shape fixes them)"
    if not 1 <= len(shape) <= _MOST_DIMENSIONS:
        return f"this target takes tensors of 1 to {_MOST_DIMENSIONS} dimensions, and this has {len(shape)}"
    if prod(shape) == 0:
        return "it has no elements"
    return None


def _operands(call: relax.Call) -> list[relax.Expr]:
    found: list[relax.Expr] = []
    for operand in call.args:
        found += operand.fields if isinstance(operand, relax.Tuple) else [operand]
    return [operand for operand in found if isinstance(operand.ty, relax.TensorType)]


def _checked(refuse: Refuse | None) -> Callable[[Mapping[str, relax.Expr]], str | None]:
    def check(parts: Mapping[str, relax.Expr]) -> str | None:
        call = parts["root"]
        for tensor in (call, *_operands(call)):
            if tensor is not call and scalar(tensor) is not None and str(tensor.ty.dtype) == "float32":
                continue
            reason = _refuse_tensor(tensor)
            if reason is not None:
                return reason
        return None if refuse is None else refuse(call)

    return check


def _pattern(name: str, operator: str, operands: int, refuse: Refuse | None = None) -> Pattern:
    root = is_op(operator)(*(wildcard() for _ in range(operands)), varg_default_wildcard=False)
    return Pattern(name, root, refuse=_checked(refuse))


def _dequantized() -> DFPattern:
    """Weights that are dequantised, as a pattern."""
    weights = is_op("relax.dequantize")(is_const(), is_const(), is_const())
    return weights | is_op("relax.permute_dims")(weights)


def _quantized(name: str, operator: str, refuse: Refuse) -> Pattern:
    """A product with weights that are dequantised constants."""
    root = is_op(operator)(wildcard(), _dequantized(), varg_default_wildcard=False)
    return Pattern(name, root, refuse=_checked(refuse))


def _refuse_quantization(call: relax.Call) -> str | None:
    scale, zero_point = (scalar(parameter) for parameter in call.args[1:])
    if scale is None or zero_point is None:
        return "its scale or zero point is not one number that is known while compiling"
    if not 1 / _LARGEST <= scale < inf:
        return f"its scale is {scale}"
    integers = call if str(call.op.name) == "relax.quantize" else call.args[0]
    numbers = call.args[0] if integers is call else call
    if str(integers.ty.dtype) not in {"int8", "uint8"} or str(numbers.ty.dtype) != "float32":
        kinds = f"{numbers.ty.dtype} and {integers.ty.dtype}"
        return f"oneDNN quantises float32 to int8 or uint8, and here are {kinds}"
    return None


def _quantization(name: str) -> Pattern:
    def refuse(parts: Mapping[str, relax.Expr]) -> str | None:
        root = parts["root"]
        return _refuse_shape(root) or _refuse_quantization(root)

    root = is_op(f"relax.{name}")(wildcard(), wildcard(), wildcard())
    return Pattern(name, root, refuse=refuse)


def _refuse_convolution(call: relax.Call) -> str | None:
    return _refuse_variable_weights(call) or _refuse_layouts(call)


def _refuse_variable_weights(call: relax.Call) -> str | None:
    return None if isinstance(call.args[1], ir.Constant) else "its weights are not known while compiling"


def _refuse_layouts(call: relax.Call) -> str | None:
    attributes = call.attrs
    layouts = {"NCW": "OIW", "NCHW": "OIHW", "NCDHW": "OIDHW"}
    if layouts.get(str(attributes.data_layout)) != str(attributes.kernel_layout):
        return f"its layouts are {attributes.data_layout} and {attributes.kernel_layout}"
    return None


def _refuse_transposed(call: relax.Call) -> str | None:
    return _refuse_variable_weights(call) or _refuse_transposed_layouts(call)


def _refuse_transposed_layouts(call: relax.Call) -> str | None:
    attributes = call.attrs
    if (str(attributes.data_layout), str(attributes.kernel_layout)) != ("NCHW", "IOHW"):
        return f"its layouts are {attributes.data_layout} and {attributes.kernel_layout}"
    return None


def _refuse_matmul(call: relax.Call) -> str | None:
    left, right = (known_shape(operand) for operand in call.args)
    if len(left) < 2 or len(right) < 2:
        return "oneDNN multiplies matrices, and one side is a vector"
    if len(right) > 2 and len(left) != len(right):
        return "the batch dimensions of its sides differ in number"
    if scalar(call.args[0]) is not None or scalar(call.args[1]) is not None:
        return "one side has one element"
    if isinstance(call.args[0], ir.Constant):
        return "its left side is a constant"
    return None


def _refuse_pooling(call: relax.Call) -> str | None:
    attributes = call.attrs
    if str(attributes.layout) != "NCHW":
        return f"its layout is {attributes.layout}"
    if attributes.ceil_mode and getattr(attributes, "count_include_pad", False):
        return "its last windows go beyond the padding that it counts"
    return None


def _refuse_adaptive(call: relax.Call) -> str | None:
    if str(call.attrs.layout) != "NCHW":
        return f"its layout is {call.attrs.layout}"
    sizes, wanted = known_shape(call.args[0])[2:], known_shape(call)[2:]
    if any(size % want for size, want in zip(sizes, wanted, strict=True)):
        return f"oneDNN's windows are of one size, and {list(sizes)} does not divide into {list(wanted)}"
    return None


def _refuse_mean(call: relax.Call) -> str | None:
    rank = len(known_shape(call.args[0]))
    axes = range(rank) if call.attrs.axis is None else [int(axis) % rank for axis in call.attrs.axis]
    if rank != 4 or sorted(axes) != [2, 3]:
        return "of means oneDNN takes those over rows and columns"
    if not call.attrs.keepdims:
        return "of means over rows and columns this target takes those that keep the dimensions"
    return None


def _refuse_layer_norm(call: relax.Call) -> str | None:
    rank = len(known_shape(call))
    if [int(axis) % rank for axis in call.attrs.axes] != [rank - 1]:
        return "oneDNN normalises over the last dimension"
    if not call.attrs.center or not call.attrs.scale:
        return "it has no scale or shift"
    if not 2 <= rank <= 5:
        return f"oneDNN normalises tensors of 2 to 5 dimensions, and this has {rank}"
    return None


def larger_side(call: relax.Call) -> int | None:
    """Which of two operands has the shape of the result; None if neither has."""
    result = known_shape(call)
    sides = (side for side in (0, 1) if scalar(call.args[side]) is None)
    return next((side for side in sides if known_shape(call.args[side]) == result), None)


def _refuse_arithmetic(call: relax.Call) -> str | None:
    side = larger_side(call)
    if side is None:
        return "neither side has the shape of the result"
    if isinstance(call.args[side], ir.Constant):
        return "the larger side is a constant"
    if str(call.op.name) == "relax.divide" and side == 1:
        return "oneDNN divides by what may be broadcast, and here that is divided"
    value = scalar(call.args[1 - side])
    is_divisor = str(call.op.name) == "relax.divide"
    if value is not None and (not isfinite(value) or (is_divisor and abs(value) < 1 / _LARGEST)):
        return f"its constant is {value}, and what is made of it is no number"
    return None


def _refuse_slice(call: relax.Call) -> str | None:
    if slice_of(call) is None:
        return "its bounds are not known, or it has steps"
    return None


def slice_of(call: relax.Call) -> tuple[int, ...] | None:
    """Where a slice without steps begins, in each dimension; None where that is not known."""
    axes, begins, _, *strides = ([_number(value) for value in argument.fields] for argument in call.args[1:])
    if strides and any(stride != 1 for stride in strides[0]):
        return None
    if None in axes or None in begins:
        return None
    sizes = known_shape(call.args[0])
    begin = [0] * len(sizes)
    for axis, start in zip(axes, begins, strict=True):
        size = sizes[axis]
        begin[axis] = max(0, min(size, start + size if start < 0 else start))
    return tuple(begin)


def _number(value: Any) -> Any:
    value = getattr(value, "value", value)
    return int(value) if isinstance(value, (int, tirx.IntImm)) else None


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
        return _refuse_tensor(parts["root"])

    return Pattern("hardswish", root, {"shift": shift, "low": low, "high": high}, refuse)


def _leaky_relu() -> Pattern:
    x, slope = wildcard(), wildcard()
    scaled = is_op("relax.multiply")(x, slope)

    def refuse(parts: Mapping[str, relax.Expr]) -> str | None:
        value = scalar(parts["slope"])
        if value is None or value >= 1:
            return "it is no leaky ReLU"
        return _refuse_tensor(parts["root"])

    return Pattern("leaky_relu", is_op("relax.maximum")(x, scaled), {"slope": slope}, refuse)


def _resample(method: str) -> Pattern:
    # The operator, the function, its operands.
    root = CallPattern(is_op("relax.call_tir"), [GlobalVarPattern(), is_tuple([wildcard()])])

    def refuse(parts: Mapping[str, relax.Expr]) -> str | None:
        if dict(parts["function"].attrs).get(RESAMPLING) != method:
            return _NO_RESAMPLING
        return _refuse_tensor(parts["root"]) or _refuse_tensor(parts["root"].args[1].fields[0])

    return Pattern(f"resample_{method}", root, refuse=refuse)


def _concat(count: int) -> Pattern:
    root: DFPattern = is_op("relax.concat")(is_tuple([wildcard() for _ in range(count)]))
    return Pattern("concat", root, refuse=_checked(None))


def _channel_shuffle() -> Pattern:
    x = wildcard()
    split = is_op("relax.reshape")(x, wildcard())
    exchanged = is_op("relax.permute_dims")(split)
    root = is_op("relax.reshape")(exchanged, wildcard())

    def refuse(parts: Mapping[str, relax.Expr]) -> str | None:
        reason = _refuse_tensor(parts["x"]) or _refuse_tensor(parts["root"])
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
    *(_quantized(f"conv{rank}d", f"relax.nn.conv{rank}d", _refuse_layouts) for rank in (1, 2, 3)),
    _quantized("conv2d_transpose", "relax.nn.conv2d_transpose", _refuse_transposed_layouts),
    _quantized("matmul", "relax.matmul", _refuse_matmul),
    *(_pattern(f"conv{rank}d", f"relax.nn.conv{rank}d", 2, _refuse_convolution) for rank in (1, 2, 3)),
    _pattern("conv2d_transpose", "relax.nn.conv2d_transpose", 2, _refuse_transposed),
    _pattern("matmul", "relax.matmul", 2, _refuse_matmul),
    _pattern("max_pool2d", "relax.nn.max_pool2d", 1, _refuse_pooling),
    _pattern("avg_pool2d", "relax.nn.avg_pool2d", 1, _refuse_pooling),
    _pattern("adaptive_avg_pool2d", "relax.nn.adaptive_avg_pool2d", 1, _refuse_adaptive),
    _pattern("mean", "relax.mean", 1, _refuse_mean),
    _pattern("softmax", "relax.nn.softmax", 1),
    _pattern("layer_norm", "relax.nn.layer_norm", 3, _refuse_layer_norm),
    *(_pattern(name, operator, 1) for name, operator in ACTIVATIONS.items()),
    *(_pattern(name, operator, 2, _refuse_arithmetic) for name, operator in ARITHMETIC.items()),
    _resample("nearest"),
    _resample("linear"),
    *(_concat(count) for count in range(2, _MOST_CONCATENATED + 1)),
    _pattern("reshape", "relax.reshape", 2),
    _pattern("permute_dims", "relax.permute_dims", 1),
    _pattern("expand_dims", "relax.expand_dims", 1),
    _pattern("squeeze", "relax.squeeze", 1),
    _pattern("strided_slice", "relax.strided_slice", 5, _refuse_slice),
    _quantization("quantize"),
    _quantization("dequantize"),
)
"""Largest first; each is one operator, apart from dequantised weights and written out activations."""


def reason_of(operator: str) -> str | None:
    """Why an operator has no pattern, where that is not plain."""
    return _NO_RESAMPLING if operator.endswith("_interp") or operator == "resize2d" else None
