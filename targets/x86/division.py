"""Turns floor division into the machine's division where both operands are known not to be negative."""

from __future__ import annotations

import tvm_ffi
from tvm import ir, tirx
from tvm.ir import Range
from tvm.sym import Analyzer, ConstIntBound


def truncate_divisions(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Rewrite ``floordiv`` and ``floormod`` of a lowered TIR function.

    TVM 0.27's LowerIntrin tries to prove signs by search, which for symbolic dimensions takes seconds a
    function and fails, as it does not know that dimensions are positive. Interval bounds are enough.

    Requires: symbolic dimensions are at least 1 (the runtime checks it), variables have one definition
    each. Ensures: the same values.
    """
    analyzer = Analyzer()
    for param in function.params:
        if _is_scalar_integer(param):
            analyzer.update(param, ConstIntBound(1, ConstIntBound.POS_INF))
    for dim in _shape_variables(function):
        analyzer.update(dim, ConstIntBound(1, ConstIntBound.POS_INF), True)

    def bind_loop(loop: tirx.For) -> None:
        analyzer.bind(loop.loop_var, Range.from_min_extent(loop.min, loop.extent), True)

    def bind_value(statement: tirx.Bind) -> None:
        if _is_scalar_integer(statement.var):
            analyzer.update(statement.var, analyzer.const_int_bound(statement.value), True)

    def not_negative(node: tirx.FloorDiv | tirx.FloorMod) -> bool:
        return (
            _is_scalar_integer(node)
            and analyzer.const_int_bound(node.a).min_value >= 0
            and analyzer.const_int_bound(node.b).min_value >= 1
        )

    def divide(node: tirx.FloorDiv) -> ir.Expr:
        return tirx.truncdiv(node.a, node.b) if not_negative(node) else node

    def modulo(node: tirx.FloorMod) -> ir.Expr:
        return tirx.truncmod(node.a, node.b) if not_negative(node) else node

    tvm_ffi.structural_walk(function.body, ((tirx.For, bind_loop), (tirx.Bind, bind_value)), order="pre")
    body = tvm_ffi.structural_map(function.body, ((tirx.FloorDiv, divide), (tirx.FloorMod, modulo)))
    return function.with_body(body)


def _is_scalar_integer(expr: ir.Expr) -> bool:
    return str(expr.ty) in ("int32", "int64", "T.int32", "T.int64")


def _shape_variables(function: tirx.PrimFunc) -> list[ir.Var]:
    found: list[ir.Var] = []
    for param in function.params:
        if isinstance(param.ty, tirx.BufferType):
            for dim in param.shape:
                tvm_ffi.structural_walk(dim, (ir.Var, found.append))
    return found
