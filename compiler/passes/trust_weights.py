"""Spares the virtual machine the check of every weight in every run."""

from __future__ import annotations

import tvm
from tvm import relax

INPUTS = "num_input"
"""Attribute of a function: so many of its parameters are inputs, and those after them weights."""

# What VMShapeLower of TVM 0.27 emits for a parameter.
_CHECKS = ("vm.builtin.check_tensor_info", "vm.builtin.match_shape")


@tvm.ir.transform.module_pass(opt_level=0, name="TrustWeights")  # type: ignore[untyped-decorator]  # TVM has no types
def trust_weights(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Drop the checks of weights: the runtime makes them of what the manifest says, once.

    Each touches memory that the run before has driven out of the caches. Kernels check what they get anyway.

    Requires: VMShapeLower has run; no symbol stands in the shape of a weight. Ensures: the same function of
    weights that fit.
    """
    functions = {
        name: _trust(function) if isinstance(function, relax.Function) else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _trust(function: relax.Function) -> relax.Function:
    if function.attrs is None or INPUTS not in function.attrs:
        return function
    weights = set(function.params[int(function.attrs[INPUTS]) :])
    body = function.body
    blocks = [
        relax.BindingBlock([binding for binding in block.bindings if not _checks(binding, weights)])
        for block in body.blocks
    ]
    trusting = relax.Function(
        function.params, relax.SeqExpr(blocks, body.body), function.ret_ty, function.is_pure
    )
    return trusting.with_attrs(function.attrs)


def _checks(binding: relax.Binding, weights: set[relax.Var]) -> bool:
    """Whether a binding is the check of a weight."""
    value = binding.value if isinstance(binding, relax.VarBinding) else None
    return (
        isinstance(value, relax.Call)
        and isinstance(value.op, relax.ExternFunc)
        and str(value.op.global_symbol) in _CHECKS
        and value.args[0] in weights
    )
