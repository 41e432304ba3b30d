"""Finds the kernels of a model whose form can be chosen, and cuts them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import tvm
from tvm import relax, tirx

from paddle_tvm.compiler.lowering import LoweredStages
from paddle_tvm.compiler.profiling.fusion_trace import bindings_of
from paddle_tvm.compiler.profiling.work import tensor_bytes
from paddle_tvm.compiler.tuning.kernel import TunableKernel
from paddle_tvm.compiler.tuning.kernel_group import is_tensor, workload_of

_Kernel = TypeVar("_Kernel", bound=TunableKernel)


def find_kernels(stages: LoweredStages, sizes: Mapping[str, int], kind: type[_Kernel]) -> dict[str, _Kernel]:
    """The kernels of a lowered module whose form can be chosen, by name.

    Parameters
    ----------
    stages
        The module as it is lowered.
    sizes
        Values for the symbols in shapes. Kernels with other symbols, which depend on data, are left out.
    kind
        What to make of each.
    """
    kernels = {}
    weights, model_bytes = _weights(stages.groups)
    for variable, function in stages.fused.functions.items():
        workload = workload_of(function) if isinstance(function, tirx.PrimFunc) else None
        if workload is None:
            continue
        module = _cut_out(stages.groups, variable.name_hint)
        symbols = {symbol.name for symbol in relax.analysis.free_symbolic_vars(module["main"])}
        symbols |= {symbol.name for symbol in relax.analysis.defined_symbolic_vars(module["main"])}
        if symbols <= set(sizes):
            own = {name: sizes[name] for name in sorted(symbols)}
            kernels[variable.name_hint] = kind(
                variable.name_hint,
                workload,
                tvm.ir.save_json(module),
                own,
                weights.get(variable.name_hint, ()),
                model_bytes,
            )
    return kernels


def _weights(module: tvm.IRModule) -> tuple[dict[str, tuple[int, ...]], int]:
    """Which arguments of each kernel are weights, and what all weights of a form of the model take."""
    numbers: dict[str, tuple[int, ...]] = {}
    totals = [0]
    for function in module.functions.values():
        if not isinstance(function, relax.Function) or "Primitive" in (function.attrs or {}):
            continue
        sizes: dict[Any, int] = {}
        for value in bindings_of(function).values():
            if not isinstance(value, relax.Call):
                continue
            # A kernel of one operator is called as it is, others as functions.
            callee, arguments = value.op, list(value.args)
            if isinstance(callee, tvm.ir.Op) and callee.name == "relax.call_tir":
                callee, arguments = value.args[0], list(value.args[1].fields)
            if isinstance(callee, tvm.ir.GlobalVar):
                constant = [isinstance(argument, tvm.ir.GenericConst) for argument in arguments]
                numbers[callee.name_hint] = tuple(place for place, is_one in enumerate(constant) if is_one)
            sizes |= {
                argument: int(tensor_bytes(argument.ty))
                for argument in arguments
                if isinstance(argument, tvm.ir.GenericConst)
            }
        totals.append(sum(sizes.values()))
    return numbers, max(totals)


def _cut_out(module: tvm.IRModule, name: str) -> tvm.IRModule:
    """A module of a group, as ``main``, and of the TIR functions that it calls."""
    function = module[name]
    builder = relax.BlockBuilder()
    if isinstance(function, tirx.PrimFunc):
        # Nothing is fused with it: a group of its own.
        *inputs, output = function.params
        # A size is an argument as it is.
        arguments = [
            relax.Var(f"input{number}", relax.TensorType(list(buffer.shape), str(buffer.dtype)))
            if isinstance(buffer.ty, tirx.BufferType)
            else buffer
            for number, buffer in enumerate(inputs)
        ]
        parameters = [argument for argument in arguments if is_tensor(argument)]
        result = relax.TensorType(list(output.shape), str(output.dtype))
        sizes = [argument for argument in arguments if not is_tensor(argument)]
        parameters += _undefined_sizes(parameters, [*sizes, *relax.analysis.tir_vars_in_type(result)])
        with builder.function("main", parameters, attrs={"Primitive": True}):
            with builder.dataflow():
                callee = builder.add_func(function, "kernel")
                made = builder.emit_output(relax.call_tir(callee, arguments, result))
            builder.emit_func_output(made)
        return builder.finalize()
    functions = {"main": function.with_attr("global_symbol", "main")}
    calls: list[relax.Call] = []
    relax.analysis.post_order_visit(
        function, lambda node: calls.append(node) if isinstance(node, relax.Call) else None
    )
    for call in calls:
        for callee in call.args:
            if isinstance(callee, tvm.ir.GlobalVar):
                functions[callee] = module[callee]
    return tvm.IRModule(functions)


def _undefined_sizes(inputs: Sequence[relax.Var], used: Sequence[tirx.Var]) -> list[relax.Var]:
    """What TVM's fusion adds to the parameters: one of the sizes that no input has as a dimension.

    ``used`` are those of the function beside those in the shapes of its inputs. Nothing where all are known.
    """
    types = tvm.ir.TupleType([parameter.ty for parameter in inputs])
    known = list(relax.analysis.definable_tir_vars_in_type(types))
    missing: list[tirx.Var] = []
    for size in [*relax.analysis.tir_vars_in_type(types), *used]:
        if not any(size.same_as(other) for other in [*known, *missing]):
            missing.append(size)
    return [relax.Var("sizes", relax.ShapeType(missing))] if missing else []
