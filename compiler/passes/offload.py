"""Gives parts of a graph to an accelerator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import tvm
from tvm import ir, relax, tirx

from paddle_tvm.compiler.profiling.fusion_trace import Groups, bindings_of, trace_fusion
from paddle_tvm.compiler.source_names import parse_source_name
from paddle_tvm.runtime.errors import PaddleTvmError, UnsupportedModelError
from paddle_tvm.targets.fingerprint import fingerprint, module_fingerprint
from paddle_tvm.targets.offload import (
    Accelerator,
    Generated,
    Offloading,
    Pattern,
    Subgraph,
    calls_kernel,
    measured_name,
    subgraph_of,
)
from paddle_tvm.targets.onnx_node import is_onnx_node
from paddle_tvm.targets.workload import Choices

CALL_EXTERNAL = "relax.call_dps_packed"
"""The operator that calls of subgraphs become; its first argument names the code."""

_MAIN = "main"
_BESIDE_CASTS = (
    "the graph has sizes that are known only when it runs, beside which TVM cannot merge what is taken"
)
_BESIDE_SIZES = "the graph has calls that are given sizes, beside which TVM cannot merge what is taken"


@dataclass(frozen=True)
class Offloaded:
    """A module whose subgraphs for an accelerator are calls of external functions.

    ``code`` has their code by symbol. ``computed`` has for each function the values that each subgraph
    computes, by the name of its call. ``reasons`` says for each function why operators stayed behind, by
    ``name #number`` of the operator.
    """

    module: tvm.IRModule
    code: Mapping[str, Generated]
    reasons: Mapping[str, Mapping[str, str]]
    computed: Mapping[str, Mapping[str, tuple[str, ...]]]


def offload(
    module: tvm.IRModule, accelerator: Accelerator, choices: Choices, features: Collection[str] = ()
) -> Offloaded:
    """Have an accelerator take what it can, apart from what the choices leave to our own kernels.

    ``features`` are those of the CPU that runs these; see ``measured_name``.

    Requires: operators are not lowered yet, weights are constants. Ensures: every operator is in a subgraph,
    or has a reason.
    """
    offloading = _Offloading(module, accelerator, choices, features)
    rewritten = dict(module.functions.items())
    reasons, computed = {}, {}
    for variable in sorted(rewritten, key=lambda variable: variable.name_hint):
        if isinstance(rewritten[variable], relax.Function):
            name = variable.name_hint
            rewritten[variable], reasons[name], computed[name] = offloading.rewrite(rewritten[variable])
    return Offloaded(tvm.IRModule(rewritten, attrs=module.attrs), offloading.code, reasons, computed)


class _Offloading:
    """Takes subgraphs out of one function after the other."""

    def __init__(
        self, module: tvm.IRModule, accelerator: Accelerator, choices: Choices, features: Collection[str]
    ) -> None:
        self.code: dict[str, Generated] = {}
        self._accelerator = accelerator
        self._choices = choices
        self._measured_name = measured_name(accelerator, features)
        self._module = module
        self._graph = module_fingerprint(module)

    def rewrite(
        self, function: relax.Function
    ) -> tuple[relax.Function, dict[str, str], dict[str, tuple[str, ...]]]:
        """The function with calls of external code for what the accelerator takes; reasons for the rest.

        And the names of the values that each call computes.
        """
        bare = _OwnDequantized().visit_expr(_InlineConstants().visit_expr(function))
        # TVM 0.27 merges matches in a function of this name alone.
        module = tvm.IRModule({_MAIN: bare.with_attr("global_symbol", _MAIN)})
        merged, computed, refused = self._settle(module)
        subgraphs = _subgraphs(merged)
        symbols: dict[ir.GlobalVar, str] = {}
        places = Counter(value.op for value in subgraphs.values())
        for variable, value in subgraphs.items():
            if value.op not in symbols:
                symbol = f"paddle_tvm_{self._accelerator.name}_{len(self.code)}"
                symbols[value.op] = symbol
                subgraph = subgraph_of(symbol, merged[value.op], self._module)
                if places[value.op] == 1:
                    subgraph = _with_sources(subgraph, computed[variable], module[_MAIN])
                self.code[symbol] = self._generate(subgraph)
        # Matching and merging lose the names that the results of subgraphs had.
        names = {variable: computed[variable][-1].name for variable in subgraphs}
        inside = {
            names[variable]: tuple(before.name for before in computed[variable]) for variable in subgraphs
        }
        called = _Call(symbols, self.code, names).visit_expr(merged[_MAIN])
        reasons = self._reasons(called, refused)
        if "global_symbol" in (function.attrs or {}):
            return called.with_attr("global_symbol", function.attrs["global_symbol"]), reasons, inside
        return called.without_attr("global_symbol"), reasons, inside

    def _settle(self, module: tvm.IRModule) -> tuple[tvm.IRModule, Groups, Mapping[str, str]]:
        """The module with what is taken as functions, the values that these compute, and why others stay.

        What is declined as a whole may have been matched otherwise: so it begins anew, without that.
        """
        # By the names of values.
        if _finds_sizes(module[_MAIN]):
            values = bindings_of(module[_MAIN])
            return module, {}, {variable.name: _BESIDE_CASTS for variable in values}
        declined: dict[str, str] = {}
        while True:
            refused = dict(declined)
            tagged = self._tag(module, declined, refused)
            if len(tagged.functions) > 1 and _takes_sizes(module[_MAIN]):
                matched = trace_fusion(module, tagged)[_MAIN]
                names = (value.name for match in _subgraphs(tagged) for value in matched[match])
                declined |= dict.fromkeys(names, _BESIDE_SIZES)
                continue
            merged, computed = _merge(module, tagged)
            before = len(declined)
            for variable, value in _subgraphs(merged).items():
                reason = self._declined(merged[value.op])
                if reason is not None:
                    declined |= dict.fromkeys((inside.name for inside in computed[variable]), reason)
            if len(declined) == before:
                return merged, computed, refused

    def _declined(self, function: relax.Function) -> str | None:
        """Why a subgraph stays behind as a whole."""
        subgraph = subgraph_of("subgraph", function, self._module)
        reason = self._accelerator.decline(subgraph)
        if reason is not None or any(
            is_onnx_node(call) for step in subgraph.steps for call in step.all_calls()
        ):
            return reason
        operators = sum(len(bindings_of(step.function)) for step in subgraph.steps)
        workload = Offloading(self._graph, self._measured_name, fingerprint([function]), operators)
        if self._choices.of(workload).config["taken"]:
            return None
        return "the model was measured to be faster with our own kernels in its place"

    def _tag(
        self, module: tvm.IRModule, declined: Mapping[str, str], refused: dict[str, str]
    ) -> tvm.IRModule:
        """The module with matches as functions.

        What ``declined`` names stays; ``refused`` is told of what else does.
        """
        entries = [
            (
                f"{self._accelerator.name}.{pattern.name}",
                pattern.pattern,
                dict(pattern.parts),
                partial(_accepts, self._module, pattern, declined, refused),
            )
            for pattern in self._accelerator.patterns()
        ]
        fuse = relax.transform.FuseOpsByPattern(entries, bind_constants=True, annotate_codegen=False)
        return fuse(module)

    def _generate(self, subgraph: Subgraph) -> Generated:
        try:
            return self._accelerator.generate(subgraph)
        except PaddleTvmError:
            raise
        except Exception as error:
            patterns = ", ".join(step.pattern for step in subgraph.steps)
            raise UnsupportedModelError(
                f"accelerator '{self._accelerator.name}' fails to generate code for {subgraph.symbol} "
                f"({patterns}): {type(error).__name__}: {error}"
            ) from error

    def _reasons(self, function: relax.Function, refused: Mapping[str, str]) -> dict[str, str]:
        """Why operators stayed behind that are left in a function."""
        reasons: dict[str, str] = {}
        for variable, value in bindings_of(function).items():
            source = parse_source_name(variable.name)
            if source is None or not isinstance(value, relax.Call) or not isinstance(value.op, ir.Op):
                continue
            if value.op.name == CALL_EXTERNAL:
                continue
            name = source.operator.rstrip("_")
            operator = value.op.name.removeprefix("relax.").removeprefix("nn.")
            if operator == "call_tir":
                # Ours from the start: no pattern knows it.
                operator = name
            reason = (
                refused.get(variable.name)
                or self._accelerator.reason(operator, value)
                or f"{self._accelerator.name} has no pattern for {operator}"
            )
            if is_onnx_node(value):
                raise UnsupportedModelError(
                    f"{name} #{source.number} is an operator that only ONNX Runtime has, and it cannot be "
                    f"given to it: {reason}"
                )
            # The first of several operators that one of the model's became.
            reasons.setdefault(f"{name} #{source.number}", reason)
        return reasons


def _accepts(
    module: tvm.IRModule,
    pattern: Pattern,
    declined: Mapping[str, str],
    refused: dict[str, str],
    context: Any,
) -> bool:
    names = [variable.name for variable in context.matched_bindings]
    if any(name in declined for name in names):
        return False
    root = context.matched_expr
    parts = {**dict(context.annotated_expr.items()), "root": root}
    if calls_kernel(root):
        parts["function"] = module[root.args[0]]
    reason = pattern.refuse(parts)
    if reason is not None:
        for name in names:
            # The pattern that comes first knows best.
            refused.setdefault(name, reason)
    return reason is None


def _finds_sizes(function: relax.Function) -> bool:
    """Whether sizes are read off results (``match_cast``), among which TVM 0.27 cannot merge matches."""
    return any(
        isinstance(binding, relax.MatchCast) for block in function.body.blocks for binding in block.bindings
    )


def _takes_sizes(function: relax.Function) -> bool:
    """Whether a call is given sizes of dynamic shapes, among which TVM 0.27 cannot merge matches."""
    return any(
        isinstance(operand, relax.Var | tirx.Var) and not isinstance(operand.ty, relax.TensorType)
        for value in bindings_of(function).values()
        if isinstance(value, relax.Call)
        for argument in value.args
        if isinstance(argument, relax.Tuple)
        for operand in argument.fields
    )


def _merge(module: tvm.IRModule, tagged: tvm.IRModule) -> tuple[tvm.IRModule, Groups]:
    """The module with subgraphs as functions, and the values that each call of these computes."""
    if len(tagged.functions) == 1:
        return tagged, {}
    merged = relax.transform.MergeCompositeFunctions()(tagged)
    matches = trace_fusion(module, tagged)[_MAIN]
    groups = trace_fusion(tagged, merged)[_MAIN]
    order = {variable: place for place, variable in enumerate(bindings_of(module[_MAIN]))}
    computed: dict[relax.Var, set[relax.Var]] = {}
    for variable, value in bindings_of(merged[_MAIN]).items():
        # Of several results each is a field of what the call gives.
        call = value.tuple_value if isinstance(value, relax.TupleGetItem) else variable
        for match in groups.get(variable, ()):
            computed.setdefault(call, set()).update(matches.get(match, ()))
    return merged, {
        variable: tuple(sorted(group, key=order.__getitem__)) for variable, group in computed.items()
    }


def _with_sources(subgraph: Subgraph, computed: Sequence[relax.Var], function: relax.Function) -> Subgraph:
    """A subgraph whose steps know their operators of the model.

    Merging loses the names of values and keeps their order, which tells them where each step is one call.
    """
    values = bindings_of(function)
    made = [variable for variable in computed if isinstance(values[variable], relax.Call)]
    calls = [step.all_calls() for step in subgraph.steps]
    if [[values[variable].op] for variable in made] != [[call.op for call in inside] for inside in calls]:
        return subgraph
    sources = (parse_source_name(variable.name) for variable in made)
    steps = tuple(
        step if source is None else replace(step, source=f"{source.operator.rstrip('_')} #{source.number}")
        for step, source in zip(subgraph.steps, sources, strict=True)
    )
    return replace(subgraph, steps=steps)


def _subgraphs(merged: tvm.IRModule) -> dict[relax.Var, relax.Call]:
    """The calls of subgraphs, by their results."""
    return {
        variable: value
        for variable, value in bindings_of(merged[_MAIN]).items()
        if isinstance(value, relax.Call) and isinstance(value.op, ir.GlobalVar)
    }


@relax.expr_functor.mutator
class _InlineConstants(relax.PyExprMutator):  # type: ignore[misc]  # TVM has no types.
    """Puts constants in the place of variables that stand for them, so that matches have them inside."""

    def __init__(self) -> None:
        super().__init__()
        self._constants: dict[relax.Var, ir.Constant] = {}

    def visit_var_binding_(self, binding: relax.VarBinding) -> None:
        if isinstance(binding.value, ir.Constant) and isinstance(binding.var, relax.DataflowVar):
            self._constants[binding.var] = binding.value
        else:
            super().visit_var_binding_(binding)

    def visit_dataflow_var_(self, variable: relax.DataflowVar) -> relax.Expr:
        return self._constants.get(variable) or super().visit_dataflow_var_(variable)


@relax.expr_functor.mutator
class _OwnDequantized(relax.PyExprMutator):  # type: ignore[misc]  # TVM has no types.
    """Gives each reader of a dequantised constant a dequantisation of its own.

    Patterns have dequantised weights inside, and TVM 0.27 matches them also where others read these, too:
    then it takes what they read away from them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._dequantized: dict[relax.Var, tuple[relax.Call, str]] = {}

    def visit_var_binding_(self, binding: relax.VarBinding) -> None:
        if isinstance(binding.var, relax.DataflowVar) and self._is_dequantized(binding.value):
            self._dequantized[binding.var] = (binding.value, binding.var.name)
        else:
            super().visit_var_binding_(binding)

    def visit_dataflow_var_(self, variable: relax.DataflowVar) -> relax.Expr:
        if variable not in self._dequantized:
            return super().visit_dataflow_var_(variable)
        call, name = self._dequantized[variable]
        return self.builder_.emit(self.visit_call_(call), name)

    def _is_dequantized(self, value: relax.Expr) -> bool:
        """Whether it is a dequantised constant, or that with its axes in another order."""
        if not isinstance(value, relax.Call) or not isinstance(value.op, ir.Op):
            return False
        if value.op.name == "relax.dequantize":
            return all(isinstance(argument, ir.Constant) for argument in value.args)
        return value.op.name == "relax.permute_dims" and value.args[0] in self._dequantized


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
        inputs = [
            self.visit_expr(argument) for argument in call.args if isinstance(argument.ty, relax.TensorType)
        ]
        weights = [relax.const(weight) for weight in self._code[symbol].weights]
        results = list(call.ty.fields) if isinstance(call.ty, relax.TupleType) else call.ty
        return relax.call_dps_packed(symbol, relax.Tuple([*inputs, *weights]), results)
