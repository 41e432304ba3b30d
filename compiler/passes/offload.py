"""Gives parts of a graph to an accelerator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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

_MAIN = "main"


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
    offloading = _Offloading(accelerator)
    rewritten = {
        variable: offloading.rewrite(function) if isinstance(function, relax.Function) else function
        for variable, function in sorted(module.functions.items(), key=lambda entry: entry[0].name_hint)
    }
    return Offloaded(
        tvm.IRModule(rewritten, attrs=module.attrs), offloading.code, offloading.reasons(rewritten.values())
    )


class _Offloading:
    """Takes subgraphs out of one function after the other."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.code: dict[str, Generated] = {}
        self._accelerator = accelerator
        # Why a pattern's match stayed behind, by the name of its root.
        self._refused: dict[str, str] = {}

    def rewrite(self, function: relax.Function) -> relax.Function:
        """The function, with calls of external code for what the accelerator takes."""
        # TVM 0.27 merges matches in a function of this name alone.
        module = tvm.IRModule({_MAIN: function.with_attr("global_symbol", _MAIN)})
        entries = [
            (
                f"{self._accelerator.name}.{pattern.name}",
                pattern.pattern,
                dict(pattern.parts),
                partial(self._accepts, pattern),
            )
            for pattern in self._accelerator.patterns()
        ]
        fuse = relax.transform.FuseOpsByPattern(entries, bind_constants=True, annotate_codegen=False)
        tagged = fuse(module)
        merged = relax.transform.MergeCompositeFunctions()(tagged)
        main = merged[_MAIN]
        symbols: dict[ir.GlobalVar, str] = {}
        for value in bindings_of(main).values():
            if (
                isinstance(value, relax.Call)
                and isinstance(value.op, ir.GlobalVar)
                and value.op not in symbols
            ):
                symbol = f"paddle_tvm_{self._accelerator.name}_{len(self.code)}"
                symbols[value.op] = symbol
                self.code[symbol] = self._accelerator.generate(subgraph_of(symbol, merged[value.op]))
        called = _Call(symbols, self.code, _names(module, tagged, merged)).visit_expr(main)
        if "global_symbol" in (function.attrs or {}):
            return called.with_attr("global_symbol", function.attrs["global_symbol"])
        return called.without_attr("global_symbol")

    def _accepts(self, pattern: Pattern, context: Any) -> bool:
        root = context.matched_expr
        reason = pattern.refuse({**dict(context.annotated_expr.items()), "root": root})
        if reason is not None:
            variable = context.value_to_bound_var.get(root)
            # The pattern that comes first knows best.
            self._refused.setdefault("" if variable is None else variable.name, reason)
        return reason is None

    def reasons(self, functions: Iterable[Any]) -> dict[str, str]:
        """Why operators stayed behind that are left in functions."""
        name, reasons = self._accelerator.name, dict[str, str]()
        for variable, value in _calls(functions):
            source = parse_source_name(variable.name)
            if source is None or value.op.name == CALL_EXTERNAL:
                continue
            operator = value.op.name.removeprefix("relax.").removeprefix("nn.")
            reasons[f"{source.operator.rstrip('_')} #{source.number}"] = (
                self._refused.get(variable.name)
                or self._accelerator.reason(operator, value)
                or f"{name} has no pattern for {operator}"
            )
        return reasons


def _calls(functions: Iterable[Any]) -> Iterator[tuple[relax.Var, relax.Call]]:
    """The calls of operators in Relax functions."""
    for function in functions:
        if isinstance(function, relax.Function):
            for variable, value in bindings_of(function).items():
                if isinstance(value, relax.Call) and isinstance(value.op, ir.Op):
                    yield variable, value


def _names(module: tvm.IRModule, tagged: tvm.IRModule, merged: tvm.IRModule) -> dict[relax.Var, str]:
    """The names that the results of subgraphs had: matching and merging lose them."""
    matches = trace_fusion(module, tagged)[_MAIN]
    subgraphs = trace_fusion(tagged, merged)[_MAIN]
    return {
        variable: matches[group[-1]][-1].name for variable, group in subgraphs.items() if group[-1] in matches
    }


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
