"""Pooling in the blocked layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from tvm import relax, te, tirx

from paddle_tvm.targets.expressions import ceil_div, extent
from paddle_tvm.targets.x86.conv2d import FUSES_WHAT_FOLLOWS, Window
from paddle_tvm.targets.x86.sliding_window import slide

Kind = Literal["max", "avg"]


def legalize_pool(
    builder: relax.BlockBuilder, call: relax.Call, data_blocked: relax.Expr
) -> relax.Expr | None:
    """A pooling operator on a blocked tensor.

    Parameters
    ----------
    call
        ``relax.nn.max_pool2d``, ``avg_pool2d`` or ``adaptive_avg_pool2d`` of an NCHW tensor.
    data_blocked
        The same tensor as [N, C / lanes, H, W, lanes].

    Returns
    -------
    relax.Expr or None
        The blocked result; None for what has no blocked form: other layouts, dilated averages, and
        adaptive windows whose size depends on the input, unless there is one for everything.
    """
    attrs = call.attrs
    out_layout = str(attrs.out_layout)
    if attrs.layout != "NCHW" or out_layout not in ("", "NCHW"):
        return None
    name = call.op.name.removeprefix("relax.nn.")
    compute = _adaptive_average(call) if name == "adaptive_avg_pool2d" else _sliding(name, call)
    if compute is None:
        return None
    return builder.call_te(compute, data_blocked, primfunc_name_hint=name, primfunc_attrs=FUSES_WHAT_FOLLOWS)


def _sliding(name: str, call: relax.Call) -> Callable[[te.Tensor], te.Tensor] | None:
    """What computes a pooling by windows; None for averages of dilated ones."""
    window = pool_window(call)
    if name == "max_pool2d":
        return lambda data: pool_blocked(data, "max", window, False)
    if window.dilation != (1, 1):
        return None
    count_include_pad = bool(call.attrs.count_include_pad)
    return lambda data: pool_blocked(data, "avg", window, count_include_pad)


def pool_window(call: relax.Call) -> Window:
    """The window of a ``relax.nn.max_pool2d`` or ``avg_pool2d``; rounding up is more padding after."""
    attrs = call.attrs
    top, left, bottom, right = (int(pad) for pad in attrs.padding)
    strides = tuple(int(stride) for stride in attrs.strides)
    extra = [stride - 1 if attrs.ceil_mode else 0 for stride in strides]
    return Window(
        kernel=tuple(int(size) for size in attrs.pool_size),
        strides=strides,
        dilation=tuple(int(step) for step in attrs.dilation),
        before=(top, left),
        after=(bottom + extra[0], right + extra[1]),
    )


def pool_blocked(data: te.Tensor, kind: Kind, window: Window, count_include_pad: bool) -> te.Tensor:
    """The largest element, or the mean, of a window at each position.

    Parameters
    ----------
    data
        [N, blocks, H, W, lanes]; N, H and W may be symbolic.
    count_include_pad
        Whether the mean divides by the size of the window where it lies in the padding too.
    """
    if kind == "max":
        lowest = tirx.min_value(data.dtype)
        return slide(data, window, te.max, lowest, lambda value, c, i, j, lane: value, "max_pool2d")
    zero = tirx.const(0, data.dtype)
    total = slide(data, window, te.sum, zero, lambda value, c, i, j, lane: value, "avg_pool2d")
    sizes = [extent(dim) for dim in data.shape[2:4]]

    def count(position: Any, axis: int) -> Any:
        if count_include_pad or not (window.before[axis] or window.after[axis]):
            return window.kernel[axis]
        start = position * window.strides[axis] - window.before[axis]
        inside = tirx.min(start + window.kernel[axis], sizes[axis]) - tirx.max(start, 0)
        return tirx.max(inside, 1)

    return _divided(total, lambda y, x: count(y, 0) * count(x, 1))


def _divided(total: te.Tensor, count: Callable[[Any, Any], Any]) -> te.Tensor:
    """Sums of windows divided by the numbers of elements in them."""

    def mean(n: Any, c: Any, y: Any, x: Any, lane: Any) -> Any:
        number = count(y, x)
        divisor = tirx.const(number, total.dtype) if isinstance(number, int) else number.astype(total.dtype)
        return total[n, c, y, x, lane] / divisor

    return te.compute(total.shape, mean, name="mean")


def _adaptive_average(call: relax.Call) -> Callable[[te.Tensor], te.Tensor] | None:
    """What computes an adaptive average; None where its windows cannot be told from the shapes."""
    sizes = [extent(dim) for dim in call.args[0].ty.shape][2:]
    output = [extent(dim) for dim in call.ty.shape][2:]
    if all(out == 1 for out in output if isinstance(out, int)) and all(isinstance(o, int) for o in output):
        return global_average
    if not all(isinstance(size, int) for size in (*sizes, *output)):
        return None
    if all(size % out == 0 for size, out in zip(sizes, output, strict=True)):
        steps = tuple(size // out for size, out in zip(sizes, output, strict=True))
        window = Window(steps, steps, (1, 1), (0, 0), (0, 0))
        return lambda data: pool_blocked(data, "avg", window, False)
    return lambda data: _uneven_average(data, output)


def global_average(data: te.Tensor) -> te.Tensor:
    """The mean of each channel: [N, blocks, 1, 1, lanes]."""
    batch, blocks, rows, columns, lanes = (extent(dim) for dim in data.shape)
    i, j = te.reduce_axis((0, rows), "i"), te.reduce_axis((0, columns), "j")
    total = te.compute(
        (batch, blocks, 1, 1, lanes),
        lambda n, c, y, x, lane: te.sum(data[n, c, i, j, lane], axis=[i, j]),
        name="global_sum",
    )
    return _divided(total, lambda y, x: rows * columns)


def _uneven_average(data: te.Tensor, output: list[int]) -> te.Tensor:
    """Windows that differ in size, as ``adaptive_avg_pool2d`` of PyTorch and Paddle defines them."""
    batch, blocks, *sizes, lanes = (extent(dim) for dim in data.shape)
    ends = list(zip(sizes, output, strict=True))

    def start(position: Any, axis: int) -> Any:
        size, out = ends[axis]
        return position * size // out

    def end(position: Any, axis: int) -> Any:
        size, out = ends[axis]
        return ((position + 1) * size + (out - 1)) // out

    longest = [
        max(ceil_div((place + 1) * size, out) - place * size // out for place in range(out))
        for size, out in ends
    ]
    i, j = te.reduce_axis((0, longest[0]), "i"), te.reduce_axis((0, longest[1]), "j")

    def element(n: Any, c: Any, y: Any, x: Any, lane: Any) -> Any:
        row, column = start(y, 0) + i, start(x, 1) + j
        inside = tirx.all(row < end(y, 0), column < end(x, 1))
        value = tirx.if_then_else(inside, data[n, c, row, column, lane], tirx.const(0, data.dtype))
        return te.sum(value, axis=[i, j])

    total = te.compute((batch, blocks, *output, lanes), element, name="adaptive_sum")
    return _divided(total, lambda y, x: (end(y, 0) - start(y, 0)) * (end(x, 1) - start(x, 1)))
