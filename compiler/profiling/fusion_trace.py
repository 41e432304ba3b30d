"""Finds out which values of a graph each fused function computes.

FuseOps makes one function of equal groups and renames their results, so the graph before and after it are
walked together, from the outputs to the inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import ir, relax

Groups = Mapping[relax.Var, tuple[relax.Var, ...]]
"""For each value of a graph after fusion, the values before it that its function computes, first to last."""


@dataclass(frozen=True)
class _Scope:
    """Where a variable is looked up: a function's bindings, and what its parameters stand for."""

    bindings: Mapping[Any, relax.Expr]
    arguments: Mapping[Any, relax.Expr]
    caller: _Scope | None = None


def trace_fusion(before: tvm.IRModule, after: tvm.IRModule) -> dict[str, Groups]:
    """For each function of the model's forms, the groups of its kernels.

    Parameters
    ----------
    before
        The module before FuseOps.
    after
        The same module after it.
    """
    left = {variable.name_hint for variable in after.functions}
    return {
        variable.name_hint: _Trace(function, after, variable.name_hint).run()
        for variable, function in before.functions.items()
        if isinstance(function, relax.Function)
        and isinstance(function.body, relax.SeqExpr)
        and variable.name_hint in left
    }


def bindings_of(function: relax.Function) -> dict[Any, relax.Expr]:
    """The value of each variable of a function, in order."""
    return {
        binding.var: binding.value
        for block in function.body.blocks
        for binding in block.bindings
        if isinstance(binding, relax.VarBinding)
    }


class _Trace:
    def __init__(self, function: relax.Function, after: tvm.IRModule, name: str) -> None:
        self._before = bindings_of(function)
        self._order = {variable: place for place, variable in enumerate(self._before)}
        self._result = function.body.body
        self._module = after
        fused = after[name]
        self._main = _Scope(bindings_of(fused), {})
        self._fused_result = fused.body.body
        self._groups: dict[Any, dict[Any, None]] = {}
        self._seen: set[tuple[Any, Any]] = set()
        self._seen_inside: dict[tuple[Any, Any, int], _Scope] = {}

    def run(self) -> Groups:
        pending = [(self._fused_result, self._main, self._result, None)]
        # A list and not recursion: graphs are thousands of values deep.
        while pending:
            pending += self._match(*pending.pop())
        return {
            variable: tuple(sorted(group, key=self._order.__getitem__))
            for variable, group in self._groups.items()
        }

    def _match(self, expr: Any, scope: _Scope, old: Any, group: Any) -> list[Any]:
        """Match an expression after fusion with the old one; returns the operands to match next."""
        if isinstance(expr, relax.Var):
            return self._match_variable(expr, scope, old, group)
        if isinstance(old, relax.Var) and old in self._before:
            old = self._before[old]
        return [
            (inner, scope, old_inner, group)
            for inner, old_inner in zip(_operands(expr), _operands(old), strict=True)
            # A constant of the old graph is a parameter of the fused function.
            if isinstance(old_inner, relax.Var | relax.Tuple)
        ]

    def _match_variable(self, variable: Any, scope: _Scope, old: Any, group: Any) -> list[Any]:
        if variable in scope.arguments:
            assert scope.caller is not None
            return [(scope.arguments[variable], scope.caller, old, None)]
        if variable not in scope.bindings:
            return []
        value = scope.bindings[variable]
        if isinstance(value, relax.Tuple) and isinstance(old, relax.Tuple):
            return self._match(value, scope, old, group)
        if scope.caller is None:
            if (variable, old) in self._seen:
                return []
            self._seen.add((variable, old))
            group = variable
            value, scope = self._entered(value, scope)
            if scope.caller is not None:
                return [(value, scope, old, group)]
        elif (variable, old, id(scope)) in self._seen_inside:
            return []
        else:
            # A scope that is kept shares its id with no other.
            self._seen_inside[variable, old, id(scope)] = scope
        if isinstance(old, relax.Var) and old in self._before:
            self._groups.setdefault(group, {})[old] = None
            return self._match(value, scope, self._before[old], group)
        return []

    def _entered(self, value: Any, scope: _Scope) -> tuple[Any, _Scope]:
        """What a call of a fused function gives, and the scope to read it in; else the value itself."""
        if isinstance(value, relax.TupleGetItem) and isinstance(value.tuple_value, relax.Var):
            inner = scope.bindings.get(value.tuple_value)
            entered, inside = self._entered(inner, scope)
            if inside.caller is not None:
                while isinstance(entered, relax.Var):
                    entered = inside.bindings[entered]
                # One call that gives several results is entered where it is read itself.
                if isinstance(entered, relax.Tuple):
                    return entered.fields[value.index], inside
            return value, scope
        if isinstance(value, relax.Call) and isinstance(value.op, ir.GlobalVar):
            callee = self._module[value.op]
            if isinstance(callee, relax.Function):
                arguments = dict(zip(callee.params, value.args, strict=True))
                return callee.body.body, _Scope(bindings_of(callee), arguments, scope)
        return value, scope


def _operands(expr: Any) -> list[Any]:
    if isinstance(expr, relax.Call):
        return list(expr.args)
    if isinstance(expr, relax.Tuple):
        return list(expr.fields)
    if isinstance(expr, relax.TupleGetItem):
        return [expr.tuple_value]
    return []
