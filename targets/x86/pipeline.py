"""The passes from scheduled TIR to what LLVM takes, for functions that run on the CPU.

TVM's own pipeline with what concerns GPUs left out, and division by symbolic dimensions lowered early.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tvm
from tvm import ir, s_tir, tirx
from tvm.tirx.compilation_pipeline import PIPELINE_MAP, finalize_device_passes, finalize_host_passes

from paddle_tvm.targets.x86.clipping import clip_tiles
from paddle_tvm.targets.x86.division import truncate_divisions, truncate_shifted_divisions
from paddle_tvm.targets.x86.every_thread import launch_threads
from paddle_tvm.targets.x86.overlap import overlap_tiles
from paddle_tvm.targets.x86.partitioning import partition_loops
from paddle_tvm.targets.x86.prefetch import prefetch_weights
from paddle_tvm.targets.x86.registers import split_registers
from paddle_tvm.targets.x86.vector_math import expand_vector_math


def _pass(rewrite: Callable[[tirx.PrimFunc], tirx.PrimFunc]) -> Any:
    """A TVM pass that rewrites every TIR function of a module."""

    def run(
        function: tirx.PrimFunc, module: ir.IRModule, context: tvm.transform.PassContext
    ) -> tirx.PrimFunc:
        return rewrite(function)

    return tirx.transform.prim_func_pass(run, opt_level=0, name=rewrite.__name__)


@tvm.transform.module_pass(opt_level=0, name="LowerForCpu")  # type: ignore[untyped-decorator]  # TVM has no types
def lower_for_cpu(module: ir.IRModule, context: tvm.transform.PassContext) -> ir.IRModule:
    """Lower the TIR functions of a module to calls and loops."""
    passes: list[Any] = [
        _pass(prefetch_weights),
        s_tir.transform.CanonicalizeLoop(),
        s_tir.transform.LowerInitBlock(),
        s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
        s_tir.transform.ConvertBlocksToOpaque(),
        s_tir.transform.CompactBufferAllocation(),
        s_tir.transform.LowerMatchBuffer(),
        _pass(overlap_tiles),
        _pass(clip_tiles),
        tirx.transform.ConvertSSA(),
        _pass(partition_loops),
        s_tir.transform.StmtSimplify(),
        s_tir.transform.LowerOpaqueBlock(),
        _pass(truncate_shifted_divisions),
        tirx.transform.FlattenBuffer(),
        tirx.transform.BF16ComputeLegalize(),
        _pass(expand_vector_math),
        # No NarrowDataType(32): with 32-bit indices the loop vectoriser of LLVM 22, for AVX-512, takes
        # `i % 8` for `i` where a sum of it and something else is widened to 64 bits (tests/targets).
        s_tir.transform.LoopPartition(),
        tirx.transform.VectorizeLoop(True),
        tirx.transform.StorageRewrite(),
        _pass(launch_threads),
        s_tir.transform.HoistIfThenElse(),
        tirx.transform.UnrollLoop(),
        tirx.transform.StmtSimplify(),
        _pass(split_registers),
        s_tir.transform.RewriteUnsafeSelect(),
        # No CommonSubexprElim: LLVM does it as well, and the variables that it makes hide the bounds of
        # symbolic divisions from what comes after, which then takes three times as long.
        _pass(truncate_divisions),
        tirx.transform.FP8ComputeLegalize(),
        tirx.transform.VerifyMemory(),
        tirx.transform.AnnotateEntryFunc(),
        tirx.transform.SplitHostDevice(),
        tirx.transform.MakePackedAPI(),
        tirx.transform.FP8StorageLegalize(),
        tirx.transform.BF16StorageLegalize(),
    ]
    return tvm.transform.Sequential(passes)(module)


NAME = "paddle_tvm.x86"


def register_pipeline() -> str:
    """Make the pipeline known to TVM, which finds pipelines by name; returns the name."""
    PIPELINE_MAP[NAME] = lambda: (lower_for_cpu, finalize_host_passes, finalize_device_passes)
    return NAME
