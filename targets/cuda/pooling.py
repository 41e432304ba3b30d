"""Maximum pooling in any layout.

Paddle's kernel takes the elements of a window in order, and the later one where a NaN cannot be compared; so
padding repeats the edge, which changes nothing, where a constant would come after a NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import relax, te, tirx

from paddle_tvm.targets.expressions import extent, simplify


def legalize_max_pool(
    builder: relax.BlockBuilder,
    call: relax.Call,
    otherwise: Callable[[relax.BlockBuilder, relax.Call], relax.Expr],
) -> relax.Expr:
    """``relax.nn.max_pool1d`` to ``max_pool3d`` with padding; ``otherwise`` lowers the rest."""
    attrs = call.attrs
    layout = str(attrs.layout)
    rank = len(attrs.pool_size)
    padding = [int(pad) for pad in attrs.padding]
    strides = [int(stride) for stride in attrs.strides]
    if attrs.ceil_mode:
        padding[rank:] = [pad + stride - 1 for pad, stride in zip(padding[rank:], strides, strict=True)]
    if str(attrs.out_layout) not in ("", layout) or not any(padding):
        return otherwise(builder, call)
    kernel = [int(size) for size in attrs.pool_size]
    dilation = [int(step) for step in attrs.dilation]
    return builder.call_te(
        lambda data: _max_pool(data, layout, kernel, strides, dilation, padding[:rank], padding[rank:]),
        call.args[0],
        primfunc_name_hint=call.op.name.removeprefix("relax.nn."),
    )


def _max_pool(
    data: te.Tensor,
    layout: str,
    kernel: list[int],
    strides: list[int],
    dilation: list[int],
    before: list[int],
    after: list[int],
) -> te.Tensor:
    axes = [axis for axis, letter in enumerate(layout) if letter not in "NC"]
    sizes = [extent(data.shape[axis]) for axis in axes]
    reach = [step * (size - 1) for step, size in zip(dilation, kernel, strict=True)]
    shape = [extent(dim) for dim in data.shape]
    for number, axis in enumerate(axes):
        room = sizes[number] + (before[number] + after[number] - reach[number] - 1)
        # TVM 0.27's FuseTIR takes (h + 2) - 2 and h for different sizes, so leave no such form.
        shape[axis] = simplify(room // strides[number] + 1)
    window = [te.reduce_axis((0, size), f"k{number}") for number, size in enumerate(kernel)]

    def starts(index: tuple[Any, ...]) -> list[Any]:
        return [index[axis] * strides[number] - before[number] for number, axis in enumerate(axes)]

    def largest(*index: Any) -> Any:
        place = list(index)
        for number, (axis, start) in enumerate(zip(axes, starts(index), strict=True)):
            at = start + window[number] * dilation[number]
            place[axis] = tirx.max(tirx.min(at, sizes[number] - 1), 0)
        return te.max(data[tuple(place)], axis=window)

    pooled = te.compute(tuple(shape), largest, name="max_pool")
    if all(max(left, right) <= far for left, right, far in zip(before, after, reach, strict=True)):
        return pooled

    def inside(*index: Any) -> Any:
        within = [
            tirx.all(start < size, start + far >= 0)
            for start, size, far in zip(starts(index), sizes, reach, strict=True)
        ]
        return tirx.Select(tirx.all(*within), pooled(*index), tirx.min_value(data.dtype))

    return te.compute(pooled.shape, inside, name="max_pool_inside")
