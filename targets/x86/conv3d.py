"""Lowers conv3d to register-tiled kernels: as conv2d, with rows and columns of each depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from tvm import relax, te, tirx

from paddle_tvm.targets.expressions import ceil_div, constant, constant_array, extent, simplify
from paddle_tvm.targets.x86.conv2d import FUSES_WHAT_FOLLOWS, Window
from paddle_tvm.targets.x86.packing import pack_conv_weight, te_pack_conv_weight
from paddle_tvm.targets.x86.tile import choose_tile, fitting_lanes, tile_annotations


def legalize_conv3d(builder: relax.BlockBuilder, call: relax.Call, lanes: int) -> relax.Expr:
    """A ``relax.nn.conv3d`` in NCDHW / OIDHW as one fusable function."""
    attrs = call.attrs
    if attrs.data_layout != "NCDHW" or attrs.kernel_layout != "OIDHW":
        raise ValueError(f"conv3d in {attrs.data_layout}/{attrs.kernel_layout}: NCDHW/OIDHW expected")
    data, weight = call.args
    groups = int(attrs.groups)
    total, _, *kernel = (extent(dim) for dim in weight.ty.shape)
    padding = [int(pad) for pad in attrs.padding]
    window = Window(
        kernel=tuple(kernel),
        strides=tuple(int(stride) for stride in attrs.strides),
        dilation=tuple(int(step) for step in attrs.dilation),
        before=tuple(padding[:3]),
        after=tuple(padding[3:]),
    )
    lanes = fitting_lanes(total // groups, lanes)
    array = constant_array(weight)
    if array is not None:
        packed = constant(pack_conv_weight(_planes(array), groups, lanes))
    else:
        packed = builder.emit(
            builder.call_te(_te_pack, weight, groups, lanes, primfunc_name_hint="pack_weight")
        )
    return builder.call_te(
        lambda x, w: _direct(x, w, window, total),
        data,
        packed,
        primfunc_name_hint="conv3d",
        primfunc_attrs=FUSES_WHAT_FOLLOWS,
    )


def _planes(weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """OIDHW as OIHW: each depth of the kernel is an input channel of its own."""
    outputs, channels, depth, height, width = weight.shape
    return np.ascontiguousarray(weight).reshape(outputs, channels * depth, height, width)


def _te_pack(weight: te.Tensor, groups: int, lanes: int) -> te.Tensor:
    outputs, channels, depth, height, width = (extent(dim) for dim in weight.shape)
    planes = te.compute(
        (outputs, channels * depth, height, width),
        lambda o, c, y, x: weight[o, c // depth, c % depth, y, x],
        name="planes",
    )
    return te_pack_conv_weight(planes, groups, lanes)


def _pad(data: te.Tensor, window: Window, width: Any) -> te.Tensor:
    """The input with its zero padding, ``width`` columns wide."""
    batch, channels, *sizes = (extent(dim) for dim in data.shape)
    shape = [
        simplify(size + (before + after))
        for size, before, after in zip(sizes, window.before, window.after, strict=True)
    ]

    def padded(n: Any, c: Any, *place: Any) -> tirx.Expr:
        source = [at - before for at, before in zip(place, window.before, strict=True)]
        inside = [
            test
            for at, size, before in zip(place, sizes, window.before, strict=True)
            for test in (at >= before, at < size + before)
        ]
        return tirx.if_then_else(tirx.all(*inside), data[(n, c, *source)], tirx.const(0, data.dtype))

    return te.compute((batch, channels, *shape[:2], width), padded, name="pad")


def _direct(data: te.Tensor, weight: te.Tensor, window: Window, total: int) -> te.Tensor:
    """Direct convolution over packed weights [group, block, channel and depth, height, width, lane]."""
    batch, _, *sizes = (extent(dim) for dim in data.shape)
    groups, blocks, planes, height, width, lanes = (extent(dim) for dim in weight.shape)
    taps = window.kernel[0]
    channels = planes // taps
    out_depth, out_rows, points = (window.output(size, axis) for axis, size in enumerate(sizes))
    tile = choose_tile(points, blocks, lanes, planes * height * width)
    tiled = ceil_div(points, tile.points) * tile.points
    exact = isinstance(points, int) and points == tiled
    limit = None if exact else sizes[2] - 1
    if any((*window.before, *window.after)):
        reach = simplify((tiled - 1) * window.strides[2] + window.dilation[2] * (width - 1) + 1)
        data, limit = _pad(data, window, reach), None

    c = te.reduce_axis((0, channels), "c")
    t = te.reduce_axis((0, taps), "t")
    i = te.reduce_axis((0, height), "i")
    j = te.reduce_axis((0, width), "j")

    def product(*index: Any) -> tirx.Expr:
        n, *group, z, y, x, o = index
        g = group[0] if group else 0
        depth, row, column = (
            at * stride + tap * step
            for at, stride, tap, step in zip(
                (z, y, x), window.strides, (t, i, j), window.dilation, strict=True
            )
        )
        if limit is not None:
            column = tirx.min(column, limit)
        value = data[n, g * channels + c, depth, row, column]
        return te.sum(value * weight[g, o // lanes, c * taps + t, i, j, o % lanes], axis=[c, t, i, j])

    # An axis of one element would leave constants in the index, which TVM's region analysis refuses.
    grouped = groups > 1
    per_group = total // groups
    sums = te.compute(
        (batch, *([groups] if grouped else []), out_depth, out_rows, tiled, blocks * lanes),
        product,
        name="conv3d",
        attrs=tile_annotations(tile, lanes, None, apart=grouped and per_group % lanes != 0),
    )

    def unpack(n: Any, o: Any, z: Any, y: Any, x: Any) -> tirx.Expr:
        group, channel = ([o // per_group], o % per_group) if grouped else ([], o)
        return sums[(n, *group, z, y, x, channel)]

    return te.compute((batch, total, out_depth, out_rows, points), unpack, name="unpack")
