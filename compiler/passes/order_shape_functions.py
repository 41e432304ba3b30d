"""Gives the functions that compute sizes at run time an order of their own."""

from __future__ import annotations

import tvm
import tvm_ffi
from tvm import ir, tirx


@tvm.ir.transform.module_pass(opt_level=0, name="OrderShapeFunctions")  # type: ignore[untyped-decorator]  # TVM has no types
def order_shape_functions(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Have shape functions store sizes in the order of their places.

    VMShapeLower of TVM 0.27 stores them in the order of addresses, another in every run.

    Requires: VMShapeLower has run. Ensures: the same sizes, and the same module in every run.
    """
    functions = {
        variable: _ordered(function)
        if isinstance(function, tirx.PrimFunc) and variable.name_hint.startswith("shape_func")
        else function
        for variable, function in module.functions.items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _ordered(function: tirx.PrimFunc) -> tirx.PrimFunc:
    if not isinstance(function.body, tirx.SeqStmt):
        return function
    stores = list(function.body.seq)
    read: set[int] = set()
    for store in stores:
        tvm_ffi.structural_walk(
            store.value, (ir.TensorLoad, lambda load: read.add(int(load.indices[0].value)))
        )
    if read & set(map(_place, stores)):
        # One is computed of another.
        return function
    return function.with_body(tirx.SeqStmt(sorted(stores, key=_place)))


def _place(store: tirx.BufferStore) -> int:
    return int(store.indices[0].value)
