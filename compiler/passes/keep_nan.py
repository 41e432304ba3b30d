"""Keeps arithmetic on NaN and infinity from TVM's simplifier, whose rules hold for integers."""

from __future__ import annotations

import tvm
import tvm_ffi
from tvm import ir, tirx


@tvm.ir.transform.module_pass(opt_level=0, name="KeepNan")  # type: ignore[untyped-decorator]  # TVM has no types
def keep_nan(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Write operators on floats in forms that the simplifier leaves alone.

    TVM 0.27 takes ``x == x`` for true, ``x != y`` for false where one is NaN, ``not x < y`` for ``y <= x``,
    ``x < y or y <= x`` for true, ``x - x``, ``0 * x`` and ``0 / x`` for 0, and ``x + y - y`` for x. Fusion
    brings such pairs together. LLVM makes the same instructions of the longer forms as of the short ones.

    Requires: operators are legalized; FuseTIR has not run.
    """
    rewrites = (
        (tirx.EQ, _equal),
        (tirx.NE, _not_equal),
        (tirx.LE, _at_most),
        (tirx.GE, _at_most),
        (tirx.Not, lambda negation: _inverse(negation.a)),
        (tirx.BufferStore, _elementwise),
    )
    functions = {
        name: function.with_body(tvm_ffi.structural_map(function.body, rewrites))
        if isinstance(function, tirx.PrimFunc)
        else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _equal(comparison: tirx.EQ) -> ir.Expr:
    return _same(comparison) if _is_float(comparison.a) else comparison


def _not_equal(comparison: tirx.NE) -> ir.Expr:
    return _inverse(_same(comparison)) if _is_float(comparison.a) else comparison


def _at_most(comparison: tirx.LE | tirx.GE) -> ir.Expr:
    """The comparison of hidden values: TVM does not take it for the inverse of ``<`` or ``>``."""
    if not _is_float(comparison.a):
        return comparison
    return type(comparison)(_hidden(comparison.a), _hidden(comparison.b))


def _same(comparison: tirx.EQ | tirx.NE) -> ir.Expr:
    left, right = comparison.a, comparison.b
    return tirx.all(tirx.LE(left, right), tirx.LE(right, left))


def _inverse(condition: ir.Expr) -> ir.Expr:
    return tirx.Select(condition, tirx.const(False, "bool"), tirx.const(True, "bool"))


def _elementwise(store: tirx.BufferStore) -> tirx.Stmt:
    value = store.value
    if not isinstance(value, tirx.Sub | tirx.Mul | tirx.Div) or not _is_float(value):
        return store
    if not isinstance(value.a, ir.TensorLoad) or not isinstance(value.b, ir.TensorLoad):
        return store
    return tirx.BufferStore(store.buffer, type(value)(_hidden(value.a), value.b), store.indices)


def _hidden(value: ir.Expr) -> ir.Expr:
    """The same bits, which hide from TVM what fusion puts there, and not from LLVM."""
    return tirx.call_intrin(str(value.ty).removeprefix("T."), "tirx.reinterpret", value)


def _is_float(value: ir.Expr) -> bool:
    return str(value.ty).removeprefix("T.").startswith(("float", "bfloat"))
