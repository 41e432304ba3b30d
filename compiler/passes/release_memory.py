"""Spares the virtual machine calls that make and release tensors in memory that is planned anyway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tvm
from tvm import ir, relax, tirx

_STORAGE, _IN_STORAGE = "relax.memory.alloc_storage", "relax.memory.alloc_tensor"
# What needs no memory of its own: a tensor in that of the plan, and another shape for one.
_PLANNED = (_IN_STORAGE, "relax.reshape")
_ALLOCATES = "relax.builtin.alloc_tensor"


@tvm.ir.transform.module_pass(opt_level=0, name="ReleaseMemory")  # type: ignore[untyped-decorator]  # TVM has no types
def release_memory(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Lower what allocates tensors, and release each after its last use; in planned functions none.

    Each is a call of the virtual machine, a third of a microsecond. Where all tensors but the result lie in
    memory that is planned for known sizes, releasing one gives back nothing that another could use before the
    end of the run, when everything is released; and two tensors of one shape in one place are the same.

    Requires: StaticPlanBlockMemory has run. Ensures: a run has no more memory at once than the plan says.
    """
    lowered = relax.transform.LowerAllocTensor()(module)
    planned = {
        variable: _make_once(lowered[variable])
        for variable, function in module.functions.items()
        if isinstance(function, relax.Function) and _is_planned(function)
    }
    functions = dict(relax.transform.KillAfterLastUse()(lowered).functions.items())
    # Else the virtual machine copies from one name to the other.
    named_once = relax.transform.CanonicalizeBindings()(tvm.IRModule({**lowered.functions, **planned}))
    functions.update((variable, named_once[variable]) for variable in planned)
    return tvm.IRModule(functions, attrs=module.attrs)


def _make_once(function: relax.Function) -> relax.Function:
    """The function with tensors that are the same in memory as other names for one."""
    made: dict[Any, relax.Var] = {}
    blocks = []
    for block in function.body.blocks:
        bindings = []
        for binding in block.bindings:
            value = binding.value
            if _is_call(value, _IN_STORAGE):
                # Storage, offset, shape, type.
                key = (value.args[0], *map(str, value.args[1:]))
                first = made.setdefault(key, binding.var)
                value = value if first.same_as(binding.var) else first
            bindings.append(relax.VarBinding(binding.var, value))
        blocks.append(relax.BindingBlock(bindings))
    body = relax.SeqExpr(blocks, function.body.body)
    same = relax.Function(function.params, body, function.ret_ty, function.is_pure)
    return same.with_attrs(function.attrs)


def _is_planned(function: relax.Function) -> bool:
    """Whether all tensors that a function makes, but for what it returns, lie in memory of known sizes.

    Memory of unknown size is not shared by tensors of other sizes, so that the end of the run would be late.
    """
    body = function.body
    values = {binding.var: binding.value for block in body.blocks for binding in block.bindings}
    returned = set(_returned(body.body, values))
    return all(
        _makes_nothing(value) or (_is_call(value, _ALLOCATES) and variable in returned)
        for variable, value in values.items()
    )


def _makes_nothing(value: relax.Expr) -> bool:
    """Whether a value has no memory beside that of the plan; calls of kernels have no result."""
    if _is_call(value, _STORAGE):
        return all(isinstance(size, tirx.IntImm) for size in value.args[0].values)
    if isinstance(value, relax.Call):
        has_result = not isinstance(value.ty, ir.TupleType) or len(value.ty.fields) > 0
        return not has_result or any(_is_call(value, name) for name in _PLANNED)
    return isinstance(value, relax.Var | relax.Tuple | relax.TupleGetItem)


def _is_call(value: relax.Expr, name: str) -> bool:
    return isinstance(value, relax.Call) and isinstance(value.op, ir.Op) and value.op.name == name


def _returned(value: relax.Expr, values: Mapping[relax.Var, relax.Expr]) -> Iterator[relax.Var]:
    """The variables that a function returns, also as parts of tuples, or by another name or shape."""
    if isinstance(value, relax.Tuple):
        for field in value.fields:
            yield from _returned(field, values)
    elif _is_call(value, "relax.reshape"):
        yield from _returned(value.args[0], values)
    elif isinstance(value, relax.Var):
        yield value
        if value in values:
            yield from _returned(values[value], values)
