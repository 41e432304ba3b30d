"""Lowers conv2d_transpose to a pointwise convolution and a sum over what overlaps."""

from __future__ import annotations

from typing import Any

import numpy as np
from tvm import relax, te, tirx

from paddle_tvm.targets.expressions import ceil_div, constant, constant_array, extent, simplify
from paddle_tvm.targets.x86.conv2d import FUSES_WHAT_FOLLOWS, Window, direct
from paddle_tvm.targets.x86.packing import pack_conv_weight, te_pack_conv_weight


def legalize_conv2d_transpose(builder: relax.BlockBuilder, call: relax.Call, lanes: int) -> relax.Expr:
    """A ``relax.nn.conv2d_transpose`` in NCHW / IOHW.

    Every input position is multiplied with the whole kernel (a 1x1 convolution to
    ``channels * height * width`` outputs), then each output position sums the products that fall on it:
    for the common kernel equal to the stride that is exactly one.
    """
    attrs = call.attrs
    if attrs.data_layout != "NCHW" or attrs.kernel_layout != "IOHW":
        raise ValueError(f"conv2d_transpose in {attrs.data_layout}/{attrs.kernel_layout}: NCHW/IOHW expected")
    data, weight = call.args
    groups = int(attrs.groups)
    channels, per_group, height, width = (extent(dim) for dim in weight.ty.shape)
    outputs = groups * per_group * height * width
    array = constant_array(weight)
    if array is not None:
        matrices = array.reshape(groups, channels // groups, per_group * height * width).transpose(0, 2, 1)
        pointwise = np.ascontiguousarray(matrices).reshape(outputs, channels // groups, 1, 1)
        packed = constant(pack_conv_weight(pointwise, groups, lanes))
    else:
        packed = builder.emit(
            builder.call_te(_te_turn, weight, groups, lanes, primfunc_name_hint="pack_weight")
        )

    def compute(x: te.Tensor, w: te.Tensor) -> te.Tensor:
        products = direct(x, w, POINTWISE, outputs)
        return gather_products(lambda *index: products[index], x, attrs, (groups * per_group, height, width))

    return builder.call_te(
        compute,
        data,
        packed,
        primfunc_name_hint="conv2d_transpose",
        primfunc_attrs=FUSES_WHAT_FOLLOWS,
    )


def _te_turn(weight: te.Tensor, groups: int, lanes: int) -> te.Tensor:
    channels, per_group, height, width = (extent(dim) for dim in weight.shape)
    inputs, kernel = channels // groups, per_group * height * width
    turned = te.compute(
        (groups * kernel, inputs, 1, 1),
        lambda o, c, _y, _x: weight[
            (o // kernel) * inputs + c,
            (o % kernel) // (height * width),
            (o % (height * width)) // width,
            o % width,
        ],
        name="turn_weight",
    )
    return te_pack_conv_weight(turned, groups, lanes)


POINTWISE = Window((1, 1), (1, 1), (1, 1), (0, 0), (0, 0))
"""The window of a 1x1 convolution."""


def gather_products(read: Any, data: te.Tensor, attrs: Any, kernel: tuple[int, int, int]) -> te.Tensor:
    """The plain result from the products of every input position with the whole kernel.

    ``read`` gives a product by (batch, channel, row, column), where channels are those of the result times
    the elements of the kernel; ``kernel`` is (channels, height, width); ``data`` is the input, plain or
    blocked.
    """
    channels, height, width = kernel
    batch, _, rows, columns, *_ = (extent(dim) for dim in data.shape)
    strides = [int(stride) for stride in attrs.strides]
    dilation = [int(step) for step in attrs.dilation]
    top, left, bottom, right = (int(pad) for pad in attrs.padding)
    extra = [int(pad) for pad in attrs.output_padding]
    # TVM 0.27's FuseTIR takes (h - 1) + 2 and h + 1 for different sizes, so leave no such form.
    reach = dilation[0] * (height - 1) + 1 + extra[0] - top - bottom
    out_rows = simplify((rows - 1) * strides[0] + reach)
    reach = dilation[1] * (width - 1) + 1 + extra[1] - left - right
    out_columns = simplify((columns - 1) * strides[1] + reach)

    # Without dilation only every stride-th row of the kernel can fall on a given output row.
    dense = dilation == [1, 1]
    taps = [ceil_div(height, strides[0]), ceil_div(width, strides[1])] if dense else [height, width]
    i = te.reduce_axis((0, taps[0]), "i")
    j = te.reduce_axis((0, taps[1]), "j")

    def place(output: Any, pad: int, tap: Any, axis: int, size: int, limit: Any) -> tuple[Any, Any, Any]:
        """Kernel index, input index, and whether both are inside, for one output index and one tap."""
        shifted = output + pad
        if dense:
            index = shifted % strides[axis] + tap * strides[axis]
            source = shifted // strides[axis] - tap
            return index, source, tirx.all(index < size, source >= 0, source < limit)
        distance = shifted - tap * dilation[axis]
        source = tirx.floordiv(distance, strides[axis])
        inside = tirx.all(tirx.floormod(distance, strides[axis]) == 0, source >= 0, source < limit)
        return tap, source, inside

    def gather(n: Any, o: Any, y: Any, x: Any) -> tirx.Expr:
        ky, sy, inside_y = place(y, top, i, 0, height, rows)
        kx, sx, inside_x = place(x, left, j, 1, width, columns)
        value = tirx.if_then_else(
            tirx.all(inside_y, inside_x),
            read(n, (o * height + ky) * width + kx, sy, sx),
            tirx.const(0, data.dtype),
        )
        return te.sum(value, axis=[i, j])

    return te.compute((batch, channels, out_rows, out_columns), gather, name="conv2d_transpose")
