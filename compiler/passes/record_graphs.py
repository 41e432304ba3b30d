"""Lets kernels that always run in the same way be recorded once, as a CUDA graph."""

from __future__ import annotations

import tvm
from tvm import relax


@tvm.ir.transform.module_pass(opt_level=0, name="RecordGraphs")  # type: ignore[untyped-decorator]  # TVM has no types
def record_graphs(module: tvm.IRModule, context: tvm.transform.PassContext) -> tvm.IRModule:
    """Have the kernels of functions recorded whose sizes are all known.

    TVM 0.27's pass looks at the others too, and takes sizes out of them that it then cannot compute.

    Requires: memory is planned, and not lowered yet.
    """
    others = {
        variable: function
        for variable, function in module.functions.items()
        if isinstance(function, relax.Function) and _is_dynamic(function)
    }
    fixed = {variable: function for variable, function in module.functions.items() if variable not in others}
    with tvm.transform.PassContext(config={"relax.backend.use_cuda_graph": True}):
        recorded = relax.transform.RewriteCUDAGraph()(tvm.IRModule(fixed))
    return tvm.IRModule({**dict(recorded.functions.items()), **others}, attrs=module.attrs)


def _is_dynamic(function: relax.Function) -> bool:
    return bool(relax.analysis.defined_symbolic_vars(function)) or bool(
        relax.analysis.free_symbolic_vars(function)
    )
