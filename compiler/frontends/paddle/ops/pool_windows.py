"""Tensor expressions of the poolings that Relax's operators do not express: adaptive windows that differ in
size, symbolic kernels and padding, Paddle's way of counting padding, indices of maxima.

Every function takes channels-first data and, a list entry per spatial axis, output sizes, kernel sizes,
strides and the padding before; adaptive windows have output sizes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tvm import te, tirx

from paddle_tvm.compiler.frontends.paddle.context import Dim


@dataclass(frozen=True)
class _Axis:
    """The windows along one axis of ``size`` elements."""

    size: Any
    output: Dim
    kernel: Dim | None
    stride: int
    before: Dim

    def longest(self) -> Any:
        """No window is longer than this."""
        if self.kernel is not None:
            return self.kernel
        if isinstance(self.output, int) and self.output == 1:
            return self.size
        size, output = _plain(self.size), self.output
        if isinstance(size, int) and isinstance(output, int):
            return max(-(-(i + 1) * size // output) - i * size // output for i in range(output))
        return (size + output - 1) // output + 1

    def start(self, index: Any) -> Any:
        if self.kernel is not None:
            return index * self.stride - self.before
        return tirx.floordiv(index * self.size, self.output)

    def end(self, index: Any) -> Any:
        """One past the window's last element; into the padding where that is counted."""
        if self.kernel is not None:
            return tirx.min(self.start(index) + self.kernel, self.size + self.before)
        return tirx.floordiv((index + 1) * self.size + self.output - 1, self.output)

    def inside(self, index: Any, position: Any) -> Any:
        if self.kernel is not None:
            return tirx.all(position >= 0, position < self.size)
        return position < self.end(index)

    def nearest(self, index: Any, step: Any) -> Any:
        """A position of the window, or where that is outside the data the window's nearest inside."""
        position = tirx.min(self.start(index) + step, tirx.min(self.end(index), self.size) - 1)
        return tirx.max(position, 0)

    def count(self, index: Any, exclusive: bool) -> Any:
        start, end = self.start(index), self.end(index)
        if exclusive:
            return tirx.min(end, self.size) - tirx.max(start, 0)
        return end - start


def _plain(dim: Any) -> Any:
    return int(dim.value) if isinstance(dim, tirx.IntImm) else dim


def _axes(
    data: te.Tensor,
    adaptive: bool,
    output: Sequence[Dim],
    kernel: Sequence[Dim],
    strides: Sequence[int],
    before: Sequence[Dim],
) -> list[_Axis]:
    sizes = data.shape[2:]
    if adaptive:
        return [_Axis(size, out, None, 1, 0) for size, out in zip(sizes, output, strict=True)]
    return [_Axis(*entry) for entry in zip(sizes, output, kernel, strides, before, strict=True)]


def _reduce(
    data: te.Tensor, axes: Sequence[_Axis], combine: Any, element: Any, outside: tirx.Expr, name: str
) -> te.Tensor:
    """Combine ``element(indices, position)`` over the elements of each window that lie in the data."""
    inner = [te.reduce_axis((0, axis.longest()), f"k{number}") for number, axis in enumerate(axes)]

    def compute(n: Any, c: Any, *index: Any) -> Any:
        position = [axis.start(i) + k for axis, i, k in zip(axes, index, inner, strict=True)]
        inside = [axis.inside(i, p) for axis, i, p in zip(axes, index, position, strict=True)]
        value = tirx.if_then_else(tirx.all(*inside), element((n, c, *index), position), outside)
        return combine(value, axis=inner)

    shape = (*data.shape[:2], *(axis.output for axis in axes))
    return te.compute(shape, compute, name=name)


def maximum_of_windows(data: te.Tensor, *windows: Any, adaptive: bool) -> te.Tensor:
    """The largest element of each window."""
    axes = _axes(data, adaptive, *windows)
    inner = [te.reduce_axis((0, axis.longest()), f"k{number}") for number, axis in enumerate(axes)]

    def largest(n: Any, c: Any, *index: Any) -> Any:
        # Repeating an edge changes nothing; a constant after a NaN that is the window's last, which Paddle
        # gives then, would.
        position = [axis.nearest(i, k) for axis, i, k in zip(axes, index, inner, strict=True)]
        return te.max(data(n, c, *position), axis=inner)

    pooled = te.compute((*data.shape[:2], *(axis.output for axis in axes)), largest, name="max_pool")
    if adaptive:
        return pooled

    def inside(n: Any, c: Any, *index: Any) -> Any:
        reaches = tirx.all(*(axis.count(i, True) > 0 for axis, i in zip(axes, index, strict=True)))
        return tirx.Select(reaches, pooled(n, c, *index), tirx.min_value(data.dtype))

    return te.compute(pooled.shape, inside, name="max_pool_inside")


def average_windows(data: te.Tensor, *windows: Any, adaptive: bool, exclusive: bool) -> te.Tensor:
    """The mean of each window; padding counts as zeros unless ``exclusive``."""
    axes = _axes(data, adaptive, *windows)
    zero = tirx.const(0, data.dtype)
    total = _reduce(data, axes, te.sum, lambda i, at: data(i[0], i[1], *at), zero, "window_sum")

    def mean(n: Any, c: Any, *index: Any) -> Any:
        count: Any = 1
        for axis, i in zip(axes, index, strict=True):
            count = axis.count(i, exclusive or adaptive) * count
        return total(n, c, *index) / count.astype(data.dtype)

    return te.compute(total.shape, mean, name="avg_pool")


def power_windows(data: te.Tensor, *windows: Any, adaptive: bool, power: float) -> te.Tensor:
    """The root of the sum of powers of each window; of a negative sum it is NaN, as in Paddle."""
    axes = _axes(data, adaptive, *windows)
    zero, exponent = tirx.const(0, data.dtype), tirx.const(power, data.dtype)

    def element(i: Any, at: Any) -> Any:
        value = data(i[0], i[1], *at)
        return value * value if power == 2 else tirx.power(value, exponent)

    total = _reduce(data, axes, te.sum, element, zero, "power_sum")

    def root(*index: Any) -> Any:
        value = total(*index)
        return tirx.sqrt(value) if power == 2 else tirx.power(value, tirx.const(1 / power, data.dtype))

    return te.compute(total.shape, root, name="lp_pool")


def index_of_maximum(data: te.Tensor, best: te.Tensor, *windows: Any, adaptive: bool) -> te.Tensor:
    """Where in a channel, flattened, the first maximum of each window lies; int32."""
    axes = _axes(data, adaptive, *windows)

    def element(i: Any, at: Any) -> Any:
        flat: Any = 0
        for axis, position in zip(axes, at, strict=True):
            flat = flat * axis.size + position
        found = data(i[0], i[1], *at) == best(*i)
        return tirx.Select(found, flat.astype("int32"), tirx.max_value("int32"))

    place = _reduce(data, axes, te.min, element, tirx.max_value("int32"), "max_pool_index")

    def named(*index: Any) -> Any:
        # Paddle knows no place of a maximum where there is none but NaN and -Inf.
        none = place(*index) == tirx.max_value("int32")
        return tirx.Select(none, tirx.const(-1, "int32"), place(*index))

    return te.compute(place.shape, named, name="max_pool_place")
