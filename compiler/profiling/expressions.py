"""Arithmetic over a model's symbols as text: written when it is compiled, evaluated for a run's shapes."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from tvm import tirx
from tvm.sym import Analyzer

from paddle_tvm.compiler.imported import format_dim

Amount = int | str
"""A number, or an expression over symbols."""

_OPERATORS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def amount(expression: Any) -> Amount:
    """An integer expression of TIR as a number or as text."""
    if isinstance(expression, int):
        return expression
    if isinstance(expression, tirx.IntImm):
        return int(expression.value)
    simplified = Analyzer().simplify(expression)
    return int(simplified.value) if isinstance(simplified, tirx.IntImm) else format_dim(simplified)


def evaluate(value: Amount | None, sizes: Mapping[str, int]) -> int | None:
    """The number that an amount is for these sizes; None where it depends on something else.

    Parameters
    ----------
    value
        What ``amount`` gave; None stays None.
    sizes
        The symbols whose sizes are known.
    """
    if value is None or isinstance(value, int):
        return value
    try:
        return _evaluate(ast.parse(value, mode="eval").body, sizes)
    except (SyntaxError, KeyError, ZeroDivisionError):
        # A size that only the run itself finds out, or a function that is none of `_evaluate`'s.
        return None


def _evaluate(node: ast.expr, sizes: Mapping[str, int]) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return int(node.value)
    if isinstance(node, ast.Name):
        return sizes[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand, sizes)
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_evaluate(node.left, sizes), _evaluate(node.right, sizes))
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func).removeprefix("T.")
        chosen = {"min": min, "max": max}[called]
        return int(chosen(_evaluate(argument, sizes) for argument in node.args))
    raise KeyError(ast.dump(node))
