"""Operators over tensors whose dimensions must agree, and do so only provably after a hint."""

from __future__ import annotations

from tvm import relax

from paddle_tvm.compiler.frontends.onnx.context import NodeContext
from paddle_tvm.compiler.frontends.onnx.registry import register
from paddle_tvm.compiler.frontends.paddle.context import shape_of


@register("MatMul")
def _matmul(ctx: NodeContext) -> relax.Expr:
    left, right = ctx.input(0), ctx.input(1)
    inner = -2 if ctx.ndim(1) > 1 else -1
    shared, own = ctx.shape(1)[inner], ctx.shape(0)[-1]
    # A constant says more than a symbol.
    if isinstance(own, int):
        right_shape = ctx.shape(1)
        right_shape[inner] = own
        right = ctx.require_equal(right, right_shape)
    else:
        left = ctx.require_equal(left, [*ctx.shape(0)[:-1], shared])
    if ctx.ndim(0) > 2 and ctx.ndim(1) > 2:
        left, right = _same_batch(ctx, left, right)
    return relax.op.matmul(left, right)


def _same_batch(ctx: NodeContext, left: relax.Expr, right: relax.Expr) -> tuple[relax.Expr, relax.Expr]:
    """Batch dimensions that must be equal, or 1."""
    shapes = [shape_of(left), shape_of(right)]
    for axis in range(3, min(map(len, shapes)) + 1):
        first, second = shapes[0][-axis], shapes[1][-axis]
        if first in (1, second) if isinstance(first, int) and isinstance(second, int) else False:
            continue
        if isinstance(first, int) and first != 1:
            shapes[1][-axis] = first if not isinstance(second, int) else second
        elif not isinstance(first, int) and not (isinstance(second, int) and second == 1):
            shapes[0][-axis] = second
    return ctx.require_equal(left, shapes[0]), ctx.require_equal(right, shapes[1])


@register("Concat")
def _concat(ctx: NodeContext) -> relax.Expr:
    tensors = [value.expr(ctx.builder) for value in ctx.operands if value is not None]
    shapes = [shape_of(tensor) for tensor in tensors]
    along = ctx.axis("axis", len(shapes[0]))
    for axis in range(len(shapes[0])):
        if axis != along:
            known = [shape[axis] for shape in shapes if isinstance(shape[axis], int)]
            for shape in shapes:
                shape[axis] = known[0] if known else shapes[0][axis]
    same = [ctx.require_equal(tensor, shape) for tensor, shape in zip(tensors, shapes, strict=True)]
    return relax.op.concat(same, axis=along)
