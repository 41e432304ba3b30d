"""The steps of a subgraph as nodes: for each pattern, what oneDNN computes for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from tvm import relax

from paddle_tvm.targets.offload import Step, Subgraph
from paddle_tvm.targets.onednn.facts import (
    ints,
    known_shape,
    larger_side,
    only_call,
    operand,
    scalar,
    slice_of,
)
from paddle_tvm.targets.onednn.nodes import (
    Binary,
    Eltwise,
    Node,
    Operand,
    PostOp,
    Type,
    reading,
)
from paddle_tvm.targets.onednn.patterns import ACTIVATIONS, ARITHMETIC
from paddle_tvm.targets.onednn.products import convolution, matmul


def nodes_of(subgraph: Subgraph) -> list[Node]:
    """What computes the steps of a subgraph, in order; constants that are reshaped first are constants."""
    nodes: list[Node] = []
    known: dict[relax.Var, Operand] = {}
    for step in subgraph.steps:
        node = reading(_MAKERS[step.pattern](step), known)
        source = node.inputs[0]
        if (
            node.kind == "reshape"
            and not isinstance(source, relax.Var)
            and node.result not in subgraph.results
        ):
            known[node.result] = source.reshape(node.shape)
        else:
            nodes.append(node)
    return nodes


def _inputs(step: Step, call: relax.Call) -> list[Operand]:
    return [operand(step, argument) for argument in call.args]


def _quantize(step: Step) -> Node:
    call = only_call(step, f"relax.{step.pattern}")
    scale, zero_point = (scalar(argument) for argument in call.args[1:])
    assert scale is not None
    assert zero_point is not None
    integers = call if step.pattern == "quantize" else call.args[0]
    kind: Type = "u8" if str(integers.ty.dtype) == "uint8" else "s8"
    settings = {"scale": scale, "zero_point": int(zero_point), "type": kind}
    written: Type = kind if step.pattern == "quantize" else "f32"
    source = operand(step, call.args[0])
    return Node(step.pattern, (source,), known_shape(call), step.result, settings, (), written)


def _average(step: Step) -> Node:
    """Means of windows that lie side by side, whatever the operator's name for them."""
    (call,) = step.all_calls()
    shape = known_shape(call)
    sizes = known_shape(call.args[0])[2:]
    kernel = tuple(size // want for size, want in zip(sizes, shape[2:], strict=True))
    settings = {
        "algorithm": "avg_exclude_padding",
        "kernel": kernel,
        "strides": kernel,
        "dilation": (1, 1),
        "before": (0, 0),
        "after": (0, 0),
    }
    return Node("pool", (operand(step, call.args[0]),), shape, step.result, settings)


def _pool(step: Step) -> Node:
    call = only_call(step, f"relax.nn.{step.pattern}")
    attributes, shape = call.attrs, known_shape(call)
    sizes = known_shape(call.args[0])[2:]
    source = operand(step, call.args[0])
    padding = ints(attributes.padding)
    kernel, strides = ints(attributes.pool_size), ints(attributes.strides)
    dilation, before, after = ints(attributes.dilation), padding[:2], padding[2:]
    if attributes.ceil_mode:
        # As far as the last window goes.
        after = tuple(
            (out - 1) * stride + (size - 1) * gap + 1 - have - first
            for out, stride, size, gap, have, first in zip(
                shape[2:], strides, kernel, dilation, sizes, before, strict=True
            )
        )
    algorithm = "max"
    if step.pattern == "avg_pool2d":
        algorithm = "avg_include_padding" if attributes.count_include_pad else "avg_exclude_padding"
    settings = {
        "algorithm": algorithm,
        "kernel": kernel,
        "strides": strides,
        "dilation": dilation,
        "before": before,
        "after": after,
    }
    return Node("pool", (source,), shape, step.result, settings)


def _resample(step: Step) -> Node:
    call = only_call(step, "relax.call_tir")
    settings = {"algorithm": step.pattern.removeprefix("resample_")}
    source = operand(step, call.args[1].fields[0])
    return Node("resample", (source,), known_shape(call), step.result, settings)


def _softmax(step: Step) -> Node:
    call = only_call(step, "relax.nn.softmax")
    shape = known_shape(call)
    settings = {"axis": int(call.attrs.axis) % len(shape)}
    return Node("softmax", (operand(step, call.args[0]),), shape, step.result, settings)


def _layer_norm(step: Step) -> Node:
    call = only_call(step, "relax.nn.layer_norm")
    settings = {"epsilon": float(call.attrs.epsilon)}
    return Node("layer_norm", tuple(_inputs(step, call)), known_shape(call), step.result, settings)


def _activation(step: Step) -> Node:
    call = only_call(step, ACTIVATIONS[step.pattern])
    eltwise = {
        "relu": Eltwise("relu"),
        "gelu": Eltwise("gelu_erf"),
        "gelu_tanh": Eltwise("gelu_tanh"),
        "silu": Eltwise("swish", 1.0),
        "sigmoid": Eltwise("logistic"),
        "negative": Eltwise("linear", -1.0),
    }.get(step.pattern, Eltwise(step.pattern))
    return Node("apply", (operand(step, call.args[0]),), known_shape(call), step.result, {}, (eltwise,))


def _hardswish(step: Step) -> Node:
    # x * min(max(x + 3, 0), 6) is six times what oneDNN has.
    post_ops = (Eltwise("hardswish", 1 / 6, 0.5), Eltwise("linear", 6.0))
    call = only_call(step, "relax.multiply")
    return Node("apply", (step.inputs[0],), known_shape(call), step.result, {}, post_ops)


def _leaky_relu(step: Step) -> Node:
    slope = scalar(only_call(step, "relax.multiply").args[1])
    assert slope is not None
    call = only_call(step, "relax.maximum")
    return Node("apply", (step.inputs[0],), known_shape(call), step.result, {}, (Eltwise("relu", slope),))


_WITH_SCALAR: Mapping[str, Callable[[float, bool], Eltwise]] = {
    "add": lambda value, _: Eltwise("linear", 1.0, value),
    "subtract": lambda value, first: Eltwise("linear", -1.0 if first else 1.0, value if first else -value),
    "multiply": lambda value, _: Eltwise("linear", value),
    "divide": lambda value, _: Eltwise("linear", 1.0 / value),
    "maximum": lambda value, _: Eltwise("clip", value, math.inf),
    "minimum": lambda value, _: Eltwise("clip", -math.inf, value),
}
_BINARY_NAMES = {"subtract": "sub", "multiply": "mul", "divide": "div", "maximum": "max", "minimum": "min"}


def _arithmetic(step: Step) -> Node:
    call = only_call(step, ARITHMETIC[step.pattern])
    shape = known_shape(call)
    side = larger_side(call)
    assert side is not None
    is_first = side == 1
    other = call.args[1 - side]
    value = scalar(other)
    source = operand(step, call.args[side])
    post_op: PostOp
    before: tuple[PostOp, ...] = ()
    if value is not None:
        post_op = _WITH_SCALAR[step.pattern](value, is_first)
    else:
        post_op = Binary(_BINARY_NAMES.get(step.pattern, step.pattern), operand(step, other))
        if step.pattern == "subtract" and is_first:
            # What is taken away is the larger.
            before, post_op = (Eltwise("linear", -1.0),), Binary("add", post_op.other)
        if not isinstance(post_op.other, relax.Var):
            padded = (1,) * (len(shape) - post_op.other.ndim) + post_op.other.shape
            post_op = replace(post_op, other=post_op.other.reshape(padded))
    return Node("apply", (source,), shape, step.result, {}, (*before, post_op))


def _concat(step: Step) -> Node:
    call = only_call(step, "relax.concat")
    shape = known_shape(call)
    inputs = tuple(operand(step, argument) for argument in call.args[0].fields)
    return Node("concat", inputs, shape, step.result, {"axis": int(call.attrs.axis) % len(shape)})


def _channel_shuffle(step: Step) -> Node:
    first, last = step.calls("relax.reshape")
    groups = known_shape(first)[1]
    return Node("shuffle", (step.inputs[0],), known_shape(last), step.result, {"axis": 1, "groups": groups})


def _reshape(step: Step) -> Node:
    call = only_call(step, f"relax.{step.pattern}")
    return Node("reshape", (operand(step, call.args[0]),), known_shape(call), step.result)


def _transpose(step: Step) -> Node:
    call = only_call(step, "relax.permute_dims")
    shape = known_shape(call)
    axes = call.attrs.axes
    taken = tuple(reversed(range(len(shape)))) if axes is None else tuple(int(a) % len(shape) for a in axes)
    return Node("transpose", (operand(step, call.args[0]),), shape, step.result, {"axes": taken})


def _slice(step: Step) -> Node:
    call = only_call(step, "relax.strided_slice")
    source = operand(step, call.args[0])
    return Node("slice", (source,), known_shape(call), step.result, {"begin": slice_of(call)})


_MAKERS: Mapping[str, Callable[[Step], Node]] = {
    "hardswish": _hardswish,
    "leaky_relu": _leaky_relu,
    "channel_shuffle": _channel_shuffle,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "conv2d_transpose"), convolution),
    "matmul": matmul,
    **dict.fromkeys(("max_pool2d", "avg_pool2d"), _pool),
    **dict.fromkeys(("adaptive_avg_pool2d", "mean"), _average),
    **dict.fromkeys(("resample_nearest", "resample_linear"), _resample),
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    **dict.fromkeys(ACTIVATIONS, _activation),
    **dict.fromkeys(ARITHMETIC, _arithmetic),
    "concat": _concat,
    **dict.fromkeys(("reshape", "expand_dims", "squeeze"), _reshape),
    "permute_dims": _transpose,
    "strided_slice": _slice,
    **dict.fromkeys(("quantize", "dequantize"), _quantize),
}
