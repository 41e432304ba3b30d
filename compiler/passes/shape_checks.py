"""Run-time checks of shapes, kept out of the passes' sight until the virtual machine's code is made.

TVM 0.27 has match_cast for them, but its passes take a match_cast for a definition of the symbols in its
shape: the check of a symbol that is defined before is dropped (CanonicalizeBindings, which is a step of
FuseTIR), and where a tensor of n // 2 * 2 elements is cast to one of n, passes substitute until the stack
is full. So a check is a call that means nothing to them, and becomes a match_cast at the end.
"""

from __future__ import annotations

import tvm
from tvm import relax

from paddle_tvm.compiler.imported import format_dim
from paddle_tvm.compiler.passes.rewrite_bindings import rewrite_bindings
from paddle_tvm.runtime.failures import size_check
from paddle_tvm.targets.base import CHECK_SHAPE

# Stands for a use of a tensor that memory planning must not overlook; LowerShapeChecks drops it.
_HOLD = "paddle_tvm.hold"

# Stands before a check, with what to say where it fails; ExplainShapeChecks drops it.
_EXPLAIN = "paddle_tvm.explain"

# As TVM 0.27 calls them after LowerRuntimeBuiltin and VMShapeLower.
_ALLOCATE = "vm.builtin.alloc_tensor"
_COMPARE = "vm.builtin.match_shape"


def checked(tensor: relax.Expr, tensor_type: relax.TensorType) -> relax.Call:
    """The tensor, as one of a type whose shape it must be found to have when it is there."""
    return relax.op.call_pure_packed(CHECK_SHAPE, tensor, ty_args=[tensor_type])


@tvm.ir.transform.module_pass(opt_level=0, name="HoldChecked")  # type: ignore[untyped-decorator]  # TVM has no types
def hold_checked(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Keep the memory of tensors whose shapes are checked until the last use of what the check gives.

    That is the same tensor, which StaticPlanBlockMemory does not know: for it, the check would be the last
    use, and the memory free for what comes after.

    Requires: as ``lower_shape_checks``, which has to follow the planning.
    """
    functions = {
        name: rewrite_bindings(function, _hold) if isinstance(function, relax.Function) else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _hold(bindings: list[relax.Binding]) -> list[relax.Binding]:
    # By variable: the checked tensors whose memory it is in.
    sources: dict[relax.Var, frozenset[relax.Var]] = {}
    last: dict[relax.Var, int] = {}
    for place, binding in enumerate(bindings):
        operands = _operands(binding.value)
        held = frozenset().union(*(sources.get(operand, frozenset()) for operand in operands))
        last.update(dict.fromkeys(held, place))
        if _is_call(binding, CHECK_SHAPE) and isinstance(binding.value.args[0], relax.Var):
            held |= {binding.value.args[0]}
        # Whatever may be a view of an operand: no kernel, which writes to memory that it was given.
        if held and not _is_kernel(binding.value):
            sources[binding.var] = held
    after: dict[int, list[relax.Var]] = {}
    for source, place in last.items():
        after.setdefault(place, []).append(source)
    return [
        each
        for place, binding in enumerate(bindings)
        for each in (binding, *(_call(_HOLD, source) for source in after.get(place, [])))
    ]


def _operands(value: relax.Expr) -> list[relax.Var]:
    found: list[relax.Var] = []
    relax.analysis.post_order_visit(
        value, lambda node: found.append(node) if isinstance(node, relax.Var) else None
    )
    return found


def _is_kernel(value: relax.Expr) -> bool:
    return isinstance(value, relax.Call) and isinstance(value.op, tvm.ir.GlobalVar)


def _call(name: str, *operands: relax.Expr) -> relax.Binding:
    call = relax.Call(relax.ExternFunc(name), operands, None, [relax.TupleType([])])
    # VMShapeLower of TVM 0.27 does not find a function again into whose calls types were put meanwhile.
    relax.expr._update_type(call, relax.TupleType([]))
    return relax.VarBinding(relax.Var("_", relax.TupleType([])), call)


@tvm.ir.transform.module_pass(opt_level=0, name="LowerShapeChecks")  # type: ignore[untyped-decorator]  # TVM has no types
def lower_shape_checks(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Turn checks into match_cast.

    Requires: bindings stand in binding blocks that are no dataflow blocks, and calls of packed functions are
    plain calls (RemovePurityChecking). Ensures: no call of ``checked`` is left; no pass but VMShapeLower may
    follow that rewrites bindings, and after it ``explain_shape_checks`` has to.
    """
    functions = {
        name: rewrite_bindings(function, _lower) if isinstance(function, relax.Function) else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _lower(bindings: list[relax.Binding]) -> list[relax.Binding]:
    lowered: list[relax.Binding] = []
    # Memory planning takes the shape from the type of what it allocates.
    allocated: dict[relax.Var, relax.ShapeExpr] = {}
    for binding in bindings:
        if _is_call(binding, _ALLOCATE):
            allocated[binding.var] = binding.value.args[2]
        if _is_call(binding, CHECK_SHAPE):
            tensor, wanted = binding.value.args[0], binding.value.ty_args[0]
            own = tensor.ty.shape or allocated.get(tensor)
            reason = size_check(_sizes(own) if own else None, _sizes(wanted.shape))
            lowered += [
                _call(_EXPLAIN, tensor, tvm.ir.StringImm(reason)),
                relax.MatchCast(binding.var, tensor, wanted),
            ]
        elif not _is_call(binding, _HOLD):
            lowered.append(binding)
    return lowered


def _sizes(shape: relax.ShapeExpr) -> list[str]:
    return [format_dim(dim).replace("T.", "") for dim in shape.values]


@tvm.ir.transform.module_pass(opt_level=0, name="ExplainShapeChecks")  # type: ignore[untyped-decorator]  # TVM has no types
def explain_shape_checks(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Have a check that fails say which sizes it compares, in words that the runtime knows.

    Requires: VMShapeLower has run after ``lower_shape_checks``. Ensures: the same checks.
    """
    functions = {
        name: rewrite_bindings(function, _explain) if isinstance(function, relax.Function) else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _explain(bindings: list[relax.Binding]) -> list[relax.Binding]:
    explained: list[relax.Binding] = []
    reasons: dict[relax.Var, relax.Expr] = {}
    for binding in bindings:
        if _is_call(binding, _EXPLAIN):
            tensor, reasons[tensor] = binding.value.args
            continue
        if _is_call(binding, _COMPARE) and binding.value.args[0] in reasons:
            *operands, _ = binding.value.args
            call = binding.value
            binding = relax.VarBinding(
                binding.var,
                relax.Call(call.op, [*operands, reasons[operands[0]]], call.attrs, call.ty_args),
            )
        explained.append(binding)
    return explained


def _is_call(binding: relax.Binding, name: str) -> bool:
    value = binding.value if isinstance(binding, relax.VarBinding) else None
    return (
        isinstance(value, relax.Call)
        and isinstance(value.op, relax.ExternFunc)
        and str(value.op.global_symbol) == name
    )
