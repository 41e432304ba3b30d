"""The passes from scheduled TIR to what the CUDA code generator takes."""

from __future__ import annotations

from typing import Any

import tvm
import tvm_ffi
from tvm import ir, s_tir, tirx
from tvm.tirx.compilation_pipeline import PIPELINE_MAP, finalize_device_passes, finalize_host_passes

# TVM 0.27 takes CUDA's fast versions of these, whose errors grow with the argument.
_EXACT = ("cos", "exp", "exp2", "exp10", "log", "log2", "log10", "pow", "sin", "tan", "tanh")


def exact_math(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Call functions that are right to a unit or two in the last place, and say of NaN what CPUs say.

    CUDA's ``max`` and ``min`` take the other of two numbers where one is NaN; those of native/numbers.cuh
    take the second, as the code for CPUs does.
    """

    def call_exact(call: ir.Call) -> Any:
        name = call.op.name.rpartition(".")[2] if isinstance(call.op, ir.Op) else ""
        if name == "reinterpret" and "float" in str(call.ty.dtype) and call.ty.dtype == call.args[0].ty.dtype:
            # It hides a number from TVM (passes/keep_nan.py), which sees through it on the way to CUDA.
            return tirx.call_pure_extern(str(call.ty.dtype), "pt_same", call.args[0])
        if name not in _EXACT or str(call.ty.dtype) != "float32":
            return call
        return tirx.call_pure_extern("float32", f"{name}f", *call.args)

    def call_of(name: str) -> Any:
        def choose(node: Any) -> Any:
            dtype = str(node.ty.dtype)
            return tirx.call_pure_extern(dtype, name, node.a, node.b) if "float" in dtype else node

        return choose

    rewrites = ((ir.Call, call_exact), (tirx.Max, call_of("pt_max")), (tirx.Min, call_of("pt_min")))
    return function.with_body(tvm_ffi.structural_map(function.body, rewrites))


@tvm.transform.module_pass(opt_level=0, name="LowerForCuda")  # type: ignore[untyped-decorator]  # TVM has no types
def lower_for_cuda(module: ir.IRModule, context: tvm.transform.PassContext) -> ir.IRModule:
    """Lower the TIR functions of a module to kernels and the code that starts them."""
    passes: list[Any] = [
        tirx.transform.prim_func_pass(
            lambda function, module, context: exact_math(function), opt_level=0, name="ExactMath"
        ),
        s_tir.transform.CanonicalizeLoop(),
        s_tir.transform.LowerInitBlock(),
        s_tir.transform.ConvertBlocksToOpaque(),
        s_tir.transform.UnifyThreadBinding(),
        s_tir.transform.LowerMatchBuffer(),
        s_tir.transform.StmtSimplify(),
        s_tir.transform.LowerOpaqueBlock(),
        tirx.transform.FlattenBuffer(),
        tirx.transform.BF16ComputeLegalize(),
        tirx.transform.NarrowDataType(32),
        tirx.transform.VectorizeLoop(True),
        tirx.transform.StorageRewrite(),
        # No UnrollLoop: nvcc unrolls what it is told to, and reads a tenth of the code.
        tirx.transform.StmtSimplify(),
        tirx.transform.RemoveNoOp(),
        s_tir.transform.RewriteUnsafeSelect(),
        tirx.transform.CommonSubexprElim(),
        tirx.transform.FP8ComputeLegalize(),
        tirx.transform.VerifyMemory(),
        tirx.transform.AnnotateEntryFunc(),
        tirx.transform.SplitHostDevice(),
        tirx.transform.MakePackedAPI(),
        tirx.transform.FP8StorageLegalize(),
        tirx.transform.BF16StorageLegalize(),
    ]
    return tvm.transform.Sequential(passes)(module)


NAME = "paddle_tvm.cuda"


def register_pipeline() -> str:
    """Make the pipeline known to TVM, which finds pipelines by name; returns the name."""
    PIPELINE_MAP[NAME] = lambda: (lower_for_cuda, finalize_host_passes, finalize_device_passes)
    return NAME
