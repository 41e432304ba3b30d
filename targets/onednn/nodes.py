"""The steps of a subgraph as what oneDNN computes, with the arithmetic after each as post-ops."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Union

import numpy as np
import numpy.typing as npt
from tvm import ir, relax

from paddle_tvm.targets.offload import Step, Subgraph
from paddle_tvm.targets.onednn.patterns import (
    ACTIVATIONS,
    ARITHMETIC,
    known_shape,
    larger_side,
    scalar,
    slice_of,
)

Array = npt.NDArray[np.generic]
Operand = Union[relax.Var, "Array"]
"""A value of the subgraph, or a constant."""


@dataclass(frozen=True)
class Eltwise:
    """A function of each element, by the name that oneDNN has for it after ``dnnl_eltwise_``."""

    algorithm: str
    alpha: float = 0.0
    beta: float = 0.0


@dataclass(frozen=True)
class Binary:
    """Arithmetic with another tensor, by oneDNN's name after ``dnnl_binary_``.

    ``overwrites``: nobody else reads the other tensor afterwards, which the result may take the place of.
    """

    algorithm: str
    other: Operand
    overwrites: bool = False


PostOp = Eltwise | Binary


@dataclass(frozen=True)
class Node:
    """One primitive, or a view.

    Attributes
    ----------
    kind
        The method of ``Network`` (native/network.h) that makes it.
    inputs
        What it reads, constants as arrays.
    shape
        The sizes of its result.
    result
        What it computes.
    settings
        What else the method takes.
    post_ops
        What is done with each element of the result.
    """

    kind: str
    inputs: tuple[Operand, ...]
    shape: tuple[int, ...]
    result: relax.Var
    settings: Mapping[str, Any] = field(default_factory=dict)
    post_ops: tuple[PostOp, ...] = ()


_VIEWS = {"reshape", "transpose", "slice"}
_TAKES_POST_OPS = {"convolution", "deconvolution", "matmul", "pool", "resample", "apply"}


def nodes_of(subgraph: Subgraph) -> list[Node]:
    """What computes a subgraph, in order: chains of arithmetic are post-ops of what they follow."""
    nodes = [_node(step) for step in subgraph.steps]
    readers = {variable: node for node in nodes for variable in _variables(node)}
    uses = Counter(variable for node in nodes for variable in _variables(node)) + Counter(subgraph.results)
    absorbed: set[relax.Var] = set()
    # By the place of the last node that became part of it: there its operands are known.
    placed: dict[relax.Var, Node] = {}
    for node in nodes:
        if node.result in absorbed:
            continue
        while node.kind in _TAKES_POST_OPS and uses[node.result] == 1 and node.result in readers:
            reader = readers[node.result]
            more = None if reader.result in absorbed else _as_post_ops(reader, node)
            if more is None:
                break
            absorbed.add(reader.result)
            node = _with_bias(node, more) or replace(node, post_ops=(*node.post_ops, *more))
            node = replace(node, result=reader.result)
        node = replace(node, post_ops=_simplified(node.post_ops))
        if node.kind == "apply" and not node.post_ops:
            # Arithmetic that cancels, such as x + 1 - 1.
            node = replace(node, kind="reshape")
        placed[node.result] = node
    return _overwriting([placed[node.result] for node in nodes if node.result in placed], subgraph)


def _read(node: Node) -> list[Operand]:
    return [*node.inputs, *(post_op.other for post_op in node.post_ops if isinstance(post_op, Binary))]


def _variables(node: Node) -> list[relax.Var]:
    return [operand for operand in _read(node) if isinstance(operand, relax.Var)]


def _as_post_ops(reader: Node, node: Node) -> tuple[PostOp, ...] | None:
    """What a reader does, as post-ops of the node it reads; None where that is not possible."""
    if reader.kind != "apply" or reader.shape != node.shape:
        return None
    if "rows" in node.settings and not all(_is_of_rows(operand, node.shape) for operand in _read(reader)):
        return None
    source = reader.inputs[0]
    if isinstance(source, relax.Var) and source.same_as(node.result):
        return reader.post_ops
    # The other operand of arithmetic.
    first, *rest = reader.post_ops
    if not isinstance(first, Binary):
        # As in x * -1 + y.
        return None
    if first.algorithm in {"sub", "div"}:
        negated = (Eltwise("linear", -1.0), Binary("add", source))
        return (*negated, *rest) if first.algorithm == "sub" else None
    return (Binary(first.algorithm, source), *rest)


def _overwriting(nodes: list[Node], subgraph: Subgraph) -> list[Node]:
    """Lets sums take the place of what they add, where nobody reads that afterwards."""
    producers = {node.result: node for node in nodes}
    last_read: dict[relax.Var, int] = {}
    seen_elsewhere = set(subgraph.results)
    for place, node in enumerate(nodes):
        for variable in _variables(node):
            last_read[variable] = place
        if node.kind in _VIEWS:
            seen_elsewhere.update(_variables(node))

    def may_overwrite(place: int, node: Node, post_op: Binary) -> bool:
        if not isinstance(post_op.other, relax.Var):
            return False
        other = producers.get(post_op.other)
        return (
            post_op.algorithm == "add"
            and node.kind != "apply"
            and other is not None
            and other.kind not in _VIEWS
            and other.shape == node.shape
            and post_op.other not in seen_elsewhere
            and last_read[post_op.other] == place
            and _variables(node).count(post_op.other) == 1
        )

    done = []
    for place, node in enumerate(nodes):
        post_ops = list(node.post_ops)
        for number, post_op in enumerate(post_ops):
            if isinstance(post_op, Binary) and may_overwrite(place, node, post_op):
                post_ops[number] = replace(post_op, overwrites=True)
                break
        done.append(replace(node, post_ops=tuple(post_ops)))
    return done


def _is_of_rows(operand: Operand, shape: tuple[int, ...]) -> bool:
    """Whether an operand of such a result has one value, or each, for all dimensions but the last."""
    sizes = tuple(known_shape(operand) if isinstance(operand, relax.Var) else operand.shape)
    leading = ((1,) * (len(shape) - len(sizes)) + sizes)[:-1]
    return leading == shape[:-1] or set(leading) <= {1}


def _with_bias(node: Node, more: tuple[PostOp, ...]) -> Node | None:
    """The node with a bias, if that is what follows it first."""
    first = more[0]
    if (
        node.kind not in {"convolution", "deconvolution", "matmul"}
        or node.post_ops
        or len(node.inputs) > 2
        or not isinstance(first, Binary)
        or first.algorithm != "add"
        or isinstance(first.other, relax.Var)
    ):
        return None
    axis = len(node.shape) - 1 if node.kind == "matmul" else 1
    if any(size != 1 for place, size in enumerate(first.other.shape) if place != axis):
        return None
    if first.other.shape[axis] != node.shape[axis]:
        return None
    rank = 2 if "rows" in node.settings else len(node.shape)
    bias = first.other.reshape([1] * (rank - 1) + [-1]) if node.kind == "matmul" else first.other.reshape(-1)
    return replace(node, inputs=(*node.inputs, bias), post_ops=more[1:])


def _simplified(post_ops: Sequence[PostOp]) -> tuple[PostOp, ...]:
    """The same with fewer steps."""
    done: list[PostOp] = []
    for post_op in post_ops:
        last = done[-1] if done else None
        if isinstance(post_op, Eltwise) and isinstance(last, Eltwise):
            if post_op.algorithm == last.algorithm == "linear":
                done[-1] = Eltwise(
                    "linear", post_op.alpha * last.alpha, post_op.alpha * last.beta + post_op.beta
                )
                continue
            if post_op.algorithm == last.algorithm == "clip":
                low = min(max(last.alpha, post_op.alpha), post_op.beta)
                done[-1] = Eltwise("clip", low, max(min(last.beta, post_op.beta), low))
                continue
        done.append(post_op)
    # A factor such as 6 * (1 / 6).
    return tuple(
        post_op
        for post_op in done
        if not (
            isinstance(post_op, Eltwise)
            and post_op.algorithm == "linear"
            and abs(post_op.alpha - 1) < 1e-6
            and post_op.beta == 0
        )
    )


def _node(step: Step) -> Node:
    return _MAKERS[step.pattern](step)


def _inputs(step: Step, call: relax.Call) -> list[Operand]:
    return [_operand(step, argument) for argument in call.args]


def _operand(step: Step, argument: relax.Expr) -> Operand:
    if isinstance(argument, ir.Constant):
        array: Array = argument.value.numpy()
        return array
    return step.inputs[list(step.function.params).index(argument)]


def _only_call(step: Step, operator: str) -> relax.Call:
    (call,) = step.calls(operator)
    return call


def _ints(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _convolution(step: Step) -> Node:
    call = _only_call(step, f"relax.nn.{step.pattern}")
    attributes = call.attrs
    shape = known_shape(call)
    padding, rank = _ints(attributes.padding), len(shape) - 2
    settings = {
        "groups": int(attributes.groups),
        "strides": _ints(attributes.strides),
        "dilation": _ints(attributes.dilation),
        "before": padding[:rank],
        "after": padding[rank:],
    }
    if step.pattern != "conv2d_transpose":
        return Node("convolution", tuple(_inputs(step, call)), shape, step.result, settings)
    # What is added to the output is not cut off at its end.
    extra = _ints(attributes.output_padding)
    settings["after"] = tuple(cut - more for cut, more in zip(padding[rank:], extra, strict=True))
    return Node("deconvolution", tuple(_inputs(step, call)), shape, step.result, settings)


def _matmul(step: Step) -> Node:
    call = _only_call(step, "relax.matmul")
    shape = known_shape(call)
    # One matrix multiplies all rows, of whatever batch they are.
    is_flat = len(known_shape(call.args[1])) == 2 and len(shape) > 2
    settings = {"rows": prod(shape[:-1])} if is_flat else {}
    return Node("matmul", tuple(_inputs(step, call)), shape, step.result, settings)


def _pool(step: Step) -> Node:
    call = _only_call(step, f"relax.nn.{step.pattern}")
    attributes, shape = call.attrs, known_shape(call)
    sizes = known_shape(call.args[0])[2:]
    source = _operand(step, call.args[0])
    if step.pattern == "adaptive_avg_pool2d":
        kernel = tuple(size // want for size, want in zip(sizes, shape[2:], strict=True))
        settings: dict[str, Any] = {
            "algorithm": "avg_exclude_padding",
            "kernel": kernel,
            "strides": kernel,
            "dilation": (1, 1),
            "before": (0, 0),
            "after": (0, 0),
        }
        return Node("pool", (source,), shape, step.result, settings)
    padding = _ints(attributes.padding)
    kernel, strides = _ints(attributes.pool_size), _ints(attributes.strides)
    dilation, before, after = _ints(attributes.dilation), padding[:2], padding[2:]
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
    call = _only_call(step, "relax.call_tir")
    settings = {"algorithm": step.pattern.removeprefix("resample_")}
    source = _operand(step, call.args[1].fields[0])
    return Node("resample", (source,), known_shape(call), step.result, settings)


def _softmax(step: Step) -> Node:
    call = _only_call(step, "relax.nn.softmax")
    shape = known_shape(call)
    settings = {"axis": int(call.attrs.axis) % len(shape)}
    return Node("softmax", (_operand(step, call.args[0]),), shape, step.result, settings)


def _layer_norm(step: Step) -> Node:
    call = _only_call(step, "relax.nn.layer_norm")
    settings = {"epsilon": float(call.attrs.epsilon)}
    return Node("layer_norm", tuple(_inputs(step, call)), known_shape(call), step.result, settings)


def _activation(step: Step) -> Node:
    call = _only_call(step, ACTIVATIONS[step.pattern])
    eltwise = {
        "relu": Eltwise("relu"),
        "gelu": Eltwise("gelu_erf"),
        "gelu_tanh": Eltwise("gelu_tanh"),
        "silu": Eltwise("swish", 1.0),
        "sigmoid": Eltwise("logistic"),
        "negative": Eltwise("linear", -1.0),
    }.get(step.pattern, Eltwise(step.pattern))
    return Node("apply", (_operand(step, call.args[0]),), known_shape(call), step.result, {}, (eltwise,))


def _hardswish(step: Step) -> Node:
    # x * min(max(x + 3, 0), 6) is six times what oneDNN has.
    post_ops = (Eltwise("hardswish", 1 / 6, 0.5), Eltwise("linear", 6.0))
    call = _only_call(step, "relax.multiply")
    return Node("apply", (step.inputs[0],), known_shape(call), step.result, {}, post_ops)


def _leaky_relu(step: Step) -> Node:
    slope = scalar(_only_call(step, "relax.multiply").args[1])
    assert slope is not None
    call = _only_call(step, "relax.maximum")
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
    call = _only_call(step, ARITHMETIC[step.pattern])
    shape = known_shape(call)
    side = larger_side(call)
    assert side is not None
    is_first = side == 1
    other = call.args[1 - side]
    value = scalar(other)
    source = _operand(step, call.args[side])
    post_op: PostOp
    before: tuple[PostOp, ...] = ()
    if value is not None:
        post_op = _WITH_SCALAR[step.pattern](value, is_first)
    else:
        post_op = Binary(_BINARY_NAMES.get(step.pattern, step.pattern), _operand(step, other))
        if step.pattern == "subtract" and is_first:
            # What is taken away is the larger.
            before, post_op = (Eltwise("linear", -1.0),), Binary("add", post_op.other)
        if not isinstance(post_op.other, relax.Var):
            padded = (1,) * (len(shape) - post_op.other.ndim) + post_op.other.shape
            post_op = replace(post_op, other=post_op.other.reshape(padded))
    return Node("apply", (source,), shape, step.result, {}, (*before, post_op))


def _concat(step: Step) -> Node:
    call = _only_call(step, "relax.concat")
    shape = known_shape(call)
    inputs = tuple(_operand(step, argument) for argument in call.args[0].fields)
    return Node("concat", inputs, shape, step.result, {"axis": int(call.attrs.axis) % len(shape)})


def _channel_shuffle(step: Step) -> Node:
    first, last = step.calls("relax.reshape")
    groups = known_shape(first)[1]
    return Node("shuffle", (step.inputs[0],), known_shape(last), step.result, {"axis": 1, "groups": groups})


def _reshape(step: Step) -> Node:
    call = _only_call(step, f"relax.{step.pattern}")
    return Node("reshape", (_operand(step, call.args[0]),), known_shape(call), step.result)


def _transpose(step: Step) -> Node:
    call = _only_call(step, "relax.permute_dims")
    shape = known_shape(call)
    axes = call.attrs.axes
    taken = tuple(reversed(range(len(shape)))) if axes is None else tuple(int(a) % len(shape) for a in axes)
    return Node("transpose", (_operand(step, call.args[0]),), shape, step.result, {"axes": taken})


def _slice(step: Step) -> Node:
    call = _only_call(step, "relax.strided_slice")
    source = _operand(step, call.args[0])
    return Node("slice", (source,), known_shape(call), step.result, {"begin": slice_of(call)})


_MAKERS: Mapping[str, Callable[[Step], Node]] = {
    "hardswish": _hardswish,
    "leaky_relu": _leaky_relu,
    "channel_shuffle": _channel_shuffle,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "conv2d_transpose"), _convolution),
    "matmul": _matmul,
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"), _pool),
    **dict.fromkeys(("resample_nearest", "resample_linear"), _resample),
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    **dict.fromkeys(ACTIVATIONS, _activation),
    **dict.fromkeys(ARITHMETIC, _arithmetic),
    "concat": _concat,
    **dict.fromkeys(("reshape", "expand_dims", "squeeze"), _reshape),
    "permute_dims": _transpose,
    "strided_slice": _slice,
}
