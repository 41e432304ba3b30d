"""The road from a saved model to an artifact, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from tvm import tirx

from paddle_tvm.compiler.artifact import Description, check_output, stage_artifact
from paddle_tvm.compiler.frontends.importing import import_forms
from paddle_tvm.compiler.frontends.source import ModelSource, find_model
from paddle_tvm.compiler.imported import ImportedModel
from paddle_tvm.compiler.lowering import build, lower, optimise
from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.compiler.passes.lift_weights import LiftedModule, lift_weights
from paddle_tvm.compiler.passes.merge_forms import merge_forms
from paddle_tvm.compiler.verify import VerificationResult, verify_artifact
from paddle_tvm.runtime.cpu import cpu_features
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.manifest import (
    FunctionSpec,
    Producer,
    Source,
    SymbolRange,
    TargetSpec,
    TensorSpec,
)
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.x86 import x86_target


@dataclass(frozen=True)
class Stage:
    """A stage of the compilation and how long it took."""

    name: str
    seconds: float


@dataclass(frozen=True)
class CompileResult:
    """What a compilation made."""

    artifact: Path
    stages: tuple[Stage, ...]
    kernels: int
    artifact_bytes: int
    verification: VerificationResult | None


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
    target = x86_target(options.mcpu)
    lacking = set(target.features) - cpu_features()
    if options.verify and lacking:
        raise UsageError(
            f"--verify runs the code, and this machine lacks what --mcpu {target.mcpu} needs "
            f"({', '.join(sorted(lacking))}): compile without it, and verify on such a machine"
        )
    with stage("import"):
        forms = import_forms(source, options)
    with stage("optimise"):
        module = optimise(merge_forms({name: form.module for name, form in forms.items()}))
    with stage("lower and schedule"):
        lifted = lift_weights(lower(module, target))
    with stage("generate code"):
        executable = build(lifted.module, target)
    description = _describe(source, forms, target, lifted, options)

    verification = None
    with ExitStack() as stack:
        with stage("link"):
            staged = stack.enter_context(
                stage_artifact(output, description, executable, lifted.weights, force=options.force)
            )
        if options.verify:
            with stage("verify"):
                verification = verify_artifact(staged.path, model)
            verification.require_passed()
            staged.record(verification.to_manifest())
        with stage("write the artifact"):
            staged.publish()
    return CompileResult(
        artifact=output,
        stages=tuple(stage.done),
        kernels=sum(isinstance(function, tirx.PrimFunc) for function in lifted.module.functions.values()),
        artifact_bytes=sum(file.stat().st_size for file in output.rglob("*") if file.is_file()),
        verification=verification,
    )


def _describe(
    source: ModelSource,
    forms: Mapping[str, ImportedModel],
    target: Target,
    lifted: LiftedModule,
    options: CompileOptions,
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
        symbols={name: SymbolRange(1, None) for name in symbols},
        target=TargetSpec(target.kind, target.mcpu, target.features),
        precision=options.precision,
        functions=tuple(
            FunctionSpec(name, tuple(port.shape for port in form.inputs), lifted.used[name])
            for name, form in forms.items()
        ),
    )
