"""Gives parts of a graph to an accelerator."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import tvm
from tvm import ir, relax

from paddle_tvm.compiler.profiling.fusion_trace import bindings_of, trace_fusion
from paddle_tvm.compiler.source_names import parse_source_name
from paddle_tvm.targets.offload import Accelerator, Generated, Pattern, subgraph_of

CALL_EXTERNAL = "relax.call_dps_packed"
"""The operator that calls of subgraphs become; its first argument names the code."""


@dataclass(frozen=True)
class Offloaded:
    """A module whose subgraphs for an accelerator are calls of external functions.

    ``code`` has their code by symbol, ``reasons`` why operators stayed behind, as ``name #number``.
    """

    module: tvm.IRModule
    code: Mapping[str, Generated]
    reasons: Mapping[str, str]


def offload(module: tvm.IRModule, accelerator: Accelerator) -> Offloaded:
    """Have an accelerator take what it can.

    Requires: operators are not lowered yet, weights are constants. Ensures: every operator is in a subgraph,
    or has a reason.
    """
    refused: dict[str, str] = {}
    entries = [
        (
            f"{accelerator.name}.{pattern.name}",
            pattern.pattern,
            dict(pattern.parts),
            partial(_accepts, pattern, refused),
        )
        for pattern in accelerator.patterns()
    ]
    tagged = relax.transform.FuseOpsByPattern(entries, bind_constants=True, annotate_codegen=False)(module)
    merged = relax.transform.MergeCompositeFunctions()(tagged)
    names = _names(module, tagged, merged)
    functions = {
        variable: function
        for variable, function in merged.functions.items()
        if isinstance(function, relax.Function) and "Codegen" in (function.attrs or {})
    }
    code: dict[str, Generated] = {}
    symbols: dict[ir.GlobalVar, str] = {}
    for number, variable in enumerate(_in_order(merged, functions)):
        symbol = f"paddle_tvm_{accelerator.name}_{number}"
        symbols[variable] = symbol
        code[symbol] = accelerator.generate(subgraph_of(symbol, functions[variable]))
    rest = tvm.IRModule(
        {variable: function for variable, function in merged.functions.items() if variable not in functions},
        attrs=merged.attrs,
    )
    called = _rewritten(rest, lambda name: _Call(symbols, code, names[name]))
    return Offloaded(called, code, _reasons(called, accelerator, refused))


def _in_order(module: tvm.IRModule, functions: Collection[ir.GlobalVar]) -> list[ir.GlobalVar]:
    """The functions that others call, in the order of their calls."""
    called: dict[ir.GlobalVar, None] = {}
    for variable in sorted(module.get_global_vars(), key=lambda variable: variable.name_hint):
        function = module[variable]
        if variable not in functions and isinstance(function, relax.Function):
            for value in bindings_of(function).values():
                if isinstance(value, relax.Call) and value.op in functions:
                    called[value.op] = None
    return list(called)


def _rewritten(module: tvm.IRModule, make: Callable[[str], Any]) -> tvm.IRModule:
    """The module with its Relax functions rewritten, each by a mutator that is made for its name."""
    return tvm.IRModule(
        {
            variable: make(variable.name_hint).visit_expr(function)
            if isinstance(function, relax.Function) and "Composite" not in (function.attrs or {})
            else function
            for variable, function in module.functions.items()
        },
        attrs=module.attrs,
    )


def _names(
    module: tvm.IRModule, tagged: tvm.IRModule, merged: tvm.IRModule
) -> dict[str, dict[relax.Var, str]]:
    """For each function the names that the results of its subgraphs had: matching and merging lose them."""
    matches, subgraphs = trace_fusion(module, tagged), trace_fusion(tagged, merged)
    return {
        name: {
            variable: matches[name][group[-1]][-1].name
            for variable, group in groups.items()
            if group[-1] in matches[name]
        }
        for name, groups in subgraphs.items()
        if name in matches
    }


def _accepts(pattern: Pattern, refused: dict[str, str], context: Any) -> bool:
    root = context.matched_expr
    reason = pattern.refuse({**dict(context.annotated_expr.items()), "root": root})
    if reason is not None:
        variable = context.value_to_bound_var.get(root)
        # The pattern that comes first knows best.
        refused.setdefault("" if variable is None else variable.name, reason)
    return reason is None


@relax.expr_functor.mutator
class _Call(relax.PyExprMutator):  # type: ignore[misc]  # TVM has no types.
    """Makes calls of subgraphs calls of their symbols."""

    def __init__(
        self,
        symbols: Mapping[ir.GlobalVar, str],
        code: Mapping[str, Generated],
        names: Mapping[relax.Var, str],
    ) -> None:
        super().__init__()
        self._symbols = symbols
        self._code = code
        self._names = names

    def visit_var_binding_(self, binding: relax.VarBinding) -> None:
        value = binding.value
        if not self._is_subgraph(value) or not isinstance(binding.var, relax.DataflowVar):
            super().visit_var_binding_(binding)
            return
        name = self._names.get(binding.var, "")
        self.set_var_remap(binding.var, self.builder_.emit(self.visit_call_(value), name))

    def _is_subgraph(self, value: Any) -> bool:
        return (
            isinstance(value, relax.Call) and isinstance(value.op, ir.GlobalVar) and value.op in self._symbols
        )

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        if not self._is_subgraph(call):
            return super().visit_call_(call)
        symbol = self._symbols[call.op]
        inputs = [self.visit_expr(argument) for argument in call.args]
        weights = [relax.const(weight) for weight in self._code[symbol].weights]
        return relax.call_dps_packed(symbol, relax.Tuple([*inputs, *weights]), call.ty)


def _reasons(module: tvm.IRModule, accelerator: Accelerator, refused: Mapping[str, str]) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for function in module.functions.values():
        if not isinstance(function, relax.Function):
            continue
        for variable, value in bindings_of(function).items():
            source = parse_source_name(variable.name)
            if source is None or not isinstance(value, relax.Call) or not isinstance(value.op, ir.Op):
                continue
            if value.op.name == CALL_EXTERNAL:
                continue
            operator = value.op.name.removeprefix("relax.").removeprefix("nn.")
            none = f"{accelerator.name} has no pattern for {operator}"
            reasons[f"{source.operator.rstrip('_')} #{source.number}"] = (
                refused.get(variable.name) or accelerator.reason(operator, value) or none
            )
    return reasons
