"""Sizes that are numbers or TIR expressions, and calls and constants of a graph."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from tvm import ir, relax, tirx
from tvm.sym import Analyzer


def ceil_div(value: Any, divisor: int) -> Any:
    """Rounded up, for ints and TIR expressions."""
    if isinstance(value, int):
        return -(-value // divisor)
    return simplify(tirx.floordiv(value + (divisor - 1), divisor))


def simplify(dim: Any) -> Any:
    """A dimension in its simplest form: what TVM spends on long ones grows with every later pass."""
    return dim if isinstance(dim, int) else extent(Analyzer().simplify(dim))


def extent(value: Any) -> Any:
    """An int where a dimension is constant."""
    return int(value.value) if isinstance(value, tirx.IntImm) else value


def is_call(value: Any, *names: str) -> bool:
    """Whether a Relax expression is a call of one of some operators."""
    return isinstance(value, relax.Call) and isinstance(value.op, ir.Op) and value.op.name in names


def constant_array(expr: relax.Expr) -> npt.NDArray[Any] | None:
    """The value of a Relax constant, None for anything else."""
    return expr.value.numpy() if isinstance(expr, ir.Constant) else None


def constant(array: npt.NDArray[Any]) -> relax.Expr:
    """An array as a Relax constant of its own dtype: left alone, TVM 0.27 narrows 64-bit ones to 32."""
    return relax.const(array, str(array.dtype))
