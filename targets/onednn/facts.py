"""What a call of Relax, or a step of a subgraph, says of its operands while compiling."""

from __future__ import annotations

from typing import Any

from tvm import ir, relax, tirx

from paddle_tvm.targets.offload import Step
from paddle_tvm.targets.onednn.nodes import Array, Operand


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


def operand(step: Step, argument: relax.Expr) -> Operand:
    """What an argument of a call in a step is, for the subgraph."""
    if isinstance(argument, ir.Constant):
        array: Array = argument.value.numpy()
        return array
    return step.inputs[list(step.function.params).index(argument)]


def only_call(step: Step, operator: str) -> relax.Call:
    """The one call of an operator in a step."""
    (call,) = step.calls(operator)
    return call


def ints(values: Any) -> tuple[int, ...]:
    """The numbers of a list of TVM's."""
    return tuple(int(value) for value in values)
