"""Gives each symbolic size of a TIR function a variable of its own.

A size such as ``(h - 1) // 4 + 1`` stands in every index that has to do with it, and TVM's analysis of what
a tile touches gives up on the divisions: accumulators do not become registers. The function finds the size
in the shape of its argument anyway.
"""

from __future__ import annotations

from typing import Any

import tvm_ffi
from tvm import ir, tirx
from tvm.sym import Analyzer

# Strides and scales by which a dimension may be a multiple of another.
_FACTORS = (2, 3, 4)
_COMPOUND = (tirx.Add, tirx.Sub, tirx.FloorDiv, tirx.Max, tirx.Min)


def name_dimensions(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Replace sums and quotients that are dimensions of arguments by variables.

    Products stay as they are, and multiples of another size become products of its variable: schedules
    divide positions by their factors.

    Requires: buffers are arguments of the function (destination passing). Ensures: the same function of
    arguments whose shapes fit.
    """
    names: list[tuple[Any, ir.Expr]] = []
    for parameter in function.params:
        for dim in getattr(parameter.ty, "shape", None) or ():
            if isinstance(dim, _COMPOUND) and _find(dim, names) is None:
                known = _multiple(dim, names)
                names.append((dim, tirx.Var(f"size_{len(names)}", dim.ty) if known is None else known))
    if not names:
        return function
    # A size may be part of a larger one, which goes first.

    def name(expression: Any) -> Any:
        found = _find(expression, names)
        return expression if found is None else found

    return tvm_ffi.structural_map(function, (_COMPOUND, name), order="pre")


def _multiple(dim: ir.Expr, names: list[tuple[Any, ir.Expr]]) -> ir.Expr | None:
    """A dimension as a product of one that has a variable."""
    analyzer = Analyzer()
    for known, variable in names:
        for factor in _FACTORS:
            if isinstance(variable, tirx.Var) and analyzer.can_prove_equal(dim, known * factor):
                return variable * factor
    return None


def _find(expression: ir.Expr, names: list[tuple[Any, ir.Expr]]) -> ir.Expr | None:
    for known, variable in names:
        if tvm_ffi.structural_equal(known, expression):
            return variable
    return None
