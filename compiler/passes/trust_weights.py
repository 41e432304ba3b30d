"""Spares the virtual machine the check of every weight in every run."""

from __future__ import annotations

import tvm
from tvm import relax

from paddle_tvm.compiler.passes.rewrite_bindings import rewrite_bindings

INPUTS = "num_input"
"""Attribute of a function: so many of its parameters are inputs, and those after them weights."""

# What VMShapeLower of TVM 0.27 emits for a parameter.
_CHECK_KIND = "vm.builtin.check_tensor_info"
_CHECK_SHAPE = "vm.builtin.match_shape"
# Its code for a dimension that is compared with a number.
_EQUALS_NUMBER = 0


@tvm.ir.transform.module_pass(opt_level=0, name="TrustWeights")  # type: ignore[untyped-decorator]  # TVM has no types
def trust_weights(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Drop the checks of weights: the runtime makes them of what the manifest says, once.

    Each touches memory that the run before has driven out of the caches. Kernels check what they get anyway.

    Requires: VMShapeLower has run. Ensures: the same function of weights that fit; where their sizes have to
    fit those of inputs, that is checked as before.
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

    def trusting(bindings: list[relax.Binding]) -> list[relax.Binding]:
        return [binding for binding in bindings if not _checks(binding, weights)]

    return rewrite_bindings(function, trusting)


def _checks(binding: relax.Binding, weights: set[relax.Var]) -> bool:
    """Whether a binding is the check of a weight."""
    value = binding.value if isinstance(binding, relax.VarBinding) else None
    if not isinstance(value, relax.Call) or not isinstance(value.op, relax.ExternFunc):
        return False
    name, operands = str(value.op.global_symbol), value.args
    if name == _CHECK_SHAPE:
        # Tensor, sizes of inputs, rank; then for each dimension a code and what it is about; an explanation.
        numbers_alone = all(int(code.value) == _EQUALS_NUMBER for code in operands[3:-1:2])
        return operands[0] in weights and numbers_alone
    return name == _CHECK_KIND and operands[0] in weights
