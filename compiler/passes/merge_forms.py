"""Puts the forms of one model, dynamic and specialised, into one module."""

from __future__ import annotations

from collections.abc import Mapping

import tvm
from tvm import ir, relax

from paddle_tvm.compiler.passes.redirect import Redirect


def merge_forms(modules: Mapping[str, tvm.IRModule]) -> tvm.IRModule:
    """Join modules, each with a ``main``, into one where ``main`` has the name of its key.

    Requires: no module calls its own ``main``. Ensures: every function keeps its body; TIR functions of
    the second and later modules get their form's name as a suffix.
    """
    if list(modules) == ["main"]:
        return modules["main"]
    functions: dict[ir.GlobalVar, ir.BaseFunc] = {}
    for form, module in modules.items():
        renamed: dict[ir.GlobalVar, ir.GlobalVar] = {}
        for variable in module.functions:
            name = form if variable.name_hint == "main" else f"{variable.name_hint}_{form}"
            renamed[variable] = ir.GlobalVar(name)
            relax.expr._update_type(renamed[variable], module[variable].ty)
        for variable, function in module.functions.items():
            if isinstance(function, relax.Function):
                function = Redirect(renamed).visit_expr(function)
                function = function.with_attr("global_symbol", renamed[variable].name_hint)
            functions[renamed[variable]] = function
    return relax.transform.Normalize()(tvm.IRModule(functions))
