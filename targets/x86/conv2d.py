"""Lowers conv2d to register-tiled kernels over weights packed by output channel."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from tvm import relax, te, tirx

from paddle_tvm.targets.expressions import ceil_div, constant, constant_array, extent, simplify
from paddle_tvm.targets.x86.packing import pack_conv_weight, te_pack_conv_weight
from paddle_tvm.targets.x86.tile import choose_tile, fitting_lanes, tile_annotations

# TVM's fusion takes what comes after a function of this kind into it: "out elementwise fusable".
FUSES_WHAT_FOLLOWS = {"op_pattern": 4}


def legalize_conv2d(builder: relax.BlockBuilder, call: relax.Call, lanes: int) -> relax.Expr:
    """A ``relax.nn.conv2d`` in NCHW / OIHW as one fusable function."""
    attrs = call.attrs
    if attrs.data_layout != "NCHW" or attrs.kernel_layout != "OIHW":
        raise ValueError(f"conv2d in {attrs.data_layout}/{attrs.kernel_layout}: NCHW/OIHW expected")
    data, weight = call.args
    groups = int(attrs.groups)
    channels = extent(data.ty.shape[1])
    total = extent(weight.ty.shape[0])
    window = Window.of(call)
    if groups == channels == total:
        return builder.call_te(
            lambda x, w: depthwise(x, w, window),
            data,
            weight,
            primfunc_name_hint="depthwise_conv2d",
            primfunc_attrs=FUSES_WHAT_FOLLOWS,
        )
    array = constant_array(weight)
    lanes = fitting_lanes(total // groups, lanes)
    if array is not None:
        packed = constant(pack_conv_weight(array, groups, lanes))
    else:
        packed = builder.emit(
            builder.call_te(te_pack_conv_weight, weight, groups, lanes, primfunc_name_hint="pack_weight")
        )
    return builder.call_te(
        lambda x, w: direct(x, w, window, total),
        data,
        packed,
        primfunc_name_hint="conv2d",
        primfunc_attrs=FUSES_WHAT_FOLLOWS,
    )


def float32_weight(call: relax.Call, kernel_layout: str) -> npt.NDArray[Any] | None:
    """The weight of a convolution in NCHW that is a constant, where all is float32; else None."""
    data, weight = call.args
    array = constant_array(weight)
    if array is None or str(array.dtype) != "float32" or str(data.ty.dtype) != "float32":
        return None
    known = call.attrs.data_layout == "NCHW" and call.attrs.kernel_layout == kernel_layout
    return array if known else None


class Window:
    """Kernel size, strides, dilation and padding, each (height, width)."""

    def __init__(self, kernel: Any, strides: Any, dilation: Any, before: Any, after: Any) -> None:
        self.kernel = kernel
        self.strides = strides
        self.dilation = dilation
        self.before = before
        self.after = after

    @classmethod
    def of(cls, call: relax.Call) -> Window:
        """The window of a ``relax.nn.conv2d``."""
        attrs = call.attrs
        top, left, bottom, right = (int(pad) for pad in attrs.padding)
        return cls(
            kernel=(extent(call.args[1].ty.shape[2]), extent(call.args[1].ty.shape[3])),
            strides=tuple(int(stride) for stride in attrs.strides),
            dilation=tuple(int(step) for step in attrs.dilation),
            before=(top, left),
            after=(bottom, right),
        )

    def output(self, size: Any, axis: int) -> Any:
        """Output positions for an input of ``size`` along an axis."""
        reach = self.dilation[axis] * (self.kernel[axis] - 1)
        room = size + (self.before[axis] + self.after[axis] - reach - 1)
        stride = self.strides[axis]
        return room // stride + 1 if isinstance(room, int) else simplify(tirx.floordiv(room, stride) + 1)

    def is_pointwise(self) -> bool:
        """Whether every output position reads the one input position of the same place."""
        return (
            tuple(self.kernel) == (1, 1)
            and tuple(self.strides) == (1, 1)
            and not any((*self.before, *self.after))
        )


def pad_spatial(data: te.Tensor, window: Window, width: Any) -> te.Tensor:
    """A plain or blocked input with its zero padding, ``width`` columns wide."""
    batch, channels, rows, columns, *lanes = (extent(dim) for dim in data.shape)
    top, left = window.before
    return te.compute(
        (batch, channels, simplify(rows + (top + window.after[0])), width, *lanes),
        lambda n, c, y, x, *lane: tirx.if_then_else(
            tirx.all(y >= top, y < rows + top, x >= left, x < columns + left),
            data[(n, c, y - top, x - left, *lane)],
            tirx.const(0, data.dtype),
        ),
        name="pad",
    )


def direct(data: te.Tensor, weight: te.Tensor, window: Window, total: int) -> te.Tensor:
    """Direct convolution over packed weights [group, block, input channel, height, width, lane].

    The tile's positions go up to a multiple of the tile; those beyond the row are computed from clamped
    or padded columns and not written.
    """
    batch, _, rows, columns = (extent(dim) for dim in data.shape)
    groups, blocks, depth, height, width, lanes = (extent(dim) for dim in weight.shape)
    out_rows, out_columns = window.output(rows, 0), window.output(columns, 1)
    flat = window.is_pointwise() and isinstance(rows, int) and isinstance(columns, int)
    # TVM 0.27 loses elements of what follows where a tile spans rows and ends within a group's last vector.
    flat = flat and (groups == 1 or total // groups % lanes == 0)
    points = out_rows * out_columns if flat else out_columns
    tile = choose_tile(points, blocks, lanes, depth * height * width)
    tiled = ceil_div(points, tile.points) * tile.points
    exact = isinstance(points, int) and points == tiled
    if any((*window.before, *window.after)):
        reach = simplify((tiled - 1) * window.strides[1] + window.dilation[1] * (width - 1) + 1)
        data = pad_spatial(data, window, reach)
        limit = None
    else:
        limit = None if exact else columns - 1

    c = te.reduce_axis((0, depth), "c")
    i = te.reduce_axis((0, height), "i")
    j = te.reduce_axis((0, width), "j")

    def read(n: Any, g: Any, y: Any, x: Any) -> tirx.Expr:
        if flat:
            place = x if exact else tirx.min(x, points - 1)
            return data[n, g * depth + c, place // columns, place % columns]
        column = x * window.strides[1] + j * window.dilation[1]
        if limit is not None:
            column = tirx.min(column, limit)
        return data[n, g * depth + c, y * window.strides[0] + i * window.dilation[0], column]

    # An axis of one element would leave constants in the index, which TVM's region analysis refuses.
    grouped = groups > 1
    per_group = total // groups
    outer = [batch, *([groups] if grouped else []), *([] if flat else [out_rows])]

    def product(*index: Any) -> tirx.Expr:
        n, *middle, x, o = index
        g = middle[0] if grouped else 0
        y = 0 if flat else middle[-1]
        return te.sum(read(n, g, y, x) * weight[g, o // lanes, c, i, j, o % lanes], axis=[c, i, j])

    sums = te.compute(
        (*outer, tiled, blocks * lanes),
        product,
        name="conv2d",
        attrs=tile_annotations(tile, lanes, 0 if flat else None, apart=grouped and per_group % lanes != 0),
    )

    def unpack(n: Any, o: Any, y: Any, x: Any) -> tirx.Expr:
        group, channel = ([o // per_group], o % per_group) if grouped else ([], o)
        row, place = ([], y * out_columns + x) if flat else ([y], x)
        return sums[(n, *group, *row, place, channel)]

    return te.compute((batch, total, out_rows, out_columns), unpack, name="unpack")


def depthwise(data: te.Tensor, weight: te.Tensor, window: Window) -> te.Tensor:
    """One filter for each channel; vectorised along the row."""
    batch, channels, rows, columns = (extent(dim) for dim in data.shape)
    height, width = window.kernel
    if any((*window.before, *window.after)):
        data = pad_spatial(data, window, simplify(columns + (window.before[1] + window.after[1])))
    i = te.reduce_axis((0, height), "i")
    j = te.reduce_axis((0, width), "j")
    return te.compute(
        (batch, channels, window.output(rows, 0), window.output(columns, 1)),
        lambda n, c, y, x: te.sum(
            data[
                n,
                c,
                y * window.strides[0] + i * window.dilation[0],
                x * window.strides[1] + j * window.dilation[1],
            ]
            * weight[c, 0, i, j],
            axis=[i, j],
        ),
        name="depthwise_conv2d",
    )
