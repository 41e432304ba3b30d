"""Folds over shapes: small integer arrays whose elements are ints and expressions of symbolic dimensions.

Nodes whose inputs are all constants never get here; ``constants.py`` computes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import tirx

from paddle_tvm.compiler.frontends.onnx.context import NodeContext, as_expr
from paddle_tvm.compiler.frontends.onnx.registry import register_fold
from paddle_tvm.compiler.frontends.paddle.context import MAX_SYMBOLIC_ELEMENTS, Dim
from paddle_tvm.compiler.frontends.paddle.registry import KnownArray, is_constant


def symbolic_array(dims: list[Dim]) -> KnownArray:
    """A 1-d object array; NumPy must not try to iterate the expressions."""
    array = np.empty(len(dims), dtype=object)
    array[:] = dims
    return array


def _integers(ctx: NodeContext) -> list[KnownArray] | None:
    """All inputs as object arrays, or None where one is not known or not of integers."""
    arrays = []
    for operand in ctx.operands:
        if operand is None or operand.array is None or operand.array.size > MAX_SYMBOLIC_ELEMENTS:
            return None
        if is_constant(operand.array) and operand.array.dtype.kind not in "iub":
            return None
        arrays.append(operand.array.astype(object))
    return arrays


def _elementwise(ctx: NodeContext, compute: Callable[[Any, Any], Any]) -> KnownArray | None:
    arrays = _integers(ctx)
    if arrays is None:
        return None
    result = arrays[0]
    for other in arrays[1:]:
        left, right = np.broadcast_arrays(result, other)
        elements = [
            compute(a, b) for a, b in zip(left.flatten().tolist(), right.flatten().tolist(), strict=True)
        ]
        if any(element is None for element in elements):
            return None
        result = symbolic_array([ctx.simplify(element) for element in elements]).reshape(left.shape)
    return result


@register_fold("Shape")
def _shape(ctx: NodeContext) -> KnownArray:
    dims = ctx.shape(0)
    return symbolic_array(dims[ctx.attr("start", 0) : ctx.attr("end", len(dims))])


@register_fold("Size")
def _size(ctx: NodeContext) -> KnownArray:
    return symbolic_array([ctx.product(ctx.shape(0))]).reshape(())


@register_fold("Add")
def _add(ctx: NodeContext) -> KnownArray | None:
    return _elementwise(ctx, lambda a, b: a + b)


@register_fold("Sub")
def _sub(ctx: NodeContext) -> KnownArray | None:
    return _elementwise(ctx, lambda a, b: a - b)


@register_fold("Mul")
def _mul(ctx: NodeContext) -> KnownArray | None:
    return _elementwise(ctx, lambda a, b: a * b)


@register_fold("Div")
def _div(ctx: NodeContext) -> KnownArray | None:
    # ONNX rounds towards zero; TIR simplifies the floor, which is the same where nothing is negative.
    return _elementwise(
        ctx, lambda a, b: _nonnegative(ctx, a, b, lambda: tirx.floordiv(as_expr(a), as_expr(b)))
    )


@register_fold("Mod")
def _mod(ctx: NodeContext) -> KnownArray | None:
    return _elementwise(
        ctx, lambda a, b: _nonnegative(ctx, a, b, lambda: tirx.floormod(as_expr(a), as_expr(b)))
    )


def _nonnegative(ctx: NodeContext, left: Dim, right: Dim, compute: Callable[[], Dim]) -> Dim | None:
    proved = ctx.analyzer.can_prove(as_expr(left) >= 0) and ctx.analyzer.can_prove(as_expr(right) > 0)
    return compute() if proved else None


@register_fold("Max")
def _max(ctx: NodeContext) -> KnownArray | None:
    return _elementwise(ctx, lambda a, b: tirx.max(as_expr(a), as_expr(b)))


@register_fold("Min")
def _min(ctx: NodeContext) -> KnownArray | None:
    return _elementwise(ctx, lambda a, b: tirx.min(as_expr(a), as_expr(b)))


@register_fold("Equal")
def _equal(ctx: NodeContext) -> KnownArray | None:
    def compute(left: Dim, right: Dim) -> bool | None:
        if ctx.is_equal(left, right):
            return True
        return False if ctx.analyzer.can_prove(as_expr(left) != as_expr(right)) else None

    arrays = _integers(ctx)
    if arrays is None:
        return None
    left, right = np.broadcast_arrays(*arrays)
    answers = [compute(a, b) for a, b in zip(left.flatten().tolist(), right.flatten().tolist(), strict=True)]
    return None if None in answers else np.array(answers, dtype=bool).reshape(left.shape)


@register_fold("Where")
def _where(ctx: NodeContext) -> KnownArray | None:
    arrays = _integers(ctx)
    if arrays is None or not all(isinstance(element, bool) for element in arrays[0].flatten().tolist()):
        return None
    condition, left, right = np.broadcast_arrays(*arrays)
    chosen = [a if c else b for c, a, b in zip(condition.flat, left.flat, right.flat, strict=True)]
    return symbolic_array(chosen).reshape(condition.shape)


@register_fold("Cast")
def _cast(ctx: NodeContext) -> KnownArray | None:
    arrays = _integers(ctx)
    to_dimension = ctx.operation.outputs[0].dtype in ("int64", "int32")
    return arrays[0] if arrays and to_dimension else None


@register_fold("Concat")
def _concat(ctx: NodeContext) -> KnownArray | None:
    arrays = _integers(ctx)
    return np.concatenate(arrays, axis=ctx.attr("axis")) if arrays else None


@register_fold("Gather")
def _gather(ctx: NodeContext) -> KnownArray | None:
    arrays = _integers(ctx)
    index = ctx.value(1).array
    if arrays is None or index is None or not is_constant(index):
        return None
    taken = np.empty(index.shape, dtype=object) if arrays[0].ndim == 1 else None
    if taken is None:
        return None
    for position, element in np.ndenumerate(index):
        taken[position] = arrays[0][int(element)]
    return taken


@register_fold("Slice")
def _slice(ctx: NodeContext) -> KnownArray | None:
    arrays = _integers(ctx)
    if arrays is None or arrays[0].ndim != 1:
        return None
    if ctx.opset < 10:
        starts, ends, steps = ctx.attr("starts"), ctx.attr("ends"), [1]
    else:
        bounds = [ctx.dims(1), ctx.dims(2), ctx.dims(4) if ctx.has_input(4) else [1]]
        if not all(isinstance(bound, int) for part in bounds for bound in part):
            return None
        starts, ends, steps = bounds
    return arrays[0][starts[0] : ends[0] : steps[0]] if len(starts) == 1 else None


@register_fold("Reshape")
def _reshape(ctx: NodeContext) -> KnownArray | None:
    arrays = _integers(ctx)
    return arrays[0].reshape(ctx.ints(1)) if arrays and 0 not in ctx.ints(1) else None


@register_fold("Squeeze")
def _squeeze(ctx: NodeContext) -> KnownArray | None:
    array = ctx.value(0).array
    if array is None:
        return None
    axes = ctx.axes_from(1, array.ndim)
    return np.squeeze(array, None if axes is None else tuple(axes))


@register_fold("Unsqueeze")
def _unsqueeze(ctx: NodeContext) -> KnownArray | None:
    array = ctx.value(0).array
    if array is None:
        return None
    count = len(ctx.ints(1)) if ctx.has_input(1) else len(ctx.attr("axes"))
    axes = ctx.axes_from(1, array.ndim + count)
    return np.expand_dims(array, tuple(axes or ()))


@register_fold("ReduceProd")
def _reduce_prod(ctx: NodeContext) -> KnownArray | None:
    array = ctx.value(0).array
    if array is None or array.ndim != 1 or _integers(ctx) is None:
        return None
    total = symbolic_array([ctx.product(array.tolist())])
    return total if ctx.attr("keepdims", 1) else total.reshape(())


@register_fold("Identity")
def _identity(ctx: NodeContext) -> KnownArray | None:
    return ctx.value(0).array
