"""From an imported graph to scheduled TIR, and from there to an executable."""

from __future__ import annotations

import tvm
from tvm import relax

from paddle_tvm.compiler.passes.fold_scale import fold_scale
from paddle_tvm.compiler.passes.loose_scalars import isolate_loose_scalars
from paddle_tvm.compiler.passes.shape_checks import lower_shape_checks
from paddle_tvm.targets.base import Target


def optimise(module: tvm.IRModule) -> tvm.IRModule:
    """Graph passes that no target cares about: fold, merge what is the same, drop what is unused."""
    return tvm.transform.Sequential(
        [
            relax.transform.EliminateCommonSubexpr(),
            tvm.transform.module_pass(lambda module, _: fold_scale(module), opt_level=0, name="FoldScale"),
            relax.transform.DeadCodeElimination(),
        ]
    )(module)


def lower(module: tvm.IRModule, target: Target) -> tvm.IRModule:
    """Legalize operators for the target, fuse them, and schedule every kernel."""
    with target.tvm_target:
        module = tvm.transform.Sequential(
            [
                relax.transform.LegalizeOps(target.legalizations()),
                relax.transform.FoldConstant(),
                relax.transform.DeadCodeElimination(),
                relax.transform.AnnotateTIROpPattern(),
                isolate_loose_scalars,
                relax.transform.FuseOps(),
                relax.transform.FuseTIR(),
                relax.transform.DeadCodeElimination(),
            ]
        )(module)
        return target.schedule(module)


def build(module: tvm.IRModule, target: Target) -> relax.VMExecutable:
    """Plan memory, generate code, and link an executable."""
    pipeline = tvm.transform.Sequential(
        [
            relax.transform.RewriteDataflowReshape(),
            relax.transform.ToNonDataflow(),
            relax.transform.RemovePurityChecking(),
            relax.transform.CallTIRRewrite(),
            relax.transform.StaticPlanBlockMemory(),
            relax.transform.LowerAllocTensor(),
            relax.transform.KillAfterLastUse(),
            relax.transform.LowerRuntimeBuiltin(),
            relax.transform.ComputePrimValue(),
            lower_shape_checks,
            relax.transform.VMShapeLower(),
            relax.transform.AttachGlobalSymbol(),
        ]
    )
    return tvm.compile(
        module, target=target.tvm_target, relax_pipeline=pipeline, tir_pipeline=target.tir_pipeline
    )
