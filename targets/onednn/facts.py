"""What a call of Relax says of its operands, as far as it is known while compiling."""

from __future__ import annotations

from typing import Any

from tvm import ir, relax, tirx


def shape_of(expr: relax.Expr) -> tuple[int, ...] | None:
    """The sizes of a tensor; None where one is not known."""
    shape = getattr(expr.ty, "shape", None)
    if shape is None or not all(isinstance(dim, tirx.IntImm) for dim in shape):
        return None
    return tuple(int(dim) for dim in shape)


def known_shape(expr: relax.Expr) -> tuple[int, ...]:
    """The sizes of a tensor of a match that was taken."""
    shape = shape_of(expr)
    assert shape is not None
    return shape


def scalar(expr: relax.Expr) -> float | None:
    """The value of a constant of one element; None for everything else."""
    if isinstance(expr, ir.Constant) and expr.value.numpy().size == 1:
        return float(expr.value.numpy().item())
    return None


def larger_side(call: relax.Call) -> int | None:
    """Which of two operands has the shape of the result; None if neither has."""
    result = known_shape(call)
    sides = (side for side in (0, 1) if scalar(call.args[side]) is None)
    return next((side for side in sides if known_shape(call.args[side]) == result), None)


def slice_of(call: relax.Call) -> tuple[int, ...] | None:
    """Where a slice without steps begins, in each dimension; None where that is not known."""
    axes, begins, _, *strides = ([_number(value) for value in argument.fields] for argument in call.args[1:])
    if strides and any(stride != 1 for stride in strides[0]):
        return None
    if None in axes or None in begins:
        return None
    sizes = known_shape(call.args[0])
    begin = [0] * len(sizes)
    for axis, start in zip(axes, begins, strict=True):
        size = sizes[axis]
        begin[axis] = max(0, min(size, start + size if start < 0 else start))
    return tuple(begin)


def _number(value: Any) -> Any:
    value = getattr(value, "value", value)
    return int(value) if isinstance(value, (int, tirx.IntImm)) else None
