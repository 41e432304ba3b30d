"""Lowers conv2d on blocked activations: direct, depthwise, or by Winograd's algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy.typing as npt
from tvm import relax

from paddle_tvm.targets.expressions import constant, extent
from paddle_tvm.targets.x86.amx_workloads import AmxConv2d
from paddle_tvm.targets.x86.conv2d import Window, float32_weight
from paddle_tvm.targets.x86.conv2d_workload import Conv2d
from paddle_tvm.targets.x86.depthwise import depthwise_blocked
from paddle_tvm.targets.x86.depthwise import pack_weight as pack_filters
from paddle_tvm.targets.x86.depthwise_workload import Depthwise
from paddle_tvm.targets.x86.direct import merge_groups
from paddle_tvm.targets.x86.layout.blocked import Blocked
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
    image = carrier.find(data) is None and depth <= _IMAGE_CHANNELS
    if image and total <= FEW_CHANNELS:
        return None
    if image:
        return _dense(carrier, carrier.plain(data), array, window)
    return _dense(carrier, carrier.blocked(data).expr, array, window)


def _depthwise(carrier: Carrier, data: relax.Expr, array: npt.NDArray[Any], window: Window) -> Blocked:
    source = carrier.blocked(data)
    workload = Depthwise(
        *_known_sizes(source.expr),
        channels=source.channels,
        kernel=window.kernel,
        strides=window.strides,
        dilation=window.dilation,
        padding=(*window.before, *window.after),
        lanes=source.lanes,
    )
    notes = workload.notes(carrier.choices.of(workload).config)
    made = carrier.builder.call_te(
        lambda x, w: depthwise_blocked(x, w, window, notes),
        source.expr,
        constant(pack_filters(array, source.lanes)),
        primfunc_name_hint="depthwise_conv2d",
        primfunc_attrs=carrier.graph_choices.fusion_attributes(workload),
    )
    return Blocked(carrier.builder.emit(made), source.channels, source.lanes)


def _grouped(
    carrier: Carrier, data: relax.Expr, array: npt.NDArray[Any], window: Window, groups: int
) -> Blocked | relax.Expr | None:
    merged = merge_groups(array, groups, carrier.lanes_of(array.shape[0]))
    if merged is None:
        return None
    return _dense(carrier, carrier.blocked(data).expr, merged[0], window, merged[1])


def _dense(
    carrier: Carrier, source: relax.Expr, array: npt.NDArray[Any], window: Window, groups: int = 1
) -> Blocked | relax.Expr:
    """A convolution, grouped or not, in the form that its workload gets."""
    _, _, _, _, *width = (extent(dim) for dim in source.ty.shape)
    total = array.shape[0]
    lanes = carrier.lanes_of(total)
    workload = Conv2d(
        *_known_sizes(source),
        channels=array.shape[1] * groups,
        outputs=total,
        kernel=window.kernel,
        strides=window.strides,
        dilation=window.dilation,
        padding=(*window.before, *window.after),
        groups=groups,
        lanes_in=width[0] if width else 1,
        lanes=lanes,
    )
    if carrier.amx:
        workload = AmxConv2d.of_conv(workload, array) or workload
    config = carrier.choices.of(workload).config
    made = carrier.builder.call_te(
        workload.compute(config),
        source,
        constant(workload.pack(config, array)),
        primfunc_name_hint="winograd_conv2d" if config.get("winograd") else "conv2d",
        primfunc_attrs=carrier.graph_choices.fusion_attributes(workload),
    )
    emitted = carrier.builder.emit(made)
    return emitted if total <= FEW_CHANNELS else Blocked(emitted, total, lanes)


def _known_sizes(source: relax.Expr) -> tuple[int | None, int | None, int | None]:
    """Batch, rows and columns of a blocked or plain tensor; None where not known."""
    sizes = [extent(dim) for dim in source.ty.shape]
    batch, rows, columns = (size if isinstance(size, int) else None for size in (sizes[0], *sizes[2:4]))
    return batch, rows, columns
