"""Slice and Split, with bounds that may be expressions of the symbolic dimensions."""

from __future__ import annotations

from tvm import relax, tirx

from paddle_tvm.compiler.frontends.onnx.context import NodeContext, as_expr
from paddle_tvm.compiler.frontends.onnx.registry import register
from paddle_tvm.compiler.frontends.paddle.context import Dim


@register("Slice")
def _slice(ctx: NodeContext) -> relax.Expr:
    ndim = ctx.ndim(0)
    if ctx.opset < 10:
        starts: list[Dim] = list(ctx.attr("starts"))
        ends: list[Dim] = list(ctx.attr("ends"))
        axes = ctx.axes_from(len(ctx.operands), ndim)
        steps = [1] * len(starts)
    else:
        starts, ends = ctx.dims(1), ctx.dims(2)
        axes = ctx.axes(3, ndim) if ctx.has_input(3) else None
        steps = ctx.ints(4) if ctx.has_input(4) else [1] * len(starts)
    data = ctx.input(0)
    taken, begins, limits, strides = [], [], [], []
    for axis, start, end, step in zip(axes or range(len(starts)), starts, ends, steps, strict=True):
        size = ctx.shape(0)[axis]
        if step < 0:
            if not isinstance(size, int) and _is_whole(size, start, end, step):
                data = ctx.emit(relax.op.flip(data, axis))
                continue
            fixed = ctx.fix(size, f"the size of axis {axis}, which is sliced backwards,")
            bounds = slice(_int(ctx, start), _int(ctx, end), step).indices(fixed)
            begin, limit = bounds[0], bounds[1]
            # Relax reads a negative bound as counted from the end.
            limit = limit - fixed if limit < 0 else limit
            if begin < 0 or len(range(*bounds)) == 0:
                begin = limit = 0
        else:
            begin = _clamped(ctx, start, size)
            limit = _clamped(ctx, end, size)
            if not ctx.analyzer.can_prove(as_expr(limit) >= as_expr(begin)):
                limit = ctx.simplify(tirx.max(as_expr(limit), as_expr(begin)))
        taken.append(axis)
        begins.append(as_expr(begin))
        limits.append(as_expr(limit))
        strides.append(step)
    if not taken:
        return data
    return relax.op.strided_slice(data, taken, begins, limits, strides, assume_inbound=True)


def _is_whole(size: Dim, start: Dim, end: Dim, step: int) -> bool:
    backwards = step == -1 and isinstance(start, int) and isinstance(end, int)
    return backwards and (start == -1 or _is_beyond(start)) and _is_beyond(end) and end < 0


def _is_beyond(bound: Dim) -> bool:
    """Whether a bound is one of the large numbers that exporters write for "to the end"."""
    return isinstance(bound, int) and abs(bound) >= (1 << 31) - 1


def _int(ctx: NodeContext, bound: Dim) -> int:
    return ctx.fix(bound, "a bound of a slice backwards")


def _clamped(ctx: NodeContext, bound: Dim, size: Dim) -> Dim:
    """A bound in 0..size: negative ones count from the end, larger ones stop there."""
    if isinstance(bound, int) and isinstance(size, int):
        return min(max(bound + size if bound < 0 else bound, 0), size)
    if _is_beyond(bound):
        return size if bound > 0 else 0
    term, end = as_expr(bound), as_expr(size)
    if ctx.analyzer.can_prove(term < 0):
        return ctx.simplify(tirx.max(end + term, tirx.IntImm("int64", 0)))
    if not ctx.analyzer.can_prove(term >= 0):
        raise ctx.unsupported(f"whether the bound {bound} is negative is not known; fix it with --shape")
    return ctx.simplify(tirx.min(term, end))


@register("Split")
def _split(ctx: NodeContext) -> relax.Expr | list[relax.Expr]:
    data, axis = ctx.input(0), ctx.axis("axis", ctx.ndim(0), 0)
    size = ctx.shape(0)[axis]
    parts = len(ctx.node.output)
    sizes: list[Dim]
    if ctx.has_input(1):
        sizes = ctx.dims(1)
    elif ctx.attr("split", None):
        sizes = list(ctx.attr("split"))
    elif isinstance(size, int):
        # Where it does not divide, the last part is the smaller one.
        part = -(-size // parts)
        sizes = [part] * (parts - 1) + [size - part * (parts - 1)]
    else:
        part_of = ctx.simplify(tirx.floordiv(size, parts))
        if not ctx.is_equal(part_of * parts, size):
            raise ctx.unsupported(
                f"{size} elements do not divide into {parts}; fix the dimension with --shape"
            )
        sizes = [part_of] * parts
    total: Dim = 0
    for part_size in sizes:
        total = ctx.simplify(total + part_size)
    whole = ctx.shape(0)
    whole[axis] = total
    data = ctx.require_equal(data, whole)
    results, begin = [], 0
    for part_size in sizes:
        end = ctx.simplify(begin + part_size)
        piece = relax.op.strided_slice(
            data, [axis], [as_expr(begin)], [as_expr(end)], [1], assume_inbound=True
        )
        results.append(ctx.emit(piece))
        begin = end
    return results
