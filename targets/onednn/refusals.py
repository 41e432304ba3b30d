"""Why oneDNN, or this target, does not take an operator: the rest of a sentence that begins with its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, isfinite, prod

import numpy as np
from tvm import ir, relax

from paddle_tvm.targets.onednn.facts import known_shape, larger_side, scalar, shape_of, slice_of

Refuse = Callable[[relax.Call], "str | None"]

_MOST_DIMENSIONS = 6
_LARGEST = float(np.finfo(np.float32).max)


def refuse_tensor(expr: relax.Expr) -> str | None:
    if str(expr.ty.dtype) != "float32":
        return f"this target computes float32, and this is {expr.ty.dtype}"
    return refuse_shape(expr)


def refuse_shape(expr: relax.Expr) -> str | None:
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


def checked(refuse: Refuse | None) -> Callable[[Mapping[str, relax.Expr]], str | None]:
    def check(parts: Mapping[str, relax.Expr]) -> str | None:
        call = parts["root"]
        for tensor in (call, *_operands(call)):
            if tensor is not call and scalar(tensor) is not None and str(tensor.ty.dtype) == "float32":
                continue
            reason = refuse_tensor(tensor)
            if reason is not None:
                return reason
        return None if refuse is None else refuse(call)

    return check


def refuse_quantization(call: relax.Call) -> str | None:
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


def refuse_convolution(call: relax.Call) -> str | None:
    return refuse_variable_weights(call) or refuse_layouts(call)


def refuse_variable_weights(call: relax.Call) -> str | None:
    return None if isinstance(call.args[1], ir.Constant) else "its weights are not known while compiling"


def refuse_layouts(call: relax.Call) -> str | None:
    attributes = call.attrs
    layouts = {"NCW": "OIW", "NCHW": "OIHW", "NCDHW": "OIDHW"}
    if layouts.get(str(attributes.data_layout)) != str(attributes.kernel_layout):
        return f"its layouts are {attributes.data_layout} and {attributes.kernel_layout}"
    return None


def refuse_transposed(call: relax.Call) -> str | None:
    return refuse_variable_weights(call) or refuse_transposed_layouts(call)


def refuse_transposed_layouts(call: relax.Call) -> str | None:
    attributes = call.attrs
    if (str(attributes.data_layout), str(attributes.kernel_layout)) != ("NCHW", "IOHW"):
        return f"its layouts are {attributes.data_layout} and {attributes.kernel_layout}"
    return None


def refuse_matmul(call: relax.Call) -> str | None:
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


def refuse_pooling(call: relax.Call) -> str | None:
    attributes = call.attrs
    if str(attributes.layout) != "NCHW":
        return f"its layout is {attributes.layout}"
    if attributes.ceil_mode and getattr(attributes, "count_include_pad", False):
        return "its last windows go beyond the padding that it counts"
    return None


def refuse_adaptive(call: relax.Call) -> str | None:
    if str(call.attrs.layout) != "NCHW":
        return f"its layout is {call.attrs.layout}"
    sizes, wanted = known_shape(call.args[0])[2:], known_shape(call)[2:]
    if any(size % want for size, want in zip(sizes, wanted, strict=True)):
        return f"oneDNN's windows are of one size, and {list(sizes)} does not divide into {list(wanted)}"
    return None


def refuse_mean(call: relax.Call) -> str | None:
    rank = len(known_shape(call.args[0]))
    axes = range(rank) if call.attrs.axis is None else [int(axis) % rank for axis in call.attrs.axis]
    if rank != 4 or sorted(axes) != [2, 3]:
        return "of means oneDNN takes those over rows and columns"
    if not call.attrs.keepdims:
        return "of means over rows and columns this target takes those that keep the dimensions"
    return None


def refuse_layer_norm(call: relax.Call) -> str | None:
    rank = len(known_shape(call))
    if [int(axis) % rank for axis in call.attrs.axes] != [rank - 1]:
        return "oneDNN normalises over the last dimension"
    if not call.attrs.center or not call.attrs.scale:
        return "it has no scale or shift"
    if not 2 <= rank <= 5:
        return f"oneDNN normalises tensors of 2 to 5 dimensions, and this has {rank}"
    return None


def refuse_arithmetic(call: relax.Call) -> str | None:
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


def refuse_slice(call: relax.Call) -> str | None:
    if slice_of(call) is None:
        return "its bounds are not known, or it has steps"
    return None
