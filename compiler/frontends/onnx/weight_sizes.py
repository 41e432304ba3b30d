"""What the weights of an operator say of the sizes of its data."""

from __future__ import annotations

from collections.abc import Callable

from tvm import relax

from paddle_tvm.compiler.frontends.onnx.context import NodeContext
from paddle_tvm.compiler.frontends.paddle.context import Dim


def fit_data_to_weights(ctx: NodeContext) -> relax.Expr:
    """The first input of a node, with the sizes that its weights ask for where its own are symbolic.

    TVM 0.27's converters take channels that are not numbers for equal to whatever the weights have, or
    refuse them. Whether they are equal is checked when the model runs.
    """
    find_sizes = _SIZES.get(ctx.node.op_type)
    if find_sizes is None:
        return ctx.input(0)
    sizes = find_sizes(ctx)
    shape = [
        sizes.get(axis, dim) if not isinstance(dim, int) else dim for axis, dim in enumerate(ctx.shape(0))
    ]
    return ctx.require_equal(ctx.input(0), shape)


def _convolution(ctx: NodeContext) -> dict[int, Dim]:
    return {1: ctx.simplify(ctx.shape(1)[1] * ctx.attr("group", 1))}


def _channels(ctx: NodeContext) -> dict[int, Dim]:
    return {1: ctx.shape(1)[0]}


def _last_axes(ctx: NodeContext) -> dict[int, Dim]:
    """Of a weight that broadcasts."""
    sizes = enumerate(ctx.shape(1), ctx.ndim(0) - ctx.ndim(1))
    return {axis: dim for axis, dim in sizes if isinstance(dim, int) and dim != 1}


def _gemm(ctx: NodeContext) -> dict[int, Dim]:
    rows, columns = ctx.shape(1)
    return {0 if ctx.attr("transA", 0) else 1: columns if ctx.attr("transB", 0) else rows}


_SIZES: dict[str, Callable[[NodeContext], dict[int, Dim]]] = {
    "BatchNormalization": _channels,
    "Conv": _convolution,
    "ConvTranspose": _channels,
    "Gemm": _gemm,
    "InstanceNormalization": _channels,
    "LayerNormalization": _last_axes,
    "PRelu": _last_axes,
}
