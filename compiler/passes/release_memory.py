"""Spares the virtual machine calls that make and release tensors in memory that is planned anyway."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tvm
from tvm import ir, relax, tirx

from paddle_tvm.compiler.passes.rewrite_bindings import rewrite_bindings
from paddle_tvm.compiler.profiling.fusion_trace import bindings_of
from paddle_tvm.targets.expressions import is_call

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

    def named(binding: relax.Binding) -> relax.Binding:
        value = binding.value
        if not is_call(value, _IN_STORAGE):
            return binding
        # Storage, offset, shape, type.
        first = made.setdefault((value.args[0], *map(str, value.args[1:])), binding.var)
        return binding if first.same_as(binding.var) else relax.VarBinding(binding.var, first)

    return rewrite_bindings(function, lambda bindings: [named(binding) for binding in bindings])


def _is_planned(function: relax.Function) -> bool:
    """Whether all tensors that a function makes, but for what it returns, lie in memory of known sizes.

    Memory of unknown size is not shared by tensors of other sizes, so that the end of the run would be late.
    """
    values = bindings_of(function)
    returned = set(_returned(function.body.body, values))
    return all(
        _makes_nothing(value) or (is_call(value, _ALLOCATES) and variable in returned)
        for variable, value in values.items()
    )


def _makes_nothing(value: relax.Expr) -> bool:
    """Whether a value has no memory beside that of the plan; calls of kernels have no result."""
    if is_call(value, _STORAGE):
        return all(isinstance(size, tirx.IntImm) for size in value.args[0].values)
    if isinstance(value, relax.Call):
        has_result = not isinstance(value.ty, ir.TupleType) or len(value.ty.fields) > 0
        return not has_result or is_call(value, *_PLANNED)
    return isinstance(value, relax.Var | relax.Tuple | relax.TupleGetItem)


def _returned(value: relax.Expr, values: Mapping[relax.Var, relax.Expr]) -> Iterator[relax.Var]:
    """The variables that a function returns, also as parts of tuples, or by another name or shape."""
    if isinstance(value, relax.Tuple):
        for field in value.fields:
            yield from _returned(field, values)
    elif is_call(value, "relax.reshape"):
        yield from _returned(value.args[0], values)
    elif isinstance(value, relax.Var):
        yield value
        if value in values:
            yield from _returned(values[value], values)
