"""Operators that give a tensor another shape."""

from __future__ import annotations

from tvm import relax, tirx

from paddle_tvm.compiler.frontends.onnx.context import NodeContext, as_expr
from paddle_tvm.compiler.frontends.onnx.registry import register
from paddle_tvm.compiler.frontends.paddle.context import Dim, shape_of


@register("Reshape")
def _reshape(ctx: NodeContext) -> relax.Expr:
    own, asked = ctx.shape(0), ctx.dims(1)
    if not ctx.attr("allowzero", 0):
        asked = [own[axis] if isinstance(dim, int) and dim == 0 else dim for axis, dim in enumerate(asked)]
    return _reshaped(ctx, asked)


def _reshaped(ctx: NodeContext, asked: list[Dim]) -> relax.Expr:
    """Reshape; one dimension may be -1.

    What is left on both sides without the dimensions that occur on both must be the same number of elements.
    Where this holds for one size of the input alone, the size is checked at run time.
    """
    data, own = ctx.input(0), ctx.shape(0)
    inputs, outputs = _without_common(ctx, own, [dim for dim in asked if not _is_inferred(dim)])
    count, rest = ctx.product(inputs), ctx.product(outputs)
    if any(map(_is_inferred, asked)):
        if isinstance(rest, int) and rest == 0:
            raise ctx.unsupported(f"-1 in the shape {asked} has no meaning for a tensor without elements")
        inferred = ctx.simplify(tirx.floordiv(as_expr(count), as_expr(rest)))
        if not ctx.is_equal(inferred * rest, count):
            raise ctx.unsupported(
                f"{own} cannot be proved to divide into {asked}; fix the input's dimensions with --shape"
            )
        shape = [inferred if _is_inferred(dim) else dim for dim in asked]
    else:
        shape = asked
        if not ctx.is_equal(count, rest):
            data = _with_size(ctx, data, count, rest, asked)
    if any(isinstance(dim, int) and dim == 0 for dim in own):
        raise ctx.unsupported(f"its input {own} has no elements; only tensors with elements are supported")
    return relax.op.reshape(data, _shape(shape))


def _is_inferred(dim: Dim) -> bool:
    return isinstance(dim, int) and dim == -1


def _without_common(ctx: NodeContext, left: list[Dim], right: list[Dim]) -> tuple[list[Dim], list[Dim]]:
    rest = list(right)
    unmatched = []
    for dim in left:
        for position, other in enumerate(rest):
            if ctx.is_equal(dim, other):
                del rest[position]
                break
        else:
            unmatched.append(dim)
    return unmatched, rest


def _with_size(ctx: NodeContext, data: relax.Expr, count: Dim, rest: Dim, asked: list[Dim]) -> relax.Expr:
    """The tensor with the one dimension replaced that makes it fit, checked at run time."""
    own = shape_of(data)
    places = [axis for axis, dim in enumerate(own) if not isinstance(dim, int) and ctx.is_equal(dim, count)]
    if len(places) == 1:
        own[places[0]] = rest
        return ctx.require_equal(data, own)
    raise ctx.unsupported(
        f"a tensor of shape {own} does not have the elements of {asked} for every input; "
        "fix the input's dimensions with --shape"
    )


@register("Flatten")
def _flatten(ctx: NodeContext) -> relax.Expr:
    axis = ctx.axis("axis", ctx.ndim(0), 1)
    return _reshaped(ctx, [ctx.product(ctx.shape(0)[:axis]), ctx.product(ctx.shape(0)[axis:])])


@register("Squeeze")
def _squeeze(ctx: NodeContext) -> relax.Expr:
    shape = ctx.shape(0)
    axes = ctx.axes_from(1, ctx.ndim(0))
    if axes is None:
        if not all(isinstance(dim, int) for dim in shape):
            raise ctx.unsupported(
                f"it removes every dimension of {shape} that is 1; name the axes in the model, or fix the "
                "input's dimensions with --shape"
            )
        axes = [axis for axis, dim in enumerate(shape) if isinstance(dim, int) and dim == 1]
    single = [1 if axis in axes else dim for axis, dim in enumerate(shape)]
    data = ctx.require_equal(ctx.input(0), single)
    return relax.op.reshape(
        data, relax.ShapeExpr([as_expr(dim) for axis, dim in enumerate(shape) if axis not in axes])
    )


@register("Unsqueeze")
def _unsqueeze(ctx: NodeContext) -> relax.Expr:
    count = len(ctx.ints(1)) if ctx.has_input(1) else len(ctx.attr("axes"))
    ndim = ctx.ndim(0) + count
    axes = ctx.axes_from(1, ndim) or []
    left = iter(ctx.shape(0))
    shape = [1 if axis in axes else next(left) for axis in range(ndim)]
    return relax.op.reshape(ctx.input(0), _shape(shape))


@register("Expand")
def _expand(ctx: NodeContext) -> relax.Expr:
    own, asked = ctx.shape(0), ctx.dims(1)
    rank = max(len(own), len(asked))
    own = [1] * (rank - len(own)) + own
    asked = [1] * (rank - len(asked)) + asked
    required: list[Dim] = []
    target: list[Dim] = []
    for dim, want in zip(own, asked, strict=True):
        if isinstance(want, int) and want == 1:
            required.append(dim)
            target.append(dim)
        elif isinstance(dim, int) and dim == 1:
            required.append(dim)
            target.append(want)
        else:
            # Both must be equal; a constant says more than a symbol.
            same = dim if isinstance(dim, int) else want
            required.append(same)
            target.append(same)
    data = ctx.require_equal(ctx.input(0), required[rank - ctx.ndim(0) :])
    return relax.op.broadcast_to(data, _shape(target))


@register("Tile")
def _tile(ctx: NodeContext) -> relax.Expr:
    # LLVM in TVM 0.27 compiles the remainders of topi.tile wrongly for AVX-512 (tile of 3x4x5 by 6x4x2).
    repeats, shape = ctx.dims(1), ctx.shape(0)
    apart = [part for dim in shape for part in (1, dim)]
    repeated = [part for pair in zip(repeats, shape, strict=True) for part in pair]
    tiled = [ctx.simplify(dim * repeat) for dim, repeat in zip(shape, repeats, strict=True)]
    data = ctx.emit(relax.op.reshape(ctx.input(0), _shape(apart)))
    return relax.op.reshape(ctx.emit(relax.op.broadcast_to(data, _shape(repeated))), _shape(tiled))


def _shape(dims: list[Dim]) -> relax.ShapeExpr:
    return relax.ShapeExpr([as_expr(dim) for dim in dims])
