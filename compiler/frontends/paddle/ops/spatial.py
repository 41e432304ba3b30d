"""What operators on images share: the place of the channels, and how Paddle pads windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tvm import relax, te, tirx

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, shape_of


def is_channel_last(data_format: str) -> bool:
    """Whether a data format (NHWC, NDHWC, NLC) ends with the channels."""
    return data_format.endswith("C")


def in_channels_first(
    ctx: OpContext, data_format: str, compute: Callable[[relax.Expr], relax.Expr]
) -> relax.Expr:
    """Apply ``compute``, which wants channels at axis 1, to the first operand.

    Channels-last data is transposed around it: layout passes then have one form of each operator to deal
    with, and remove pairs of transposes.
    """
    data = ctx.input(0)
    if not is_channel_last(data_format):
        return compute(data)
    ndim = ctx.ndim(0)
    first = ctx.emit(relax.op.permute_dims(data, [0, ndim - 1, *range(1, ndim - 1)]))
    result = ctx.emit(compute(first))
    return relax.op.permute_dims(result, [0, *range(2, ndim), 1])


def fixed_sizes(ctx: OpContext, dims: Sequence[Dim], what: str) -> list[int]:
    """Dimensions that must be known while compiling."""
    if not all(isinstance(dim, int) for dim in dims):
        raise ctx.unsupported(f"{what} is dynamic ({dims}); fix the model's input shapes with --shape")
    return [dim for dim in dims if isinstance(dim, int)]


def window_padding(
    ctx: OpContext,
    spatial: Sequence[Dim],
    kernel: Sequence[Dim],
    strides: Sequence[int],
    paddings: Sequence[int],
    algorithm: str,
) -> list[tuple[Dim, Dim]]:
    """Before and after padding of each spatial axis, as Paddle computes it.

    ``SAME`` resets dilation to 1 in Paddle (``UpdatePaddingAndDilation`` in phi's ``conv_util.h``); the
    caller must do so as well.
    """
    if algorithm == "VALID":
        return [(0, 0)] * len(spatial)
    if algorithm == "SAME":
        return [_same_padding(ctx, *sizes) for sizes in zip(spatial, kernel, strides, strict=True)]
    if len(paddings) == len(spatial):
        return [(pad, pad) for pad in paddings]
    return [(paddings[2 * axis], paddings[2 * axis + 1]) for axis in range(len(spatial))]


def _same_padding(ctx: OpContext, size: Dim, window: Dim, stride: int) -> tuple[Dim, Dim]:
    if stride == 1:
        total: Dim = window - 1
    else:
        total = ctx.simplify(((size + stride - 1) // stride - 1) * stride + window - size)
        total = max(total, 0) if isinstance(total, int) else tirx.max(total, 0)
    before = total // 2
    return ctx.simplify(before), ctx.simplify(total - before)


def fit_windows(
    ctx: OpContext,
    spatial: Sequence[Dim],
    extents: Sequence[Dim],
    strides: Sequence[int],
    padding: Sequence[tuple[Dim, Dim]],
    ceil_mode: bool = False,
) -> list[tuple[Dim, Dim]]:
    """Padding with which as many windows fit as Paddle makes; ``extents`` are theirs, dilated.

    Paddle's kernels make room / stride + 1 windows, and C++ rounds towards zero: data too short by less than
    a stride has one window, beyond whose end are zeros, or nothing. Dynamic data must be long enough.

    Raises
    ------
    UnsupportedModelError
        The data is so short that nothing would come out.
    """
    fitted = []
    for axis, (size, extent, stride, (before, after)) in enumerate(
        zip(spatial, extents, strides, padding, strict=True)
    ):
        room = ctx.simplify(size + before + after - extent + (stride - 1 if ceil_mode else 0))
        if not isinstance(room, int):
            ctx.require_at_least(size, ctx.simplify(size - room))
        elif room <= -stride:
            raise ctx.unsupported(
                f"a window of {extent} elements, stride {stride}, does not fit into axis {axis} of the data: "
                f"{size} elements and {before} + {after} of padding; give the input a larger shape (--shape)"
            )
        elif room < 0:
            after = after - room
        fitted.append((before, after))
    return fitted


def shift_spatial(
    ctx: OpContext, data: relax.Expr, before: Sequence[Dim], sizes: Sequence[Dim], name: str
) -> relax.Var:
    """Pad channels-first data with zeros, or crop it: to ``sizes``, starting at ``-before``."""

    def compute(tensor: te.Tensor, before: Sequence[Dim], sizes: Sequence[Dim]) -> te.Tensor:
        batch, channels, *own = tensor.shape

        def element(n: tirx.Var, c: tirx.Var, *position: tirx.Var) -> tirx.Expr:
            source = [index - pad for index, pad in zip(position, before, strict=True)]
            inside = [tirx.all(index >= 0, index < size) for index, size in zip(source, own, strict=True)]
            zero = tirx.const(0, tensor.dtype)
            return tirx.if_then_else(tirx.all(*inside), tensor(n, c, *source), zero)

        return te.compute((batch, channels, *sizes), element, name=name)

    return ctx.emit_te(compute, data, list(before), list(sizes), name=name)


def pad_for_windows(
    ctx: OpContext,
    data: relax.Expr,
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[Dim, Dim]],
) -> tuple[relax.Expr, list[tuple[int, int]]]:
    """Pad first where padding is symbolic, which no attribute can be; what is left is for the operator."""
    fixed = [(b, a) for b, a in padding if isinstance(b, int) and isinstance(a, int)]
    if len(fixed) == len(padding):
        return data, fixed
    # Windows start at multiples of the stride, so this many elements are read, whatever the size is.
    sizes = [
        ctx.simplify(((size + stride - 1) // stride - 1) * stride + window)
        for size, stride, window in zip(shape_of(data)[2:], strides, kernel, strict=True)
    ]
    padded = shift_spatial(ctx, data, [before for before, _ in padding], sizes, "pad_same")
    return padded, [(0, 0)] * len(padding)


def opaque_factor(value: tirx.Expr) -> tirx.Expr:
    """A positive float that may depend on symbolic dimensions, hidden from TVM's interval analysis.

    TVM 0.27 multiplies the bounds of floats too; of a loop-invariant factor it asks the sign by an integer
    zero of type float, which fails. It knows nothing of a call's result.
    """
    return tirx.abs(value)
