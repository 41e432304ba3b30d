"""Lowers conv2d on blocked activations: direct, depthwise, or by Winograd's algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy.typing as npt
from tvm import relax

from paddle_tvm.targets.x86 import winograd
from paddle_tvm.targets.x86.conv2d import FUSES_WHAT_FOLLOWS, Window, float32_weight
from paddle_tvm.targets.x86.depthwise import depthwise_blocked
from paddle_tvm.targets.x86.depthwise import pack_weight as pack_filters
from paddle_tvm.targets.x86.direct import direct, direct_tile, merge_groups, pack_weight
from paddle_tvm.targets.x86.layout.blocked import Blocked
from paddle_tvm.targets.x86.packing import constant, extent
from paddle_tvm.targets.x86.tile import FEW_CHANNELS

if TYPE_CHECKING:
    from paddle_tvm.targets.x86.layout.carry import Carrier

# An input of so few channels, an image, is read as it is: as a block most of its lanes would be empty.
_IMAGE_CHANNELS = 4


def conv2d_blocked(carrier: Carrier, call: relax.Call) -> Blocked | relax.Expr | None:
    """A ``relax.nn.conv2d`` on blocked activations, None where it has no such form.

    The result is blocked, or plain where it has few channels.
    """
    attrs = call.attrs
    data, weight = call.args
    array = float32_weight(call, "OIHW")
    if array is None:
        return None
    window = Window.of(call)
    depth, total, groups = extent(data.ty.shape[1]), extent(weight.ty.shape[0]), int(attrs.groups)
    if groups == depth == total > 1:
        return _depthwise(carrier, data, array, window)
    if groups > 1:
        return _grouped(carrier, data, array, window, groups)
    lanes = carrier.lanes_of(total)
    image = carrier.find(data) is None and depth <= _IMAGE_CHANNELS
    if image and total <= FEW_CHANNELS:
        return None
    if image:
        return _direct(carrier, carrier.plain(data), array, window, lanes)
    source = carrier.blocked(data)
    batch, _, rows, columns = source.shape
    outputs = (window.output(rows, 0), window.output(columns, 1))
    if total > FEW_CHANNELS and (m := winograd.choose(window, depth, total, *outputs, lanes, batch)):
        return _winograd(carrier, source, array, window, lanes, m)
    return _direct(carrier, source.expr, array, window, lanes)


def _winograd(
    carrier: Carrier, source: Blocked, array: npt.NDArray[Any], window: Window, lanes: int, m: int
) -> Blocked:
    total = array.shape[0]
    made = carrier.builder.call_te(
        lambda x, w: winograd.winograd(x, w, window, source.channels, total, m),
        source.expr,
        constant(winograd.transform_weight(array, m, source.lanes, lanes)),
        primfunc_name_hint="winograd_conv2d",
        primfunc_attrs=FUSES_WHAT_FOLLOWS,
    )
    return Blocked(carrier.builder.emit(made), total, lanes)


def _depthwise(carrier: Carrier, data: relax.Expr, array: npt.NDArray[Any], window: Window) -> Blocked:
    source = carrier.blocked(data)
    made = carrier.builder.call_te(
        lambda x, w: depthwise_blocked(x, w, window),
        source.expr,
        constant(pack_filters(array, source.lanes)),
        primfunc_name_hint="depthwise_conv2d",
        primfunc_attrs=FUSES_WHAT_FOLLOWS,
    )
    return Blocked(carrier.builder.emit(made), source.channels, source.lanes)


def _grouped(
    carrier: Carrier, data: relax.Expr, array: npt.NDArray[Any], window: Window, groups: int
) -> Blocked | relax.Expr | None:
    total = array.shape[0]
    lanes = carrier.lanes_of(total)
    merged = merge_groups(array, groups, lanes)
    if merged is None:
        return None
    return _direct(carrier, carrier.blocked(data).expr, merged[0], window, lanes, merged[1])


def _direct(
    carrier: Carrier,
    source: relax.Expr,
    array: npt.NDArray[Any],
    window: Window,
    lanes: int,
    groups: int = 1,
) -> Blocked | relax.Expr:
    total = array.shape[0]
    plain = total if total <= FEW_CHANNELS else 0
    tile = direct_tile(source, window, total, lanes, groups)
    width = extent(source.ty.shape[4]) if len(source.ty.shape) == 5 else 1
    made = carrier.builder.call_te(
        lambda x, w: direct(x, w, window, tile, groups, plain),
        source,
        constant(pack_weight(array, width, tile.blocks, lanes)),
        primfunc_name_hint="conv2d",
        primfunc_attrs=FUSES_WHAT_FOLLOWS,
    )
    emitted = carrier.builder.emit(made)
    return emitted if plain else Blocked(emitted, total, lanes)
