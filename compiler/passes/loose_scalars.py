"""Keeps kernels out of fusion that read a symbol which no shape of theirs shows."""

from __future__ import annotations

import tvm
import tvm_ffi
from tvm import ir, tirx

# TVM's number for "opaque": FuseOps leaves such functions alone.
_OPAQUE = 8


@tvm.ir.transform.module_pass(opt_level=0, name="IsolateLooseScalars")  # type: ignore[untyped-decorator]  # TVM has no types
def isolate_loose_scalars(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Mark functions that take a scalar on which no shape of their tensors depends, such as a range's start.

    TVM 0.27's FuseTIR defines such a parameter twice, and fails, where the group takes symbols besides.

    Requires: AnnotateTIROpPattern has run; FuseOps has not.
    """
    functions = {
        name: function.with_attr("op_pattern", _OPAQUE)
        if isinstance(function, tirx.PrimFunc) and _has_loose_scalar(function)
        else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _has_loose_scalar(function: tirx.PrimFunc) -> bool:
    in_shapes: list[ir.Var] = []
    scalars = []
    for param in function.params:
        if isinstance(param.ty, tirx.BufferType):
            for dim in param.shape:
                tvm_ffi.structural_walk(dim, (ir.Var, in_shapes.append))
        else:
            scalars.append(param)
    return any(not any(scalar.same_as(symbol) for symbol in in_shapes) for scalar in scalars)
