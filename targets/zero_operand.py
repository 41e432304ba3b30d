"""Products with, and quotients of, a constant zero."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from tvm import ir, relax, te, tirx

_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "relax.multiply": operator.mul,
    "relax.divide": operator.truediv,
}


def legalize_zero_operand(
    builder: relax.BlockBuilder,
    call: relax.Call,
    otherwise: Callable[[relax.BlockBuilder, relax.Call], relax.Expr],
) -> relax.Expr:
    """``relax.multiply`` or ``relax.divide`` of floats and a constant 0; ``otherwise`` lowers the rest.

    TVM 0.27 takes products and quotients of 0 for 0, whatever the other operand is, and refuses to divide by
    it. The result is NaN or infinite where it is so by IEEE 754.
    """
    zeros = [_float_zero(operand) for operand in call.args]
    if not any(zeros) or all(zeros):
        return otherwise(builder, call)
    operation = _OPERATIONS[call.op.name]

    def compute(data: te.Tensor) -> te.Tensor:
        def element(*index: tirx.Var) -> tirx.Expr:
            # The same bits, which hide the number from TVM and not from LLVM.
            zero = tirx.call_intrin(data.dtype, "tirx.reinterpret", tirx.const(0.0, data.dtype))
            return operation(zero, data(*index)) if zeros[0] else operation(data(*index), zero)

        return te.compute(data.shape, element, name="zero_operand")

    return builder.call_te(compute, call.args[0 if zeros[1] else 1], primfunc_name_hint="zero_operand")


def _float_zero(operand: relax.Expr) -> bool:
    if not isinstance(operand, ir.Constant) or operand.ty.ndim != 0:
        return False
    value = operand.value.numpy()
    return bool(value.dtype.kind == "f" and value == 0)
