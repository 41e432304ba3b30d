"""Run-time checks of shapes, kept out of the passes' sight until the virtual machine's code is made.

TVM 0.27 has match_cast for them, but its passes take a match_cast for a definition of the symbols in its
shape: the check of a symbol that is defined before is dropped (CanonicalizeBindings, which is a step of
FuseTIR), and where a tensor of n // 2 * 2 elements is cast to one of n, passes substitute until the stack
is full. So a check is a call that means nothing to them, and becomes a match_cast at the end.
"""

from __future__ import annotations

import tvm
from tvm import relax

from paddle_tvm.targets.base import CHECK_SHAPE


def checked(tensor: relax.Expr, tensor_type: relax.TensorType) -> relax.Call:
    """The tensor, as one of a type whose shape it must be found to have when it is there."""
    return relax.op.call_pure_packed(CHECK_SHAPE, tensor, ty_args=[tensor_type])


@tvm.ir.transform.module_pass(opt_level=0, name="LowerShapeChecks")  # type: ignore[untyped-decorator]
def lower_shape_checks(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Turn checks into match_cast.

    Requires: bindings stand in binding blocks that are no dataflow blocks, and calls of packed functions are
    plain calls (RemovePurityChecking). Ensures: no call of ``checked`` is left; no pass but VMShapeLower may
    follow that rewrites bindings.
    """
    functions = {
        name: _lower(function) if isinstance(function, relax.Function) else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _lower(function: relax.Function) -> relax.Function:
    body = function.body
    blocks = [
        relax.BindingBlock([_match(binding) for binding in block.bindings])
        for block in (body.blocks if isinstance(body, relax.SeqExpr) else [])
    ]
    if not blocks:
        return function
    lowered = relax.Function(
        function.params, relax.SeqExpr(blocks, body.body), function.ret_ty, function.is_pure
    )
    return lowered.with_attrs(function.attrs) if function.attrs else lowered


def _match(binding: relax.Binding) -> relax.Binding:
    value = binding.value if isinstance(binding, relax.VarBinding) else None
    if (
        isinstance(value, relax.Call)
        and isinstance(value.op, relax.ExternFunc)
        and str(value.op.global_symbol) == CHECK_SHAPE
    ):
        return relax.MatchCast(binding.var, value.args[0], value.ty_args[0])
    return binding
