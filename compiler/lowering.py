"""From an imported graph to scheduled TIR, and from there to an executable."""

from __future__ import annotations

from dataclasses import dataclass

import tvm
from tvm import relax

from paddle_tvm.compiler.linking import External
from paddle_tvm.compiler.passes.fold_scale import fold_scale
from paddle_tvm.compiler.passes.keep_nan import keep_nan
from paddle_tvm.compiler.passes.loose_scalars import isolate_loose_scalars
from paddle_tvm.compiler.passes.merge_functions import merge_functions, order_sizes
from paddle_tvm.compiler.passes.offload import Offloaded, offload
from paddle_tvm.compiler.passes.order_shape_functions import order_shape_functions
from paddle_tvm.compiler.passes.record_graphs import record_graphs
from paddle_tvm.compiler.passes.release_memory import release_memory
from paddle_tvm.compiler.passes.shape_checks import explain_shape_checks, hold_checked, lower_shape_checks
from paddle_tvm.compiler.passes.trust_weights import trust_weights
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.meaning import without_meanings


def optimise(module: tvm.IRModule) -> tvm.IRModule:
    """Graph passes that no target cares about: fold, merge what is the same, drop what is unused."""
    return tvm.transform.Sequential(
        [
            relax.transform.EliminateCommonSubexpr(),
            tvm.transform.module_pass(lambda module, _: fold_scale(module), opt_level=0, name="FoldScale"),
            relax.transform.DeadCodeElimination(),
        ]
    )(module)


@dataclass(frozen=True)
class LoweredStages:
    """A module on its way from operators to kernels.

    ``offloaded`` is what the target's accelerator has left, with the code of what it took; None where there
    is no accelerator. ``arranged`` has layouts and merged operators, ``operators`` a TIR function for each
    operator, ``groups`` a Relax function for those that become one kernel, ``fused`` a TIR function for each
    kernel, and ``scheduled`` the same with their schedules.
    """

    offloaded: Offloaded | None
    arranged: tvm.IRModule
    operators: tvm.IRModule
    groups: tvm.IRModule
    fused: tvm.IRModule
    scheduled: tvm.IRModule


def lower_in_stages(module: tvm.IRModule, target: Target) -> LoweredStages:
    """Legalize operators for the target, fuse them, and schedule every kernel; keeps what is between."""
    accelerator = target.accelerator
    offloaded = None if accelerator is None else offload(module, accelerator, target.choices, target.features)
    with target.tvm_target:
        arranged = target.arrange(without_meanings(module if offloaded is None else offloaded.module))
        operators = tvm.transform.Sequential(
            [
                relax.transform.LegalizeOps(target.legalizations()),
                keep_nan,
                relax.transform.FoldConstant(),
                relax.transform.DeadCodeElimination(),
                relax.transform.AnnotateTIROpPattern(),
                isolate_loose_scalars,
                merge_functions,
            ]
        )(arranged)
        groups = merge_functions(relax.transform.FuseOps()(operators))
        fused = tvm.transform.Sequential(
            [relax.transform.FuseTIR(), relax.transform.DeadCodeElimination(), order_sizes]
        )(groups)
        return LoweredStages(offloaded, arranged, operators, groups, fused, target.schedule(fused))


def external_code(stages: LoweredStages, target: Target) -> External | None:
    """What the target's accelerator has the executable linked with; None where it took nothing."""
    if target.accelerator is None or stages.offloaded is None or not stages.offloaded.code:
        return None
    return External(target.accelerator.name, target.accelerator.runtime, stages.offloaded.code)


def lower(module: tvm.IRModule, target: Target) -> tvm.IRModule:
    """Legalize operators for the target, fuse them, and schedule every kernel."""
    return lower_in_stages(module, target).scheduled


def build(module: tvm.IRModule, target: Target) -> relax.VMExecutable:
    """Plan memory, generate code, and link an executable."""
    graphs = [record_graphs] if target.graphs else []
    pipeline = tvm.transform.Sequential(
        [
            relax.transform.RewriteDataflowReshape(),
            relax.transform.ToNonDataflow(),
            relax.transform.RemovePurityChecking(),
            relax.transform.CallTIRRewrite(),
            hold_checked,
            relax.transform.StaticPlanBlockMemory(),
            *graphs,
            release_memory,
            relax.transform.LowerRuntimeBuiltin(),
            relax.transform.ComputePrimValue(),
            lower_shape_checks,
            relax.transform.VMShapeLower(),
            order_shape_functions,
            explain_shape_checks,
            trust_weights,
            relax.transform.AttachGlobalSymbol(),
        ]
    )
    with target.generating():
        return tvm.compile(
            target.plan(module),
            target=target.tvm_target,
            relax_pipeline=pipeline,
            tir_pipeline=target.tir_pipeline,
        )
