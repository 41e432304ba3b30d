"""Layer normalization in two sums, of which the second knows the mean."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from tvm import relax, te, tirx

from paddle_tvm.targets.expressions import extent

# TVM's fusion takes what comes after a function of this kind into it: "out elementwise fusable".
_FUSES_WHAT_FOLLOWS = {"op_pattern": 4}


def legalize_layer_norm(
    builder: relax.BlockBuilder,
    call: relax.Call,
    otherwise: Callable[[relax.BlockBuilder, relax.Call], relax.Expr],
) -> relax.Expr:
    """A ``relax.nn.layer_norm`` over the last axes; ``otherwise`` lowers every other one.

    TVM 0.27 subtracts the square of the mean from the mean of squares, which leaves nothing of small
    differences between large numbers.
    """
    data, scale, shift = call.args
    rank = len(data.ty.shape)
    axes = [int(axis) % rank for axis in call.attrs.axes]
    count = len(axes)
    if axes != list(range(rank - count, rank)):
        return otherwise(builder, call)
    epsilon = float(call.attrs.epsilon)
    scales, shifts = bool(call.attrs.scale), bool(call.attrs.center)

    def compute(x: te.Tensor, gamma: te.Tensor, beta: te.Tensor) -> te.Tensor:
        return _layer_norm(x, gamma if scales else None, beta if shifts else None, count, epsilon)

    return builder.call_te(
        compute,
        data,
        scale,
        shift,
        primfunc_name_hint="layer_norm",
        primfunc_attrs=_FUSES_WHAT_FOLLOWS,
    )


def _layer_norm(
    x: te.Tensor, gamma: te.Tensor | None, beta: te.Tensor | None, count: int, epsilon: float
) -> te.Tensor:
    shape = [extent(dim) for dim in x.shape]
    rows, sizes = shape[:-count], shape[-count:]
    length = prod(sizes)
    factor = (
        tirx.const(1.0, "float32") / tirx.Cast("float32", length)
        if not isinstance(length, int)
        else (tirx.const(1.0 / length, "float32"))
    )

    def element(*index: Any) -> Any:
        return x[index].astype("float32")

    axes = [te.reduce_axis((0, size), f"k{number}") for number, size in enumerate(sizes)]
    total = te.compute(tuple(rows), lambda *row: te.sum(element(*row, *axes), axis=axes), name="total")

    def squared(*index: Any) -> Any:
        distance = element(*index) - total(*index[: len(rows)]) * factor
        return distance * distance

    others = [te.reduce_axis((0, size), f"j{number}") for number, size in enumerate(sizes)]
    spread = te.compute(tuple(rows), lambda *row: te.sum(squared(*row, *others), axis=others), name="spread")

    def normal(*index: Any) -> Any:
        row, place = index[: len(rows)], index[len(rows) :]
        deviation = tirx.sqrt(spread(*row) * factor + tirx.const(epsilon, "float32"))
        value = (element(*index) - total(*row) * factor) / deviation
        if gamma is not None:
            value = value * gamma[place].astype("float32")
        if beta is not None:
            value = value + beta[place].astype("float32")
        return value.astype(x.dtype)

    return te.compute(tuple(shape), normal, name="layer_norm")
