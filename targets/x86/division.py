"""Turns floor division into the machine's division, where TVM does not do so well or not rightly."""

from __future__ import annotations

import tvm_ffi
from tvm import ir, tirx
from tvm.ir import Range
from tvm.sym import Analyzer, ConstIntBound


def truncate_divisions(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Rewrite ``floordiv`` and ``floormod`` of a lowered TIR function, where no operand can be negative.

    TVM 0.27's LowerIntrin tries to prove signs by search, which for symbolic dimensions takes seconds a
    function and fails, as it does not know that dimensions are positive. Interval bounds are enough.

    Requires: symbolic dimensions are at least 1 (the runtime checks it), variables have one definition
    each. Ensures: the same values.
    """
    analyzer, _ = _bind_variables(function)

    def divide(node: tirx.FloorDiv) -> ir.Expr:
        return tirx.truncdiv(node.a, node.b) if _is_truncated(analyzer, node) else node

    def modulo(node: tirx.FloorMod) -> ir.Expr:
        return tirx.truncmod(node.a, node.b) if _is_truncated(analyzer, node) else node

    body = tvm_ffi.structural_map(function.body, ((tirx.FloorDiv, divide), (tirx.FloorMod, modulo)))
    return function.with_body(body)


def truncate_shifted_divisions(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Rewrite ``floordiv`` and ``floormod`` of a loop variable to which something is added.

    TVM 0.27's FlattenBuffer simplifies the index of several dimensions as one, and gets it wrong where the
    loop variable of one dimension is also that of another, which shifts it: of f // 8 % 4 and
    (f % 8 + 1) % 4 it makes (f + 1) // 8 % 4 and (f + 1) % 4. It leaves truncated divisions alone.

    Requires and ensures: as ``truncate_divisions``.
    """
    analyzer, loops = _bind_variables(function)

    def is_shifted(dividend: ir.Expr) -> bool:
        if isinstance(dividend, tirx.Add | tirx.Sub):
            return any(not _reads(part, loops) or is_shifted(part) for part in (dividend.a, dividend.b))
        return isinstance(dividend, tirx.Mul) and (is_shifted(dividend.a) or is_shifted(dividend.b))

    def divide(node: tirx.FloorDiv) -> ir.Expr:
        if not (_is_scalar_integer(node) and _reads(node.a, loops) and is_shifted(node.a)):
            return node
        if _is_truncated(analyzer, node):
            return tirx.truncdiv(node.a, node.b)
        quotient, remainder = tirx.truncdiv(node.a, node.b), tirx.truncmod(node.a, node.b)
        return tirx.Select(_needs_no_correction(remainder, node.b), quotient, quotient - 1)

    def modulo(node: tirx.FloorMod) -> ir.Expr:
        if not (_is_scalar_integer(node) and _reads(node.a, loops) and is_shifted(node.a)):
            return node
        remainder = tirx.truncmod(node.a, node.b)
        if _is_truncated(analyzer, node):
            return remainder
        return tirx.Select(_needs_no_correction(remainder, node.b), remainder, remainder + node.b)

    body = tvm_ffi.structural_map(function.body, ((tirx.FloorDiv, divide), (tirx.FloorMod, modulo)))
    return function.with_body(body)


def _needs_no_correction(remainder: ir.Expr, divisor: ir.Expr) -> ir.Expr:
    """Whether truncated and floor division agree: the remainder is zero or has the divisor's sign."""
    return tirx.any(
        tirx.all(divisor >= 0, remainder >= 0),
        tirx.all(divisor < 0, remainder <= 0),
    )


def _is_truncated(analyzer: Analyzer, node: tirx.FloorDiv | tirx.FloorMod) -> bool:
    """Whether floor division is truncated division here: neither operand can be negative."""
    return (
        _is_scalar_integer(node)
        and analyzer.const_int_bound(node.a).min_value >= 0
        and analyzer.const_int_bound(node.b).min_value >= 1
    )


def _bind_variables(function: tirx.PrimFunc) -> tuple[Analyzer, list[ir.Var]]:
    """An analyzer that knows the bounds of all variables, and the variables that loops step through."""
    analyzer = Analyzer()
    loops: list[ir.Var] = []
    for param in function.params:
        if _is_scalar_integer(param):
            analyzer.update(param, ConstIntBound(1, ConstIntBound.POS_INF))
    for dim in _shape_variables(function):
        analyzer.update(dim, ConstIntBound(1, ConstIntBound.POS_INF), True)

    def bind_loop(loop: tirx.For) -> None:
        loops.append(loop.loop_var)
        analyzer.bind(loop.loop_var, Range.from_min_extent(loop.min, loop.extent), True)

    def bind_value(statement: tirx.Bind) -> None:
        if _is_scalar_integer(statement.var):
            analyzer.update(statement.var, analyzer.const_int_bound(statement.value), True)

    tvm_ffi.structural_walk(function.body, ((tirx.For, bind_loop), (tirx.Bind, bind_value)), order="pre")
    return analyzer, loops


def _reads(expr: ir.Expr, variables: list[ir.Var]) -> bool:
    found: list[ir.Var] = []
    tvm_ffi.structural_walk(expr, (ir.Var, found.append))
    return any(variable.same_as(other) for variable in found for other in variables)


def _is_scalar_integer(expr: ir.Expr) -> bool:
    return str(expr.ty) in ("int32", "int64", "T.int32", "T.int64")


def _shape_variables(function: tirx.PrimFunc) -> list[ir.Var]:
    found: list[ir.Var] = []
    for param in function.params:
        if isinstance(param.ty, tirx.BufferType):
            for dim in param.shape:
                tvm_ffi.structural_walk(dim, (ir.Var, found.append))
    return found
