"""The Relax function of a kernel and what is fused with it: its workload, and other forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tvm
import tvm_ffi
from tvm import relax, s_tir, tirx

from paddle_tvm.targets.unchecked_schedule import UncheckedSchedule
from paddle_tvm.targets.workload import WORKLOAD, Config, PackedWorkload, Workload

_WEIGHT = 1
"""Of a kernel's operands the one that is packed at compile time."""


def workload_of(function: tirx.PrimFunc) -> Workload | None:
    """The workload of a TIR function that is not scheduled yet; None where its form cannot be chosen."""
    found: list[str] = []

    def visit(block: s_tir.SBlock) -> None:
        if WORKLOAD in block.annotations:
            found.append(str(block.annotations[WORKLOAD]))

    tvm_ffi.structural_walk(function.body, (s_tir.SBlock, visit))
    return Workload.from_key(found[0]) if found else None


def main_call(module: tvm.IRModule, workload: Workload) -> relax.Call:
    """The call of the TIR function that computes the workload."""
    calls: list[relax.Call] = []

    def visit(node: Any) -> None:
        if isinstance(node, relax.Call) and node.op.name == "relax.call_tir":
            made = workload_of(module[node.args[0]])
            if made == workload:
                calls.append(node)

    relax.analysis.post_order_visit(module["main"], visit)
    return calls[0]


def weight_parameter(module: tvm.IRModule, workload: PackedWorkload) -> relax.Var:
    """The parameter of a group that is packed at compile time."""
    return main_call(module, workload).args[1].fields[_WEIGHT]


def reform(module: tvm.IRModule, workload: Workload, config: Config) -> tvm.IRModule:
    """The module with its kernel in another form."""
    function = module["main"]
    replaced = main_call(module, workload)
    known: dict[relax.Var, relax.Expr] = {
        parameter: relax.Var(parameter.name, parameter.ty) for parameter in function.params
    }
    form = None
    if isinstance(workload, PackedWorkload):
        form = workload.compute(config)
        weight = weight_parameter(module, workload)
        shape = list(workload.packed_shape(config))
        known[weight] = relax.Var(weight.name, relax.TensorType(shape, str(weight.ty.dtype)))

    def remap(expr: relax.Expr) -> relax.Expr:
        if isinstance(expr, relax.Var):
            # A size is a variable too, which stays what it is.
            return known[expr] if is_tensor(expr) else expr
        if isinstance(expr, relax.Tuple):
            return relax.Tuple([remap(field) for field in expr.fields])
        if isinstance(expr, relax.TupleGetItem):
            return relax.TupleGetItem(remap(expr.tuple_value), expr.index)
        if isinstance(expr, tvm.ir.GlobalVar):
            callee = module[expr]
            own = replaced.args[0].same_as(expr) and form is None
            return builder.add_func(
                _annotated(callee, workload.notes(config)) if own else callee, expr.name_hint
            )
        if isinstance(expr, relax.Call):
            return relax.Call(expr.op, [remap(arg) for arg in expr.args], expr.attrs, expr.ty_args)
        return expr

    builder = relax.BlockBuilder()
    with builder.function("main", list(known.values()), attrs={"Primitive": True}):
        with builder.dataflow():
            for binding in function.body.blocks[0].bindings:
                value = binding.value
                if value.same_as(replaced) and form is not None:
                    # The form takes the sizes that it needs from its tensors' shapes.
                    fields = value.args[1].fields
                    operands = [remap(field) for field in fields if is_tensor(field)]
                    value = builder.call_te(form, *operands, primfunc_name_hint="kernel")
                else:
                    value = remap(value)
                known[binding.var] = builder.emit(value)
            result = builder.emit_output(known[function.body.body])
        group = builder.emit_func_output(result)
    # TVM fuses what is called, and drops the rest.
    arguments = [relax.Var(parameter.name, parameter.ty) for parameter in builder.get()[group].params]
    with builder.function("run", arguments):
        with builder.dataflow():
            result = builder.emit_output(relax.Call(group, arguments))
        builder.emit_func_output(result)
    return builder.finalize()


def is_tensor(expr: relax.Expr) -> bool:
    return isinstance(expr.ty, relax.TensorType)


def _annotated(function: tirx.PrimFunc, notes: Mapping[str, Any]) -> tirx.PrimFunc:
    """The function with other annotations on the block that computes the workload."""
    schedule = UncheckedSchedule(tvm.IRModule({"main": function.without_attr("global_symbol")}))
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        present = schedule.get(block).annotations
        if WORKLOAD in present:
            for name, value in notes.items():
                if name in present:
                    schedule.unannotate(block, name)
                schedule.annotate(block, name, value)
    return schedule.mod["main"].with_attrs(function.attrs)
