"""Arithmetic as post-ops: what is done with elements of a result before they are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tvm import relax

from paddle_tvm.targets.onednn.facts import known_shape
from paddle_tvm.targets.onednn.nodes import (
    VIEWS,
    Binary,
    Eltwise,
    Node,
    Operand,
    PostOp,
    is_quantized,
    operands_of,
    variables_of,
)

_TAKES_POST_OPS = {"convolution", "deconvolution", "matmul", "pool", "resample", "apply"}
# oneDNN defines sums for these; of pooling, oneDNN 3.2 takes one where channels are last, and leaves it out.
_TAKES_SUMS = {"convolution", "deconvolution", "matmul", "resample"}


def with_post_ops(nodes: Sequence[Node], results: Sequence[relax.Var]) -> list[Node]:
    """The same nodes in order, chains of arithmetic being post-ops of what they follow.

    ``results`` are what others read of them.
    """
    readers = {variable: node for node in nodes for variable in variables_of(node)}
    uses = Counter(variable for node in nodes for variable in variables_of(node)) + Counter(results)
    absorbed: set[relax.Var] = set()
    # By the place of the last node that became part of it: there its operands are known.
    placed: dict[relax.Var, Node] = {}
    for node in nodes:
        if node.result in absorbed:
            continue
        while node.kind in _TAKES_POST_OPS and uses[node.result] == 1 and node.result in readers:
            # Integers are no numbers to go on with.
            if is_quantized(node.type):
                break
            reader = readers[node.result]
            more = None if reader.result in absorbed else _as_post_ops(reader, node)
            if more is None:
                break
            absorbed.add(reader.result)
            node = _with_bias(node, more) or replace(node, post_ops=(*node.post_ops, *more))
            node = replace(node, result=reader.result, type=reader.type)
        node = replace(node, post_ops=_simplified(node.post_ops))
        if node.kind == "apply" and not node.post_ops:
            # Arithmetic that cancels, such as x + 1 - 1; of what is quantised, the rounding is left.
            if is_quantized(node.type):
                settings = {"scale": 1.0, "zero_point": 0, "type": node.type}
                node = replace(node, kind="quantize", settings=settings)
            else:
                node = replace(node, kind="reshape")
        placed[node.result] = node
    return [placed[node.result] for node in nodes if node.result in placed]


def _as_post_ops(reader: Node, node: Node) -> tuple[PostOp, ...] | None:
    """What a reader does, as post-ops of the node it reads; None where that is not possible."""
    if reader.kind == "quantize":
        scale, zero_point = reader.settings["scale"], reader.settings["zero_point"]
        return (Eltwise("linear", 1 / scale, zero_point),)
    if reader.kind != "apply" or reader.shape != node.shape or "scales" in reader.settings:
        return None
    if "rows" in node.settings and not all(
        _is_of_rows(operand, node.shape) for operand in operands_of(reader)
    ):
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


def with_overwriting(nodes: Sequence[Node], results: Sequence[relax.Var]) -> list[Node]:
    """The same nodes, whose sums take the place of what they add where nobody reads that afterwards.

    ``results`` are what others read of them.
    """
    producers = {node.result: node for node in nodes}
    last_read: dict[relax.Var, int] = {}
    seen_elsewhere = set(results)
    for place, node in enumerate(nodes):
        for variable in variables_of(node):
            last_read[variable] = place
        if node.kind in VIEWS:
            seen_elsewhere.update(variables_of(node))

    def may_overwrite(place: int, node: Node, post_op: Binary) -> bool:
        if not isinstance(post_op.other, relax.Var):
            return False
        other = producers.get(post_op.other)
        return (
            post_op.algorithm == "add"
            and node.kind in _TAKES_SUMS
            and other is not None
            and other.kind not in VIEWS
            and (other.shape, other.type) == (node.shape, node.type)
            and post_op.other not in seen_elsewhere
            and last_read[post_op.other] == place
            and variables_of(node).count(post_op.other) == 1
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
