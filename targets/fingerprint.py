"""Tells graphs apart by what they compute."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import tvm
from tvm import relax


def fingerprint(functions: Iterable[relax.Function]) -> str:
    """The same for functions of the same operators and shapes, whatever their weights."""
    parts: list[str] = []

    def visit(expr: relax.Expr) -> None:
        if isinstance(expr, relax.Call):
            # What a local function is called depends on what else there is; its operators are visited, too.
            operator = "function" if isinstance(expr.op, relax.Var) else expr.op
            parts.append(f"{operator} {expr.ty}")

    for function in functions:
        relax.analysis.post_order_visit(function, visit)
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


def module_fingerprint(module: tvm.IRModule) -> str:
    """That of all Relax functions of a module."""
    ordered = sorted(module.functions, key=lambda variable: variable.name_hint)
    return fingerprint(
        module[variable] for variable in ordered if isinstance(module[variable], relax.Function)
    )
