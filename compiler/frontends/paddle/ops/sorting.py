"""Sorting, and what is read off a sorted order."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import relax, te, tirx

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, shape_of
from paddle_tvm.compiler.frontends.paddle.ops.pointwise import dtype_of, is_float
from paddle_tvm.compiler.frontends.paddle.ops.reshape import product_of
from paddle_tvm.compiler.frontends.paddle.ops.sort_kernels import mode_kernel, select_kernel, sort_kernel
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register

# Insertion costs up to this many steps an element, a merge sort the logarithm of the length.
_MAX_SELECTED = 16


class Rows:
    """A tensor with some axes moved to the end and made one; the others are the rows."""

    def __init__(self, ctx: OpContext, x: relax.Expr, axes: Sequence[int]) -> None:
        self.ctx = ctx
        self.shape = shape_of(x)
        ndim = len(self.shape)
        self.axes = sorted(axis % ndim for axis in axes)
        self.order = [axis for axis in range(ndim) if axis not in self.axes] + self.axes
        if self.order != list(range(ndim)):
            x = ctx.emit(relax.op.permute_dims(x, self.order))
        kept = [self.shape[axis] for axis in range(ndim) if axis not in self.axes]
        self.count = product_of(ctx, kept)
        self.length = product_of(ctx, [self.shape[axis] for axis in self.axes])
        self.data = ctx.emit(relax.op.reshape(x, [self.count, self.length]))
        self.dtype = dtype_of(x)

    def sorted_indices(self, descending: bool, count: Dim | None = None) -> relax.Expr:
        """Indices of the elements in order, or of the first ``count``."""
        ctx = self.ctx
        if count is not None and isinstance(count, int) and 0 < count <= _MAX_SELECTED:
            kernel = ctx.builder.add_func(select_kernel(self.dtype, count, descending), "select")
            return ctx.emit(relax.call_tir(kernel, [self.data], self._type(count)))
        types = [self._type(self.length)] * 2 + ([] if count is None else [self._type(count)])
        kernel = ctx.builder.add_func(sort_kernel(self.dtype, descending, count is not None), "sort")
        results = ctx.emit(relax.call_tir(kernel, [self.data], types))
        return ctx.emit(relax.TupleGetItem(results, 0 if count is None else 2))

    def mode(self) -> relax.Expr:
        """The index of the most frequent element of each row."""
        kernel = self.ctx.builder.add_func(mode_kernel(self.dtype), "mode")
        order = self.sorted_indices(descending=False)
        return self.ctx.emit(relax.call_tir(kernel, [self.data, order], self._type(1)))

    def _type(self, columns: Dim) -> relax.TensorType:
        return relax.TensorType(relax.ShapeExpr([self.count, columns]), "int64")

    def values(self, indices: relax.Expr) -> relax.Expr:
        """The elements of each row at indices of the row."""

        def gather(data: te.Tensor, places: te.Tensor) -> te.Tensor:
            return te.compute(places.shape, lambda row, slot: data(row, places(row, slot)), name="gather")

        return self.ctx.emit_te(gather, self.data, indices, name="sorted_values")

    def restored(self, rows: relax.Expr, count: Dim) -> relax.Expr:
        """Rows with ``count`` elements each, put back as the one axis."""
        moved = [self.shape[other] for other in self.order]
        moved[-1] = count
        restored = self.ctx.emit(relax.op.reshape(rows, moved))
        if self.order == list(range(len(self.order))):
            return restored
        return relax.op.permute_dims(restored, [self.order.index(other) for other in range(len(self.order))])

    def one_each(self, column: relax.Expr, keepdim: bool) -> relax.Expr:
        """One element of each row, with the axes gone or left with size 1."""
        shape = [
            1 if axis in self.axes else dim
            for axis, dim in enumerate(self.shape)
            if keepdim or axis not in self.axes
        ]
        return relax.op.reshape(column, shape)


def _column(ctx: OpContext, order: relax.Expr, place: int) -> relax.Expr:
    def take(order: te.Tensor) -> te.Tensor:
        return te.compute([order.shape[0], 1], lambda row, _: order(row, place), name="column")

    return ctx.emit_te(take, order, name="column")


@register("argsort")
def _argsort(ctx: OpContext) -> Converted:
    x = ctx.input(0)
    if not shape_of(x):
        return [x, relax.op.zeros((), "int64")]
    rows = Rows(ctx, x, [int(ctx.attr("axis"))])
    order = rows.sorted_indices(bool(ctx.attr("descending")))
    return [rows.restored(rows.values(order), rows.length), rows.restored(order, rows.length)]


@register("topk")
def _topk(ctx: OpContext) -> Converted:
    x, (count,) = ctx.input(0), ctx.dims(1)
    if not shape_of(x):
        return [x, relax.op.zeros((), "int64")]
    return first_of_order(ctx, x, int(ctx.attr("axis")), count, bool(ctx.attr("largest")))


def first_of_order(ctx: OpContext, x: relax.Expr, axis: int, count: Dim, largest: bool) -> list[relax.Expr]:
    """The ``count`` largest elements along an axis, or the smallest, in their order; and their indices."""
    rows = Rows(ctx, x, [axis])
    if isinstance(rows.length, int) and isinstance(count, int) and count > rows.length:
        raise ctx.unsupported(f"asks for {count} elements of {rows.length}")
    ctx.require_at_least(rows.length, count)
    order = rows.sorted_indices(largest, count)
    return [rows.restored(rows.values(order), count), rows.restored(order, count)]


@register("kthvalue")
def _kthvalue(ctx: OpContext) -> Converted:
    x, k, keepdim = ctx.input(0), int(ctx.attr("k")), bool(ctx.attr("keepdim"))
    if not shape_of(x):
        return [x, relax.op.zeros((), "int64")]
    rows = Rows(ctx, x, [int(ctx.attr("axis"))])
    ctx.require_at_least(rows.length, k)
    index = _column(ctx, rows.sorted_indices(False, k), k - 1)
    return [rows.one_each(rows.values(index), keepdim), rows.one_each(index, keepdim)]


@register("mode")
def _mode(ctx: OpContext) -> Converted:
    x, keepdim = ctx.input(0), bool(ctx.attr("keepdim"))
    if not shape_of(x):
        return [x, relax.op.zeros((), "int64")]
    rows = Rows(ctx, x, [int(ctx.attr("axis"))])
    index = rows.mode()
    return [rows.one_each(rows.values(index), keepdim), rows.one_each(index, keepdim)]


@register("median")
def _median(ctx: OpContext) -> Converted:
    x, keepdim = ctx.input(0), bool(ctx.attr("keepdim"))
    if not shape_of(x):
        return [x, None]
    rows = Rows(ctx, x, ctx.attr("axis") or list(range(ctx.ndim(0))))
    order = rows.sorted_indices(descending=False)
    if ctx.attr("mode") == "min":
        index = ctx.emit_te(_lower_median, rows.data, order, name="median")
        return [rows.one_each(rows.values(index), keepdim), rows.one_each(index, keepdim)]
    return [rows.one_each(ctx.emit_te(_mean_median, rows.data, order, name="median"), keepdim), None]


def _last_is_nan(data: te.Tensor, order: te.Tensor, row: tirx.Var) -> tirx.Expr:
    if not is_float(str(data.dtype)):
        return tirx.const(False, "bool")
    return tirx.isnan(data(row, order(row, data.shape[1] - 1)))


def _lower_median(data: te.Tensor, order: te.Tensor) -> te.Tensor:
    length = data.shape[1]

    def element(row: tirx.Var, _: tirx.Var) -> tirx.Expr:
        last = order(row, length - 1)
        return tirx.Select(_last_is_nan(data, order, row), last, order(row, tirx.floordiv(length - 1, 2)))

    return te.compute([data.shape[0], 1], element, name="median")


def _mean_median(data: te.Tensor, order: te.Tensor) -> te.Tensor:
    length = data.shape[1]
    half = tirx.const(0.5, data.dtype)

    def element(row: tirx.Var, _: tirx.Var) -> tirx.Expr:
        low = data(row, order(row, tirx.floordiv(length - 1, 2)))
        high = data(row, order(row, tirx.floordiv(length, 2)))
        last = data(row, order(row, length - 1))
        return tirx.Select(_last_is_nan(data, order, row), last, low * half + high * half)

    return te.compute([data.shape[0], 1], element, name="median")
