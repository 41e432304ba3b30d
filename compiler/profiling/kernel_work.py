"""FLOPs and bytes of the kernels of one function, over the symbols of the model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import tvm
import tvm_ffi
from tvm import ir, relax, tirx

from paddle_tvm.compiler.lowering import LoweredStages
from paddle_tvm.compiler.profiling.expressions import Amount, amount, evaluate
from paddle_tvm.compiler.profiling.fusion_trace import bindings_of
from paddle_tvm.compiler.profiling.provenance import Provenance
from paddle_tvm.compiler.profiling.work import function_flops, loads_from, operator_flops, tensor_bytes
from paddle_tvm.compiler.source_names import SourceOperator, parse_source_name
from paddle_tvm.targets.offload import calls_kernel

# Stands for every symbol where two counts are compared.
_TYPICAL_SIZE = 32


class LoopWork:
    """FLOPs of the loops of a module's TIR functions, each of which is counted once."""

    def __init__(self, module: tvm.IRModule) -> None:
        self._module = module
        self._counted: dict[ir.GlobalVar, Any] = {}

    def flops(self, call: Any) -> Any:
        """FLOPs of a call of a TIR function, over the symbols of the caller; 0 of other calls."""
        if not calls_kernel(call):
            return 0
        callee = call.args[0]
        function = self._module[callee]
        if callee not in self._counted:
            self._counted[callee] = function_flops(function)
        flops = self._counted[callee]
        return flops if isinstance(flops, int) else _substitute(flops, function, call)


class KernelWork:
    """Counts once for each TIR function; an operator counts by its definition where it has one."""

    def __init__(
        self, optimised: relax.Function, stages: LoweredStages, name: str, provenance: Provenance
    ) -> None:
        self._fused = stages.fused
        loops = LoopWork(stages.operators)
        self._loads: dict[ir.GlobalVar, dict[str, Any]] = {}
        self._flops = {
            variable: loops.flops(value)
            for variable, value in bindings_of(stages.operators[name]).items()
            if isinstance(value, relax.Call)
        }
        self._replace_by_definition(optimised, provenance)

    def flops(self, group: Sequence[relax.Var]) -> Amount:
        """FLOPs of the values of a kernel."""
        return amount(sum(self._flops.get(variable, 0) for variable in group))

    def bytes_read(self, kernel: ir.GlobalVar, arguments: Sequence[Any]) -> Any:
        """Bytes that a kernel has to read: its operands, but of a table only what it looks up."""
        function = self._fused[kernel]
        if kernel not in self._loads:
            self._loads[kernel] = loads_from(function)
        total: Any = 0
        for parameter, argument in zip(function.params, arguments, strict=False):
            if not isinstance(parameter.ty, tirx.BufferType):
                continue
            size, loads = tensor_bytes(argument.ty), amount(self._loads[kernel].get(parameter.name, 0))
            whole = amount(size)
            if isinstance(loads, int) and isinstance(whole, int):
                elements = int(amount(size // _item_size(argument.ty)))
                size = min(whole, loads * whole // max(elements, 1))
            total = total + size
        return total

    def _replace_by_definition(self, optimised: relax.Function, provenance: Provenance) -> None:
        """Give each convolution and product the FLOPs of its definition, where the most of its loops are.

        A kernel that the target made of several gets the sum.
        """
        values: defaultdict[SourceOperator | None, list[relax.Var]] = defaultdict(list)
        for variable in self._flops:
            values[parse_source_name(variable.name)].append(variable)
        defined: dict[relax.Var, Any] = {}
        for variable, value in bindings_of(optimised).items():
            source, flops = parse_source_name(variable.name), operator_flops(value)
            if source is None or flops is None:
                continue
            related = values[provenance.heir(source)]
            same = [other for other in related if other.name == variable.name]
            for candidates in (same, related):
                if not candidates:
                    continue
                heaviest = max(candidates, key=lambda other: _typical(self._flops[other]))
                if _typical(self._flops[heaviest]) * 8 >= _typical(flops):
                    defined[heaviest] = defined.get(heaviest, 0) + flops
                    break
        self._flops.update(defined)


def _typical(flops: Any) -> int:
    value = amount(flops)
    if isinstance(value, int):
        return value
    return evaluate(value, _AnySize()) or 0


class _AnySize(dict[str, int]):
    def __missing__(self, key: str) -> int:
        return _TYPICAL_SIZE


def _item_size(ty: relax.TensorType) -> int:
    return max(int(amount(tensor_bytes(relax.TensorType((1,), ty.dtype)))), 1)


def _substitute(expression: Any, function: tirx.PrimFunc, call: relax.Call) -> Any:
    """An expression over the symbols of a TIR function as one over those of its caller."""
    results = call.ty_args[0]
    arguments = list(call.args[1].fields)
    types = [argument.ty for argument in arguments]
    types += list(results.fields) if isinstance(results, relax.TupleType) else [results]
    known: dict[Any, Any] = {}
    for place, (parameter, ty) in enumerate(zip(function.params, types, strict=False)):
        if not isinstance(parameter.ty, tirx.BufferType):
            # A scalar among the tensors.
            known[parameter] = getattr(arguments[place], "value", arguments[place])
            continue
        for symbol, size in zip(parameter.shape, ty.shape, strict=True):
            if isinstance(symbol, ir.Var):
                known.setdefault(symbol, size)
    if len(call.args) > 2:
        known.update(zip(function.params[len(types) :], call.args[2].values, strict=True))
    return tvm_ffi.structural_map(expression, (ir.Var, lambda symbol: known.get(symbol, symbol)))
