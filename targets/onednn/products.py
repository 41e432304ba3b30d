"""Convolutions and matrix products of a subgraph as nodes, on numbers or on integers."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from tvm import ir, relax

from paddle_tvm.targets.offload import Step
from paddle_tvm.targets.onednn.facts import ints, known_shape, only_call, operand
from paddle_tvm.targets.onednn.nodes import Array, Node
from paddle_tvm.targets.onednn.quantization import QuantizedWeights


def convolution(step: Step) -> Node:
    call = only_call(step, f"relax.nn.{step.pattern}")
    attributes = call.attrs
    shape = known_shape(call)
    padding, rank = ints(attributes.padding), len(shape) - 2
    settings = {
        "groups": int(attributes.groups),
        "strides": ints(attributes.strides),
        "dilation": ints(attributes.dilation),
        "before": padding[:rank],
        "after": padding[rank:],
    }
    if step.pattern != "conv2d_transpose":
        return _product(step, call, Node("convolution", (), shape, step.result, settings), 0)
    # What is added to the output is not cut off at its end.
    extra = ints(attributes.output_padding)
    settings["after"] = tuple(cut - more for cut, more in zip(padding[rank:], extra, strict=True))
    # Of groups, the outputs are not along one axis of the weights.
    axis = 1 if attributes.groups == 1 else None
    return _product(step, call, Node("deconvolution", (), shape, step.result, settings), axis)


def matmul(step: Step) -> Node:
    call = only_call(step, "relax.matmul")
    shape = known_shape(call)
    # One matrix multiplies all rows, of whatever batch they are.
    is_flat = len(known_shape(call.args[1])) == 2 and len(shape) > 2
    settings = {"rows": prod(shape[:-1])} if is_flat else {}
    outputs = len(known_shape(call.args[1])) - 1
    return _product(step, call, Node("matmul", (), shape, step.result, settings), outputs)


def _product(step: Step, call: relax.Call, node: Node, outputs: int | None) -> Node:
    """The node with its operands; ``outputs`` is the axis of the weights along which scales may differ."""
    source, weights = call.args
    found = None if isinstance(weights, ir.Constant) else _quantized_weights(step, weights, outputs)
    if isinstance(found, QuantizedWeights):
        settings = {**node.settings, "quantized": found}
        return replace(node, inputs=(operand(step, source),), settings=settings)
    right = operand(step, weights) if found is None else found
    return replace(node, inputs=(operand(step, source), right))


def _quantized_weights(
    step: Step, weights: relax.Expr, outputs: int | None
) -> QuantizedWeights | Array | None:
    """Weights that are dequantised constants; as numbers where oneDNN has no such integers."""
    blocks = step.function.body.blocks
    bindings = {binding.var: binding.value for block in blocks for binding in block.bindings}
    call, axes = bindings.get(weights), None
    if isinstance(call, relax.Call) and str(call.op.name) == "relax.permute_dims":
        axes = call.attrs.axes
        axes = tuple(reversed(range(call.args[0].ty.ndim))) if axes is None else ints(axes)
        call = bindings.get(call.args[0])
    if not isinstance(call, relax.Call) or str(call.op.name) != "relax.dequantize":
        return None
    integers, scales, zero_points = (argument.value.numpy() for argument in call.args)
    axis = int(call.attrs.axis) % integers.ndim
    if axes is not None:
        integers, axis = integers.transpose(axes), axes.index(axis)
    scales = scales.astype("float32").reshape(-1)
    if integers.dtype == "int8" and not zero_points.any() and (scales.size == 1 or axis == outputs):
        return QuantizedWeights(np.ascontiguousarray(integers), scales)
    along = [-1 if place == axis else 1 for place in range(integers.ndim)]
    zero_points = zero_points.astype("int32").reshape(-1)
    if zero_points.size > 1:
        zero_points = zero_points.reshape(along)
    if scales.size > 1:
        scales = scales.reshape(along)
    numbers: Array = np.ascontiguousarray((integers.astype("int32") - zero_points) * scales, "float32")
    return numbers
