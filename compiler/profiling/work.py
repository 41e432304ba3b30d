"""Counts arithmetic: of operators by their definition, of everything else by the loops of its TIR."""

from __future__ import annotations

from math import prod
from typing import Any

import tvm_ffi
from tvm import ir, relax, s_tir, tirx

from paddle_tvm.runtime.manifest import ITEM_SIZES

# Where iterations differ, so many are counted one by one.
_LISTED_ITERATIONS = 256

_ARITHMETIC = (tirx.Add, tirx.Sub, tirx.Mul, tirx.Div, tirx.Max, tirx.Min)
# Calls that choose or rename a value and compute none.
_FREE_CALLS = frozenset({"tirx.if_then_else", "tirx.likely", "tirx.reinterpret", "tirx.tvm_access_ptr"})


DEFINED = (
    "relax.matmul",
    *(f"relax.nn.conv{axes}d" for axes in (1, 2, 3)),
    *(f"relax.nn.conv{axes}d_transpose" for axes in (1, 2, 3)),
)
"""Operators whose FLOPs their definition tells."""


def operator_flops(call: relax.Expr) -> Any:
    """FLOPs of a convolution or a matrix product by its definition; None for other operators.

    A multiply-add counts as two, padding is counted as if it were data. What an algorithm saves (Winograd)
    or computes in vain (tiles beyond the edge) does not change the number.
    """
    if not isinstance(call, relax.Call) or not isinstance(call.op, ir.Op):
        return None
    name = call.op.name
    if name not in DEFINED:
        return None
    if name == "relax.matmul":
        return 2 * _size(call) * list(call.args[0].ty.shape)[-1]
    # [outputs, inputs / groups, ...kernel]; transposed: [inputs, outputs / groups, ...kernel].
    kernel = list(call.args[1].ty.shape)
    across = kernel[1]
    if not name.endswith("_transpose"):
        return 2 * _size(call) * across * prod(kernel[2:])
    return 2 * _size(call.args[0]) * across * prod(kernel[2:])


def _size(expr: relax.Expr) -> Any:
    return prod(list(expr.ty.shape))


def function_flops(function: tirx.PrimFunc) -> Any:
    """Floating-point operations of a TIR function, as an expression over its symbols.

    Additions, multiplications, divisions, minima, maxima and calls of functions (exp, tanh) count one each.
    """
    return _statement(function.body)


def _statement(statement: Any) -> Any:
    if isinstance(statement, tirx.For):
        inner = _statement(statement.body)
        if isinstance(inner, int):
            return statement.extent * inner if inner else 0
        return _sum_over(statement, inner)
    if isinstance(statement, tirx.SeqStmt):
        return sum(_statement(part) for part in statement.seq)
    if isinstance(statement, tirx.BufferStore):
        return _expression(statement.value)
    if isinstance(statement, tirx.IfThenElse):
        other = 0 if statement.else_case is None else _statement(statement.else_case)
        return _statement(statement.then_case) + other
    if isinstance(statement, s_tir.SBlock):
        # What sets a sum to zero first is no arithmetic.
        return _statement(statement.body)
    inner = getattr(statement, "block", None)
    if inner is None:
        inner = getattr(statement, "body", None)
    return 0 if inner is None else _statement(inner)


def _sum_over(loop: Any, inner: Any) -> Any:
    """The sum over a loop of what its body counts, which may depend on the iteration (a shorter tail)."""
    used: list[Any] = []
    tvm_ffi.structural_walk(inner, (ir.Var, used.append))
    if not any(variable.same_as(loop.loop_var) for variable in used):
        return loop.extent * inner

    def at(iteration: Any) -> Any:
        return tvm_ffi.structural_map(
            inner, (ir.Var, lambda variable: iteration if variable.same_as(loop.loop_var) else variable)
        )

    if isinstance(loop.extent, tirx.IntImm) and int(loop.extent.value) <= _LISTED_ITERATIONS:
        return sum(at(tirx.IntImm(loop.loop_var.ty.dtype, i)) for i in range(int(loop.extent.value)))
    # The first iterations are whole ones.
    return loop.extent * at(loop.min)


def _expression(value: Any) -> int:
    found = 0

    def count(node: Any) -> None:
        nonlocal found
        if str(node.ty.dtype).startswith(("float", "bfloat")):
            found += 1

    def count_call(call: ir.Call) -> None:
        if getattr(call.op, "name", "") not in _FREE_CALLS:
            count(call)

    tvm_ffi.structural_walk(value, [(_ARITHMETIC, count), (ir.Call, count_call)])
    return found


def loads_from(function: tirx.PrimFunc) -> dict[str, Any]:
    """How many elements of each buffer a function reads at most, an element once for each load of it."""
    loads: dict[str, Any] = {}

    def visit(statement: Any, times: Any) -> None:
        if isinstance(statement, tirx.For):
            visit(statement.body, times * statement.extent)
        elif isinstance(statement, tirx.SeqStmt):
            for part in statement.seq:
                visit(part, times)
        elif isinstance(statement, tirx.BufferStore):
            tvm_ffi.structural_walk(
                [statement.value, *statement.indices], (ir.TensorLoad, lambda load: note(load, times))
            )
        elif isinstance(statement, tirx.IfThenElse):
            for branch in (statement.then_case, statement.else_case):
                if branch is not None:
                    visit(branch, times)
        else:
            for field in ("block", "body"):
                if (inner := getattr(statement, field, None)) is not None:
                    visit(inner, times)
                    break

    def note(load: Any, times: Any) -> None:
        name = load.source.name
        loads[name] = loads.get(name, 0) + times

    visit(function.body, 1)
    return loads


def tensor_bytes(ty: relax.TensorType) -> Any:
    """Size of a tensor, as an expression over its symbols."""
    return prod(list(ty.shape)) * ITEM_SIZES[str(ty.dtype)]
