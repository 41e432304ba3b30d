"""Building blocks of operators that compute each element from the elements at the same place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from tvm import ir, relax, te, tirx

from paddle_tvm.compiler.frontends.paddle.context import OpContext, TensorValue
from paddle_tvm.targets.meaning import Operand, means

UnaryBuilder = Callable[[relax.Expr], relax.Expr]
BinaryBuilder = Callable[[relax.Expr, relax.Expr], relax.Expr]


def is_float(dtype: str) -> bool:
    """Whether a dtype name is a floating point type."""
    return dtype.startswith(("float", "bfloat"))


def dtype_of(expr: relax.Expr) -> str:
    """The dtype name of an emitted expression."""
    return str(expr.ty.dtype)


def scalar(value: float, dtype: str) -> relax.Expr:
    """A 0-d constant, which TVM puts into the kernel as an immediate."""
    # Without the dtype, relax.const makes int32 of int64 (0.27).
    return relax.const(np.array(value, dtype=dtype), dtype)


def float_input(ctx: OpContext, index: int = 0) -> relax.Expr:
    """An operand of a function that Paddle computes in float32 where it is given integers.

    The program types the result as the operand; the kernel returns float32 all the same.
    """
    expr = ctx.input(index)
    return expr if is_float(dtype_of(expr)) else ctx.emit(relax.op.astype(expr, "float32"))


def operands(ctx: OpContext, *indexes: int) -> list[relax.Expr]:
    """Operands that fit each other; a constant of one element becomes 0-d, where the rank stays the same."""
    values = [ctx.value(index) for index in indexes]
    ranks = [len(value.shape) for value in values]
    tensors = []
    for position, value in enumerate(values):
        others = ranks[:position] + ranks[position + 1 :]
        known = value.array
        if _is_one_number(value) and known is not None and others and max(others) >= ranks[position]:
            ranks[position] = 0
            tensors.append(relax.const(known.reshape(()), value.dtype))
        else:
            tensors.append(value.expr(ctx.builder))
    return ctx.broadcast(tensors)


def _is_one_number(value: TensorValue) -> bool:
    return value.array is not None and value.array.dtype != np.object_ and value.array.size == 1


def pointwise(
    ctx: OpContext,
    function: Callable[..., tirx.Expr],
    *tensors: relax.Expr,
    name: str,
    onnx: str | None = None,
    **attributes: float,
) -> relax.Expr:
    """Apply a function of elements to tensors that fit each other.

    ``onnx`` is the operator of ONNX that it is, if it is one, and ``attributes`` are that operator's.
    """
    constants = [_immediate(tensor) for tensor in tensors]
    if all(constant is not None for constant in constants):
        constants[0] = None
    rest = [tensor for tensor, constant in zip(tensors, constants, strict=True) if constant is None]

    def compute(*parts: te.Tensor) -> te.Tensor:
        shape = _broadcast_shape(parts)

        def element(*index: tirx.Var) -> tirx.Expr:
            own = iter(parts)
            return function(
                *[_read(next(own), shape, index) if value is None else value for value in constants]
            )

        return te.compute(shape, element, name=name)

    meaning = None
    if onnx is not None:
        numbers = iter(range(len(rest)))
        meaning = means(
            onnx,
            *[
                next(numbers) if value is None else Operand(dtype=dtype_of(tensor), value=value.value)
                for tensor, value in zip(tensors, constants, strict=True)
            ],
            **attributes,
        )
    return ctx.emit_te(compute, *rest, name=name, attributes=meaning)


def _immediate(tensor: relax.Expr) -> tirx.Expr | None:
    if not isinstance(tensor, ir.Constant) or tensor.ty.ndim != 0:
        return None
    return tirx.const(tensor.value.numpy().item(), dtype_of(tensor))


def _is_one(dim: Any) -> bool:
    return dim == 1 if isinstance(dim, int) else isinstance(dim, tirx.IntImm) and dim.value == 1


def _broadcast_shape(parts: Sequence[te.Tensor]) -> list[Any]:
    rank = max(len(part.shape) for part in parts)
    shape: list[Any] = [1] * rank
    for part in parts:
        for axis, dim in enumerate(part.shape, rank - len(part.shape)):
            if not _is_one(dim):
                shape[axis] = dim
    return shape


def _read(part: te.Tensor, shape: Sequence[Any], index: Sequence[tirx.Var]) -> tirx.Expr:
    offset = len(shape) - len(part.shape)
    # Not 0 where the result too has one element: targets look for what reads only at its own place.
    return part(
        *[
            0 if _is_one(dim) and not _is_one(shape[axis]) else index[axis]
            for axis, dim in enumerate(part.shape, offset)
        ]
    )
