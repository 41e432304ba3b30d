"""Splits marked loops before anything is simplified, so that choices by their variables vanish."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import tvm_ffi
from tvm import ir, tirx
from tvm.ir import Range
from tvm.sym import Analyzer

# Set by a schedule on a loop of constant extent: where its parts begin.
PARTITION = "paddle_tvm.partition"


def partition_loops(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Replace each marked loop of a function by one for each part.

    Ensures: the same values; ``if_then_else`` whose condition a part decides is gone from it.
    """

    def partition(loop: tirx.For) -> Any:
        if PARTITION not in loop.annotations:
            return loop
        starts = [*(int(start) for start in loop.annotations[PARTITION]), int(loop.extent)]
        parts = [_part(loop, start, stop) for start, stop in pairwise(starts)]
        return parts[0] if len(parts) == 1 else tirx.SeqStmt(parts)

    body = tvm_ffi.structural_map(function.body, (tirx.For, partition))
    return function if body.same_as(function.body) else function.with_body(body)


def _part(loop: tirx.For, start: int, stop: int) -> tirx.For:
    """The iterations from ``start`` to before ``stop``, counted from zero."""
    variable = tirx.Var(loop.loop_var.name, loop.loop_var.ty)
    place = variable + start
    analyzer = Analyzer()
    analyzer.bind(variable, Range(0, stop - start))

    def replace(found: tirx.Var) -> ir.Expr:
        return place if found.same_as(loop.loop_var) else found

    def choose(call: ir.Call) -> ir.Expr:
        chosen: ir.Expr = call
        while isinstance(chosen, ir.Call) and chosen.op.name == "prim.if_then_else":
            condition, then, otherwise = chosen.args
            known = analyzer.simplify(tvm_ffi.structural_map(condition, (tirx.Var, replace)))
            if not isinstance(known, tirx.IntImm):
                break
            chosen = then if int(known.value) else otherwise
        return chosen

    chosen = tvm_ffi.structural_map(loop.body, (ir.Call, choose), order="pre")
    body = tvm_ffi.structural_map(chosen, (tirx.Var, replace))
    return tirx.For(variable, tirx.IntImm("int64", 0), tirx.IntImm("int64", stop - start), loop.kind, body)
