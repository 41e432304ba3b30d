"""Pooling: maximum, average and p-norm over windows, sliding or adaptive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from tvm import relax, te

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, shape_of
from paddle_tvm.compiler.frontends.paddle.ops.pointwise import dtype_of, scalar
from paddle_tvm.compiler.frontends.paddle.ops.pool_windows import (
    average_windows,
    index_of_maximum,
    maximum_of_windows,
    power_windows,
)
from paddle_tvm.compiler.frontends.paddle.ops.spatial import (
    fit_windows,
    in_channels_first,
    window_padding,
)
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register

_LAYOUTS = {2: "NCHW", 3: "NCDHW"}
_MAX = {2: relax.op.nn.max_pool2d, 3: relax.op.nn.max_pool3d}
_AVERAGE = {2: relax.op.nn.avg_pool2d, 3: relax.op.nn.avg_pool3d}
_GLOBAL_AVERAGE = {2: relax.op.nn.adaptive_avg_pool2d, 3: relax.op.nn.adaptive_avg_pool3d}


@dataclass(frozen=True)
class _Windows:
    """Windows of a pooling, a list entry per spatial axis.

    Adaptive windows have no ``kernel``, ``strides`` or ``padding``.
    """

    adaptive: bool
    output: list[Dim]
    kernel: list[Dim]
    strides: list[int]
    padding: list[tuple[Dim, Dim]]

    @property
    def fixed_padding(self) -> list[int] | None:
        """Padding as Relax's pooling operators want it, None where it or the kernel is symbolic."""
        flat = [before for before, _ in self.padding] + [after for _, after in self.padding]
        values = [value for value in flat if isinstance(value, int)]
        constant = all(isinstance(size, int) for size in self.kernel)
        return values if constant and len(values) == len(flat) and not self.adaptive else None

    def emit(
        self, ctx: OpContext, compute: Callable[..., te.Tensor], *data: relax.Expr, name: str
    ) -> relax.Var:
        before = [start for start, _ in self.padding]
        call = partial(compute, adaptive=self.adaptive)
        return ctx.emit_te(call, *data, self.output, self.kernel, self.strides, before, name=name)


def _windows(ctx: OpContext, data: relax.Expr, kernel: Sequence[Dim]) -> _Windows:
    spatial = shape_of(data)[2:]
    rank = len(spatial)
    strides = list(ctx.attr("strides"))
    if ctx.attr("adaptive") and not ctx.attr("global_pooling"):
        if any(isinstance(size, int) and size <= 0 for size in kernel):
            raise ctx.unsupported(
                f"adaptive pooling to {list(kernel)} keeps a dynamic dimension, which Paddle cannot run "
                "either; fix the model's input shapes with --shape and save the model with them"
            )
        sizes = [tuple(map(_as_int, pair)) for pair in zip(spatial, kernel, strict=True)]
        if all(size is not None and out is not None and size % out == 0 for size, out in sizes):
            steps: list[Any] = [size // out for size, out in sizes if size is not None and out is not None]
            return _Windows(False, list(kernel), steps, steps, [(0, 0)] * rank)
        return _Windows(True, list(kernel), [], [], [])
    if ctx.attr("global_pooling"):
        return _Windows(False, [1] * rank, list(spatial), strides, [(0, 0)] * rank)
    algorithm = ctx.attr("padding_algorithm", "EXPLICIT")
    padding = window_padding(ctx, spatial, kernel, strides, ctx.attr("paddings"), algorithm)
    ceil_mode = bool(ctx.attr("ceil_mode"))
    if algorithm != "SAME":
        padding = fit_windows(ctx, spatial, kernel, strides, padding, ceil_mode)
    output = [
        ctx.simplify((size + before + after - window + (stride - 1 if ceil_mode else 0)) // stride + 1)
        for size, window, stride, (before, after) in zip(spatial, kernel, strides, padding, strict=True)
    ]
    # Rounding up is more padding after. TOPI's ceil_mode leaves out windows that begin after the data, which
    # Paddle does not, and its shapes hold conditions that Relax cannot infer a type of.
    rounding = [stride - 1 if ceil_mode else 0 for stride in strides]
    padding = [(before, after + more) for (before, after), more in zip(padding, rounding, strict=True)]
    return _Windows(False, output, list(kernel), strides, padding)


def _as_int(dim: Dim) -> int | None:
    return dim if isinstance(dim, int) else None


@register("pool2d")
def _pool2d(ctx: OpContext) -> Converted:
    return _pool(ctx, ctx.dims(1))


@register("pool3d")
def _pool3d(ctx: OpContext) -> Converted:
    return _pool(ctx, ctx.attr("kernel_size"))


def _pool(ctx: OpContext, kernel: Sequence[Dim]) -> relax.Expr:
    if ctx.attr("pooling_type") == "avg":
        return in_channels_first(ctx, ctx.attr("data_format"), lambda data: _average(ctx, data, kernel))
    if ctx.attr("adaptive"):
        # Paddle's pool2d slides windows of the output's size over the input then, which nobody wants;
        # its Python interface makes max_pool2d_with_index instead.
        raise ctx.unsupported("adaptive maximum is not what Paddle computes; use adaptive_max_pool2d")
    return in_channels_first(
        ctx, ctx.attr("data_format"), lambda data: _maximum(ctx, data, _windows(ctx, data, kernel))
    )


def _maximum(ctx: OpContext, data: relax.Expr, windows: _Windows) -> relax.Expr:
    padding = windows.fixed_padding
    if padding is None:
        return windows.emit(ctx, maximum_of_windows, data, name="max_pool")
    rank = len(windows.output)
    return _MAX[rank](
        data,
        pool_size=windows.kernel,
        strides=windows.strides,
        padding=padding,
        layout=_LAYOUTS[rank],
    )


def _average(ctx: OpContext, data: relax.Expr, kernel: Sequence[Dim]) -> relax.Expr:
    windows = _windows(ctx, data, kernel)
    rank = len(windows.output)
    if ctx.attr("global_pooling") or (ctx.attr("adaptive") and all(size == 1 for size in windows.output)):
        return _GLOBAL_AVERAGE[rank](data, output_size=[1] * rank, layout=_LAYOUTS[rank])
    padding, exclusive = windows.fixed_padding, ctx.attr("exclusive")
    # Where padding counts, Paddle's windows still end at the size plus the padding before.
    # Of a window that begins after the data it divides by what is left of it, which is 0 or less.
    if padding is not None and (
        all(
            after == 0 or (isinstance(size, int) and after < size)
            for after, size in zip(padding[rank:], windows.kernel, strict=True)
        )
        if exclusive
        else padding[:rank] == padding[rank:]
    ):
        return _AVERAGE[rank](
            data,
            pool_size=windows.kernel,
            strides=windows.strides,
            padding=padding,
            layout=_LAYOUTS[rank],
            count_include_pad=not exclusive,
        )
    return windows.emit(ctx, partial(average_windows, exclusive=exclusive), data, name="avg_pool")


@register("lp_pool2d")
def _lp_pool2d(ctx: OpContext) -> Converted:
    def pool(data: relax.Expr) -> relax.Expr:
        windows = _windows(ctx, data, ctx.attr("kernel_size"))
        return windows.emit(ctx, partial(power_windows, power=ctx.attr("norm_type")), data, name="lp_pool")

    return in_channels_first(ctx, ctx.attr("data_format"), pool)


@register("max_pool2d_with_index", "max_pool3d_with_index")
def _max_pool_with_index(ctx: OpContext) -> Converted:
    data = ctx.input(0)
    windows = _windows(ctx, data, ctx.attr("kernel_size"))
    # This kernel of Paddle's passes NaN over. Of unordered values TVM takes the second one.
    numbers = ctx.emit(relax.op.maximum(data, scalar(float(np.finfo("float32").min), dtype_of(data))))
    best = ctx.emit(_maximum(ctx, numbers, windows))
    best = ctx.require_equal(best, [*shape_of(data)[:2], *windows.output])
    return [best, windows.emit(ctx, index_of_maximum, data, best, name="max_pool_index")]
