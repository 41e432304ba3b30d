"""Einstein summation, as reductions, transposes and one matrix product for each pair of operands."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tvm import relax, te

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, shape_of
from paddle_tvm.compiler.frontends.paddle.ops.matmul import product
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register

_UNUSED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class _Labelled:
    """A tensor and one label for each of its axes, all different."""

    tensor: relax.Expr
    labels: str

    @property
    def dims(self) -> dict[str, Dim]:
        return dict(zip(self.labels, shape_of(self.tensor), strict=True))


@register("einsum")
def _einsum(ctx: OpContext) -> Converted:
    tensors = ctx.inputs(0)
    terms, output = _parse(ctx.attr("equation"), [len(shape_of(tensor)) for tensor in tensors])
    operands = [_diagonal(ctx, tensor, term) for tensor, term in zip(tensors, terms, strict=True)]
    result, *rest = operands
    for position, operand in enumerate(rest):
        later = output + "".join(other.labels for other in rest[position + 1 :])
        result = _contract(ctx, result, operand, later)
    final = _arrange(ctx, _sum_unused(ctx, result, output), output).tensor
    # The other results keep intermediates for the gradient.
    return [final, *[None] * (len(ctx.operation.outputs) - 1)]


def _parse(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """One label for each axis of each operand and of the result, with the ellipsis spelt out."""
    left, arrow, output = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    free = iter(label for label in _UNUSED if label not in equation)
    hidden_ranks = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)]
    hidden = "".join(next(free) for _ in range(max(hidden_ranks)))
    spelt = [
        term.replace("...", hidden[len(hidden) - rank :])
        for term, rank in zip(terms, hidden_ranks, strict=True)
    ]
    if not arrow:
        counted = sorted(label for label in set(left) - set(",.") if left.count(label) == 1)
        return spelt, (hidden if "..." in left else "") + "".join(counted)
    return spelt, output.replace("...", hidden)


def _diagonal(ctx: OpContext, tensor: relax.Expr, labels: str) -> _Labelled:
    """A label that stands twice takes the diagonal."""
    distinct = "".join(dict.fromkeys(labels))
    if len(distinct) == len(labels):
        return _Labelled(tensor, labels)
    dims = dict(zip(reversed(labels), reversed(shape_of(tensor)), strict=True))
    tensor = ctx.require_equal(tensor, [dims[label] for label in labels])

    def diagonal(a: te.Tensor) -> te.Tensor:
        shape = [a.shape[labels.index(label)] for label in distinct]
        return te.compute(
            shape, lambda *axes: a(*[axes[distinct.index(label)] for label in labels]), name="diagonal"
        )

    return _Labelled(ctx.emit_te(diagonal, tensor, name="diagonal"), distinct)


def _sum_unused(ctx: OpContext, operand: _Labelled, used: str) -> _Labelled:
    axes = [axis for axis, label in enumerate(operand.labels) if label not in used]
    if not axes:
        return operand
    kept = "".join(label for label in operand.labels if label in used)
    return _Labelled(ctx.emit(relax.op.sum(operand.tensor, axes)), kept)


def _arrange(ctx: OpContext, operand: _Labelled, labels: str) -> _Labelled:
    if operand.labels == labels:
        return operand
    order = [operand.labels.index(label) for label in labels]
    return _Labelled(ctx.emit(relax.op.permute_dims(operand.tensor, order)), labels)


def _contract(ctx: OpContext, left: _Labelled, right: _Labelled, later: str) -> _Labelled:
    """Two operands become one that has the labels which are used later."""
    left = _sum_unused(ctx, left, right.labels + later)
    right = _sum_unused(ctx, right, left.labels + later)
    left, right = _with_equal_dims(ctx, left, right, later)
    shared = [label for label in left.labels if label in right.labels]
    batch = "".join(label for label in shared if label in later)
    inner = "".join(label for label in shared if label not in later)
    rows = "".join(label for label in left.labels if label not in shared)
    columns = "".join(label for label in right.labels if label not in shared)
    matrix = product(
        ctx,
        _as_matrices(ctx, left, batch, rows, inner),
        _as_matrices(ctx, right, batch, inner, columns),
    )
    dims = {**left.dims, **right.dims}
    labels = batch + rows + columns
    return _Labelled(ctx.emit(relax.op.reshape(matrix, [dims[label] for label in labels])), labels)


def _with_equal_dims(
    ctx: OpContext, left: _Labelled, right: _Labelled, later: str
) -> tuple[_Labelled, _Labelled]:
    """Shared labels get one size; where one side has size 1 it is broadcast."""
    shape: dict[str, Dim] = {}
    for label, dim in [*left.dims.items(), *right.dims.items()]:
        if label not in shape or shape[label] == 1 or (isinstance(dim, int) and dim != 1):
            shape[label] = dim
    return _resized(ctx, left, shape), _resized(ctx, right, shape)


def _resized(ctx: OpContext, operand: _Labelled, shape: dict[str, Dim]) -> _Labelled:
    dims = operand.dims
    checked = ctx.require_equal(
        operand.tensor, [dim if dim == 1 else shape[label] for label, dim in dims.items()]
    )
    target = [shape[label] for label in operand.labels]
    if any(dim == 1 and shape[label] != 1 for label, dim in dims.items()):
        checked = ctx.emit(relax.op.broadcast_to(checked, target))
    return _Labelled(checked, operand.labels)


def _as_matrices(ctx: OpContext, operand: _Labelled, batch: str, rows: str, columns: str) -> relax.Expr:
    """A stack of matrices: the batch labels as they are, then all rows, then all columns."""
    arranged = _arrange(ctx, operand, batch + rows + columns)
    dims = arranged.dims
    shape = [dims[label] for label in batch]
    shape += [math.prod(dims[label] for label in rows), math.prod(dims[label] for label in columns)]
    if len(rows) == len(columns) == 1:
        return arranged.tensor
    return ctx.emit(relax.op.reshape(arranged.tensor, shape))
