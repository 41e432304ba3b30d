"""The road from a saved model to an artifact, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from paddle_tvm.compiler.artifact import Code, Description, StagedArtifact, stage_artifact
from paddle_tvm.compiler.frontends.importing import import_forms
from paddle_tvm.compiler.frontends.source import ModelSource, find_model
from paddle_tvm.compiler.imported import ImportedModel
from paddle_tvm.compiler.lowering import build, external_code, lower_in_stages, optimise
from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.compiler.output_places import check_output
from paddle_tvm.compiler.passes.lift_weights import lift_weights
from paddle_tvm.compiler.passes.merge_forms import merge_forms
from paddle_tvm.compiler.profiling.describe import describe_kernels
from paddle_tvm.compiler.profiling.offloaded_share import OffloadedShare
from paddle_tvm.compiler.tuning.choices import TunedChoices, shipped_logs
from paddle_tvm.compiler.tuning.log import Skipped
from paddle_tvm.compiler.tuning.log_use import ForeignForms, UnusedLog, unused_by_all
from paddle_tvm.compiler.tuning.workload_names import name_workload
from paddle_tvm.compiler.verify import VerificationResult, verify_artifact
from paddle_tvm.runtime.cpu import cpu_features, default_threads
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.gpus import find_gpus
from paddle_tvm.runtime.manifest import (
    FunctionSpec,
    Producer,
    Source,
    SymbolRange,
    TargetSpec,
    TensorSpec,
)
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.registry import targets_of
from paddle_tvm.targets.workload import Choice, GraphWorkload


@dataclass(frozen=True)
class Stage:
    """A stage of the compilation and how long it took."""

    name: str
    seconds: float


@dataclass(frozen=True)
class CompiledVariant:
    """The code for one CPU, or for GPUs (``devices``).

    ``kernels`` counts ours, ``subgraphs`` those that an accelerator computes, of all forms together.
    ``verification`` is None where none was asked for, or where this machine's CPU lacks the features that
    ``missing`` names. ``choices`` has the forms of kernels that may have several, by the kernel's name, and
    what logs say above kernels; ``graph_choices`` has all that could be chosen there. ``offloaded`` says for
    each form what an accelerator computes of it; it is empty where there is none.
    """

    mcpu: str
    kernels: int
    subgraphs: int
    missing: tuple[str, ...]
    verification: VerificationResult | None
    choices: Mapping[str, Choice]
    graph_choices: Mapping[GraphWorkload, Choice]
    offloaded: Mapping[str, OffloadedShare] = field(default_factory=dict)
    devices: tuple[str, ...] = ()

    @property
    def made_for(self) -> str:
        """The CPU, or the GPUs."""
        return ", ".join(self.devices) or self.mcpu


@dataclass(frozen=True)
class CompileResult:
    """What a compilation made; a machine takes the first of ``variants`` that it can run.

    ``skipped_records`` are the lines of tuning logs that could not be used; ``unused_logs`` are those of the
    user's logs whose winners are for nothing of any variant; ``foreign_forms`` names the logs that gave forms
    of another family of cores than was compiled for. ``notes`` are sentences on what was compiled for.
    """

    artifact: Path
    stages: tuple[Stage, ...]
    variants: tuple[CompiledVariant, ...]
    artifact_bytes: int
    skipped_records: tuple[Skipped, ...]
    foreign_forms: tuple[ForeignForms, ...]
    unused_logs: tuple[UnusedLog, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def kernels(self) -> int:
        """Kernels of ours in the first variant."""
        return self.variants[0].kernels

    @property
    def verification(self) -> VerificationResult | None:
        """The verification of the first variant that was verified."""
        return next((v.verification for v in self.variants if v.verification is not None), None)


class Progress(Protocol):
    """Told of each stage as it runs."""

    def stage(self, name: str) -> AbstractContextManager[Any]: ...


class _Stages:
    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.done: list[Stage] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        with self.progress.stage(name) if self.progress else nullcontext():
            yield
        self.done.append(Stage(name, time.perf_counter() - begin))


def compile_model(
    model: str | Path, output: str | Path, options: CompileOptions, progress: Progress | None = None
) -> CompileResult:
    """Compile a saved model into an artifact; ``paddle_tvm.compiler.compile`` has the description."""
    stage = _Stages(progress)
    output = Path(output)
    check_output(output, options.force)
    source = find_model(model)
    targets = targets_of(
        options.target,
        options.mcpus(),
        options.architectures,
        options.precision,
        options.min_subgraph_size or 3,
    )
    accelerator = targets[0].accelerator
    if accelerator is not None:
        # What it needs is looked for before anything takes time.
        _ = accelerator.runtime
    missing = {target.mcpu: tuple(sorted(set(target.features) - cpu_features())) for target in targets}
    if options.verify and all(missing.values()):
        raise UsageError(
            "--verify runs the code, and this machine lacks what it needs ("
            + "; ".join(f"--mcpu {mcpu}: {', '.join(features)}" for mcpu, features in missing.items())
            + "): compile without it, and verify on such a machine"
        )
    if options.verify and any(target.devices for target in targets):
        problem = find_gpus().problem
        if problem:
            raise UsageError(
                f"--verify runs the code, and this machine has no GPU for it: {problem}. Compile without it, "
                "and verify on such a machine: paddle-tvm verify ARTIFACT --model MODEL"
            )
    logged = [_choices(target, options) for target in targets]
    with stage("import"):
        forms = import_forms(source, options)
    with stage("optimise"):
        imported = merge_forms({name: form.module for name, form in forms.items()})
        module = optimise(imported)
    description = _describe(source, forms, options)
    variants: list[CompiledVariant] = []
    with stage_artifact(output, description, [t.mcpu for t in targets], force=options.force) as staged:
        for target, choices in zip(targets, logged, strict=True):
            of = "" if len(targets) == 1 else f" for {target.mcpu}"
            with stage(f"lower and schedule{of}"):
                lowered = lower_in_stages(module, target.with_choices(choices))
                table = describe_kernels(
                    imported,
                    module,
                    lowered,
                    forms,
                    target.legalizations(),
                    choices.made,
                    None if target.accelerator is None else target.accelerator.name,
                )
                lifted = lift_weights(lowered.scheduled)
            with stage(f"generate code{of}"):
                executable = build(lifted.module, target)
            with stage(f"link{of}"):
                spec = TargetSpec(target.kind, target.mcpu, target.features, target.devices)
                graph = choices.of_graph()
                tuned = {name_workload(above): choice for above, choice in graph.items() if choice.source}
                made = {**table.choices, **tuned}
                external = external_code(lowered, target)
                staged.add(
                    Code(
                        spec,
                        executable,
                        lifted.weights,
                        lifted.used,
                        # On a GPU it makes no difference how many the CPU has.
                        None if target.devices else choices.threads,
                        table,
                        made,
                        external,
                        target.libraries,
                    )
                )
            shares = {} if accelerator is None else {name: table.offloaded(name) for name in table.forms}
            variants.append(
                CompiledVariant(
                    *(target.mcpu, table.kernels, table.subgraphs, missing[target.mcpu], None),
                    *(made, graph, shares, target.devices),
                )
            )
        with stage("sum up the files"):
            staged.complete()
        if options.verify:
            variants = [_verify(variant, staged, model, stage) for variant in variants]
        with stage("write the artifact"):
            staged.publish()
    return CompileResult(
        artifact=output,
        stages=tuple(stage.done),
        variants=tuple(variants),
        artifact_bytes=sum(file.stat().st_size for file in output.rglob("*") if file.is_file()),
        # Several targets read the same logs.
        skipped_records=tuple(dict.fromkeys(line for choices in logged for line in choices.skipped)),
        foreign_forms=tuple(forms for choices in logged for forms in choices.foreign_forms),
        unused_logs=unused_by_all([choices.unused_logs for choices in logged]),
        notes=tuple(note for target in targets for note in target.notes),
    )


def _choices(target: Target, options: CompileOptions) -> TunedChoices:
    return TunedChoices(
        target,
        options.logs(),
        shipped_logs(target) if options.shipped_logs else (),
        default_threads(),
        options.fixed_forms,
    )


def _verify(
    variant: CompiledVariant, staged: StagedArtifact, model: str | Path, stage: _Stages
) -> CompiledVariant:
    """Verify a variant, if this machine runs it, and record the result in the artifact."""
    if variant.missing:
        return variant
    with stage("verify" if len(staged.manifest.variants) == 1 else f"verify {variant.mcpu}"):
        verification = verify_artifact(staged.path, model, mcpu=variant.mcpu)
    verification.require_passed()
    staged.record(variant.mcpu, verification.to_manifest())
    return replace(variant, verification=verification)


def _describe(
    source: ModelSource, forms: Mapping[str, ImportedModel], options: CompileOptions
) -> Description:
    general = forms["main"]
    symbols = sorted(
        {dim for form in forms.values() for port in form.inputs for dim in port.shape if isinstance(dim, str)}
    )
    through_onnx = source.kind == "onnx" or options.frontend == "onnx"
    return Description(
        producer=Producer(
            paddle_tvm=metadata.version("paddle-tvm"),
            tvm=metadata.version("apache-tvm"),
            tvm_ffi=metadata.version("apache-tvm-ffi"),
            paddle=None if source.kind == "onnx" else metadata.version("paddlepaddle"),
        ),
        source=Source(source.name, source.sha256(), "onnx" if through_onnx else "paddle"),
        inputs=tuple(TensorSpec(port.name, port.dtype, port.shape) for port in general.inputs),
        outputs=tuple(TensorSpec(port.name, port.dtype, port.shape) for port in general.outputs),
        symbols={name: SymbolRange(general.minimums.get(name, 1), None) for name in symbols},
        precision=options.precision,
        functions=tuple(
            FunctionSpec(name, tuple(port.shape for port in form.inputs)) for name, form in forms.items()
        ),
    )
