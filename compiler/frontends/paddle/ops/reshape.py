"""Operators that give a tensor another shape and leave its elements where they are, and transposition."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import relax, tirx

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, shape_of
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register


def product_of(ctx: OpContext, dims: Sequence[Dim]) -> Dim:
    """Number of elements of a shape."""
    product: Dim = 1
    for dim in dims:
        product = product * dim
    return ctx.simplify(product)


def _factors(dims: Sequence[Dim]) -> tuple[int, list[tirx.Expr]]:
    constant, symbolic = 1, []
    pending = list(dims)
    while pending:
        dim = pending.pop()
        if isinstance(dim, int):
            constant *= dim
        elif isinstance(dim, tirx.IntImm):
            constant *= int(dim.value)
        elif isinstance(dim, tirx.Mul):
            pending += [dim.a, dim.b]
        else:
            symbolic.append(dim)
    return constant, symbolic[::-1]


def _cancel(ctx: OpContext, left: Sequence[Dim], right: Sequence[Dim]) -> tuple[list[Dim], list[Dim]]:
    """Two products without the symbolic factors that they share, so that their quotient stays simple."""
    left_constant, left_symbols = _factors(left)
    right_constant, right_symbols = _factors(right)
    for factor in list(right_symbols):
        for candidate in left_symbols:
            if ctx.is_equal(factor, candidate):
                left_symbols.remove(candidate)
                right_symbols.remove(factor)
                break
    if left_constant and right_constant and left_constant % right_constant == 0:
        left_constant, right_constant = left_constant // right_constant, 1
    return [left_constant, *left_symbols], [right_constant, *right_symbols]


def infer_dim(ctx: OpContext, source: Sequence[Dim], target: Sequence[Dim]) -> list[Dim]:
    """Replace the -1 of a target shape, if there is one, by what is left of the elements."""
    unknown = [axis for axis, dim in enumerate(target) if isinstance(dim, int) and dim == -1]
    if not unknown:
        return list(target)
    if len(unknown) > 1:
        raise ctx.unsupported(f"the target shape {list(target)} has several -1")
    known = [dim for axis, dim in enumerate(target) if axis not in unknown]
    rest, divisor = (product_of(ctx, dims) for dims in _cancel(ctx, source, known))
    if isinstance(divisor, int) and divisor == 0:
        # Without elements any size would do; Paddle takes that of the same place.
        return [source[axis] if axis in unknown else dim for axis, dim in enumerate(target)]
    inferred = rest if isinstance(divisor, int) and divisor == 1 else ctx.simplify(rest // divisor)
    return [inferred if axis in unknown else dim for axis, dim in enumerate(target)]


def reshape_to(ctx: OpContext, data: relax.Expr, target: Sequence[Dim]) -> relax.Expr:
    """Reshape to a shape without -1; an equal number of elements is proved, or checked at run time."""
    source = shape_of(data)
    if len(source) == len(target) and all(
        ctx.is_equal(left, right) for left, right in zip(source, target, strict=True)
    ):
        return data
    left, right = (product_of(ctx, dims) for dims in _cancel(ctx, source, target))
    if not ctx.is_equal(left, right):
        if isinstance(left, int) and isinstance(right, int):
            raise ctx.unsupported(f"a tensor of shape {source} cannot become {list(target)}")
        flat = ctx.emit(relax.op.reshape(data, [product_of(ctx, source)]))
        data = ctx.require_equal(flat, [product_of(ctx, target)])
    if any(isinstance(dim, int) and dim == 0 for dim in target):
        # Relax reads a 0 in the new shape as "copy".
        dtype = str(data.ty.dtype)
        return ctx.emit(relax.op.full(list(target), relax.const(0, dtype), dtype))
    return ctx.emit(relax.op.reshape(data, list(target)))


def _reshape_as_asked(ctx: OpContext, asked: Sequence[Dim]) -> relax.Expr:
    source, target = ctx.shape(0), list(asked)
    # 0 copies the dimension of the same place, except where the tensor has no elements: then it is a size.
    if not any(isinstance(dim, int) and dim == 0 for dim in source):
        for axis, dim in enumerate(target):
            if isinstance(dim, int) and dim == 0 and axis < len(source):
                target[axis] = source[axis]
    return reshape_to(ctx, ctx.input(0), infer_dim(ctx, source, target))


@register("reshape", "reshape_")
def _reshape(ctx: OpContext) -> Converted:
    return _reshape_as_asked(ctx, ctx.dims(1))


@register("view_shape")
def _view_shape(ctx: OpContext) -> Converted:
    return _reshape_as_asked(ctx, ctx.attr("dims"))


@register("flatten", "flatten_")
def _flatten(ctx: OpContext) -> Converted:
    shape = ctx.shape(0)
    if not shape:
        return reshape_to(ctx, ctx.input(0), [1])
    start, stop = (ctx.attr(name) % len(shape) for name in ("start_axis", "stop_axis"))
    merged = product_of(ctx, shape[start : stop + 1])
    return reshape_to(ctx, ctx.input(0), [*shape[:start], merged, *shape[stop + 1 :]])


@register("squeeze", "squeeze_")
def _squeeze(ctx: OpContext) -> Converted:
    shape = ctx.shape(0)
    axes = set(ctx.axes(1, len(shape)))
    if not axes:
        symbolic = [axis for axis, dim in enumerate(shape) if not isinstance(dim, int)]
        if symbolic:
            raise ctx.unsupported(
                f"squeeze without axes drops every dimension that is 1, and axes {symbolic} are dynamic: "
                "name the axes in the model, or fix the input's dimensions with --shape"
            )
        axes = set(range(len(shape)))
    data = ctx.input(0)
    if any(not isinstance(shape[axis], int) for axis in axes):
        # Paddle keeps the rank where such a dimension turns out not to be 1; a compiled program has one rank.
        data = ctx.require_equal(
            data, [1 if axis in axes and not isinstance(dim, int) else dim for axis, dim in enumerate(shape)]
        )
        shape = shape_of(data)
    dropped = sorted(axis for axis in axes if shape[axis] == 1)
    return relax.op.squeeze(data, dropped) if dropped else data


@register("unsqueeze", "unsqueeze_")
def _unsqueeze(ctx: OpContext) -> Converted:
    # One axis after another: each counts in the shape that the ones before it made.
    data, ndim = ctx.input(0), ctx.ndim(0)
    for axis in ctx.ints(1):
        ndim += 1
        data = ctx.emit(relax.op.expand_dims(data, axis % ndim))
    return data


@register("transpose", "transpose_")
def _transpose(ctx: OpContext) -> Converted:
    ndim = ctx.ndim(0)
    if ndim < 2:
        return ctx.input(0)
    return relax.op.permute_dims(ctx.input(0), [axis % ndim for axis in ctx.attr("perm")])
