"""Maximum pooling of plain tensors.

Paddle's kernel takes the elements of a window in order, and the later one where a NaN cannot be compared; so
a NaN shows where it is the window's last. A constant in the padding, as in TVM 0.27, would come after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relax, te, tirx

from paddle_tvm.targets.expressions import extent, simplify

_LAYOUTS = {2: "NCHW", 3: "NCDHW"}


def legalize_max_pool(
    builder: relax.BlockBuilder,
    call: relax.Call,
    otherwise: Callable[[relax.BlockBuilder, relax.Call], relax.Expr],
) -> relax.Expr:
    """``relax.nn.max_pool2d`` or ``max_pool3d`` with padding; ``otherwise`` lowers the rest."""
    attrs = call.attrs
    rank = len(attrs.pool_size)
    padding = [int(pad) for pad in attrs.padding]
    strides = [int(stride) for stride in attrs.strides]
    if attrs.ceil_mode:
        padding[rank:] = [pad + stride - 1 for pad, stride in zip(padding[rank:], strides, strict=True)]
    if attrs.layout != _LAYOUTS[rank] or attrs.out_layout not in ("", _LAYOUTS[rank]) or not any(padding):
        return otherwise(builder, call)
    kernel = [int(size) for size in attrs.pool_size]
    dilation = [int(step) for step in attrs.dilation]

    def compute(data: te.Tensor) -> te.Tensor:
        return _max_pool(data, kernel, strides, dilation, padding[:rank], padding[rank:])

    return builder.call_te(compute, call.args[0], primfunc_name_hint=call.op.name.removeprefix("relax.nn."))


def _max_pool(
    data: te.Tensor,
    kernel: list[int],
    strides: list[int],
    dilation: list[int],
    before: list[int],
    after: list[int],
) -> te.Tensor:
    """Padding repeats the edge, which changes nothing in a window that reaches into the data."""
    sizes = [extent(dim) for dim in data.shape[2:]]
    reach = [step * (size - 1) for step, size in zip(dilation, kernel, strict=True)]
    whole = [size + left + right for size, left, right in zip(sizes, before, after, strict=True)]

    def nearest(n: Any, c: Any, *at: Any) -> Any:
        places = [
            tirx.max(tirx.min(place - left, size - 1), 0)
            for place, left, size in zip(at, before, sizes, strict=True)
        ]
        return data(n, c, *places)

    padded = te.compute((*data.shape[:2], *whole), nearest, name="pad_edge")
    # TVM 0.27's FuseTIR takes (h + 2) - 2 and h for different sizes, so leave no such form.
    output = [
        simplify((size - far - 1) // stride + 1)
        for size, far, stride in zip(whole, reach, strides, strict=True)
    ]
    window = [te.reduce_axis((0, size), f"k{axis}") for axis, size in enumerate(kernel)]

    def largest(n: Any, c: Any, *at: Any) -> Any:
        places = [
            place * stride + k * step
            for place, stride, k, step in zip(at, strides, window, dilation, strict=True)
        ]
        return te.max(padded(n, c, *places), axis=window)

    pooled = te.compute((*data.shape[:2], *output), largest, name="max_pool")
    if all(max(left, right) <= far for left, right, far in zip(before, after, reach, strict=True)):
        return pooled

    def inside(n: Any, c: Any, *at: Any) -> Any:
        starts = [place * stride - left for place, stride, left in zip(at, strides, before, strict=True)]
        within = [
            tirx.all(start < size, start + far >= 0)
            for start, size, far in zip(starts, sizes, reach, strict=True)
        ]
        return tirx.Select(tirx.all(*within), pooled(n, c, *at), tirx.min_value(data.dtype))

    return te.compute(pooled.shape, inside, name="max_pool_inside")
