"""Describes the kernels of a model while it is compiled: what is fused in them, work, layouts, schedules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import tvm
from tvm import ir, relax, tirx
from tvm_ffi import structural_equal

from paddle_tvm.compiler.imported import ImportedModel
from paddle_tvm.compiler.lowering import LoweredStages
from paddle_tvm.compiler.passes.offload import CALL_EXTERNAL
from paddle_tvm.compiler.profiling.expressions import Amount, amount
from paddle_tvm.compiler.profiling.fusion_trace import Groups, bindings_of, trace_fusion
from paddle_tvm.compiler.profiling.kernel_table import (
    Edge,
    Form,
    KernelCall,
    KernelTable,
    Operator,
    Schedule,
)
from paddle_tvm.compiler.profiling.kernel_work import KernelWork
from paddle_tvm.compiler.profiling.provenance import Provenance
from paddle_tvm.compiler.profiling.schedule_notes import read_schedule
from paddle_tvm.compiler.profiling.subgraph_work import SubgraphWork
from paddle_tvm.compiler.profiling.work import tensor_bytes
from paddle_tvm.targets.workload import Choice

_CALL_TIR = "relax.call_tir"
_BLOCK_WIDTHS = (4, 8, 16)


def describe_kernels(
    imported: tvm.IRModule,
    optimised: tvm.IRModule,
    stages: LoweredStages,
    models: Mapping[str, ImportedModel],
    legalizations: Mapping[str, Callable[..., Any]],
    choices: Mapping[str, Choice],
    accelerator: str | None = None,
) -> KernelTable:
    """Describe every kernel of a lowered module.

    Parameters
    ----------
    imported
        The module as the frontend made it, values named after the model's operators.
    optimised
        The module before layouts and lowering.
    stages
        What lowering it gave.
    models
        The forms of the model, by name.
    legalizations
        Relax operators that the target lowers itself, and how.
    choices
        The forms that workloads got, by their key.
    accelerator
        The name of what computes subgraphs that it took, where something did.
    """
    groups = trace_fusion(stages.operators, stages.groups)
    forms = {}
    subgraphs = None if stages.offloaded is None else SubgraphWork(optimised, legalizations)
    for name, model in models.items():
        offloaded = {} if stages.offloaded is None else stages.offloaded.computed[name]
        provenance = Provenance(
            imported[name], optimised[name], stages.arranged[name], legalizations, offloaded
        )
        work = KernelWork(optimised[name], stages, name, provenance)
        taken: Mapping[str, Amount | None] = {}
        if subgraphs is not None:
            taken = {result: subgraphs.flops(name, values) for result, values in offloaded.items()}
        describer = _Describer(stages.scheduled[name], groups[name], provenance, work, taken)
        forms[name] = describer.form(model)
    schedules = {
        variable.name_hint: read_schedule(stages.fused[variable], function, choices)
        for variable, function in stages.scheduled.functions.items()
        if isinstance(function, tirx.PrimFunc)
    }
    reasons: Mapping[str, Mapping[str, str]] = {}
    if stages.offloaded is not None:
        schedules |= {
            symbol: Schedule(None, {}, (), view=False, external=accelerator, arithmetic=generated.arithmetic)
            for symbol, generated in stages.offloaded.code.items()
        }
        reasons = stages.offloaded.reasons
    return KernelTable(forms, schedules, models["main"].operators, reasons)


class _Describer:
    def __init__(
        self,
        function: relax.Function,
        groups: Groups,
        provenance: Provenance,
        work: KernelWork,
        taken: Mapping[str, Amount | None],
    ) -> None:
        self._function = function
        self._bindings = bindings_of(function)
        self._groups = groups
        self._provenance = provenance
        self._work = work
        # FLOPs of what an accelerator took, by the name of the result.
        self._taken = taken
        self._edges: dict[Any, Edge] = {}
        # The tensor that a variable stands for: a field of a tuple, another variable.
        self._same: dict[relax.Var, Any] = {}

    def form(self, model: ImportedModel) -> Form:
        parameters = self._function.params
        ports = {
            port.name: self._edge(parameter) for port, parameter in zip(model.inputs, parameters, strict=True)
        }
        calls = []
        for variable, value in self._bindings.items():
            if _is_kernel_call(value):
                calls.append(self._call(variable, value))
            elif isinstance(value, relax.Var | relax.TupleGetItem | relax.Tuple):
                self._same[variable] = value
            elif isinstance(value, relax.Call) and _is_tensor(variable):
                # Something of the runtime (a check, a cast): its result is its first tensor in another type.
                tensors = [argument for argument in value.args if _is_tensor(argument)]
                if tensors and structural_equal(tensors[0].ty.shape, variable.ty.shape):
                    self._same[variable] = tensors[0]
        results = self._resolve(self._function.body.body)
        fields = list(results.fields) if isinstance(results, relax.Tuple) else [results]
        return Form(
            ports,
            {port.name: self._edge(field) for port, field in zip(model.outputs, fields, strict=True)},
            tuple(_with_transforms(calls)),
        )

    def _call(self, variable: relax.Var, call: relax.Call) -> KernelCall:
        arguments = list(call.args[1].fields)
        results = list(call.ty_args[0].fields) if isinstance(call.ty_args[0], relax.TupleType) else None
        group = self._groups.get(variable, (variable,))
        operators, folded = self._provenance.of(group)
        if results is None:
            outputs = [self._edge(variable)]
        else:
            outputs = [self._field(variable, place, ty) for place, ty in enumerate(results)]
        kernel = _kernel_name(call)
        flops, size = self._flops_and_bytes(call, group, arguments, results or call.ty_args)
        return KernelCall(
            kernel=kernel,
            # A transform, which the model does not ask for.
            operators=operators or (Operator(kernel.rstrip("0123456789"), None, True),),
            folded=folded,
            inputs=tuple(self._edge(argument) for argument in arguments if _is_tensor(argument)),
            outputs=tuple(outputs),
            flops=flops,
            bytes=size,
        )

    def _flops_and_bytes(
        self,
        call: relax.Call,
        group: Sequence[relax.Var],
        arguments: Sequence[Any],
        results: Sequence[relax.TensorType],
    ) -> tuple[Amount | None, Amount | None]:
        if call.op.name == CALL_EXTERNAL:
            # How much goes through memory between its steps is the accelerator's affair.
            return next((self._taken[value.name] for value in group if value.name in self._taken), None), None
        read = self._work.bytes_read(call.args[0], arguments)
        return self._work.flops(group), amount(read + sum(map(tensor_bytes, results)))

    def _field(self, variable: relax.Var, place: int, ty: relax.TensorType) -> Edge:
        key = (variable, place)
        if key not in self._edges:
            self._edges[key] = _edge(len(self._edges), ty, self._provenance.rank(variable))
        return self._edges[key]

    def _resolve(self, expr: Any) -> Any:
        while isinstance(expr, relax.Var) and expr in self._same:
            expr = self._same[expr]
        if isinstance(expr, relax.TupleGetItem):
            inner = self._resolve(expr.tuple_value)
            if isinstance(inner, relax.Tuple):
                return self._resolve(inner.fields[expr.index])
        return expr

    def _edge(self, expr: Any) -> Edge:
        found = self._resolve(expr)
        if isinstance(found, ir.Constant):
            return _edge(None, expr.ty, None)
        key = (found.tuple_value, found.index) if isinstance(found, relax.TupleGetItem) else found
        if key not in self._edges:
            rank = self._provenance.rank(found) if isinstance(found, relax.Var) else None
            self._edges[key] = _edge(len(self._edges), expr.ty, rank)
        return self._edges[key]


def _with_transforms(calls: Sequence[KernelCall]) -> list[KernelCall]:
    """The calls, with those that only bring a tensor into the layout of another kernel named as that.

    Their values have the names of the operators that wanted the layout, which compute nothing there.
    """
    busy = {operator for call in calls if call.flops != 0 for operator in call.operators}
    done = []
    for call in calls:
        change = _change_of_layout(call)
        own = {operator for operator in call.operators if operator.number is not None}
        if change is not None and call.flops == 0 and own <= busy:
            call = replace(call, operators=(Operator(change, None, True),), folded=())
        done.append(call)
    return done


def _change_of_layout(call: KernelCall) -> str | None:
    """What a call does that only reorders the axes of its input; None for another call."""
    if len(call.inputs) != 1 or len(call.outputs) != 1:
        return None
    before, after = call.inputs[0].shape, call.outputs[0].shape
    if before == after or sorted(map(str, before)) != sorted(map(str, after)):
        return None
    if len(before) == 4:
        first, *rest = before
        if after == (first, *rest[1:], rest[0]):
            return "NCHW to NHWC"
        if after == (first, rest[-1], *rest[:-1]):
            return "NHWC to NCHW"
    return "other order of axes"


def _edge(number: int | None, ty: relax.TensorType, rank: int | None) -> Edge:
    shape = tuple(amount(dim) for dim in ty.shape)
    return Edge(number, str(ty.dtype), shape, "" if number is None else _layout(shape, rank))


def _layout(shape: tuple[int | str, ...], rank: int | None) -> str:
    """The layout of a value that has ``rank`` axes in the model (None for one that is not in it)."""
    if len(shape) == 5 and shape[4] in _BLOCK_WIDTHS and rank in (4, None):
        return f"NCHW{shape[4]}c"
    return ""


def _is_kernel_call(value: Any) -> bool:
    return (
        isinstance(value, relax.Call)
        and isinstance(value.op, ir.Op)
        and value.op.name in (_CALL_TIR, CALL_EXTERNAL)
    )


def _kernel_name(call: relax.Call) -> str:
    callee = call.args[0]
    return str(callee.name_hint if isinstance(callee, ir.GlobalVar) else callee.global_symbol)


def _is_tensor(expr: Any) -> bool:
    return isinstance(expr, relax.Expr) and isinstance(getattr(expr, "ty", None), relax.TensorType)
