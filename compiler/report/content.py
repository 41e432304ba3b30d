"""Gathers what a report shows: from the artifact, and from running it where this machine can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from paddle_tvm.compiler.driver import CompileResult, Stage
from paddle_tvm.compiler.profiling.expressions import evaluate
from paddle_tvm.compiler.profiling.kernel_table import (
    Edge,
    Form,
    KernelCall,
    KernelTable,
    kernels_file,
    read_kernel_table,
)
from paddle_tvm.compiler.profiling.profile import Profile, Work, bind_symbols, profile_artifact
from paddle_tvm.compiler.profiling.subgraphs import Primitive, describe_subgraphs
from paddle_tvm.compiler.sample_inputs import Shapes, default_shape_sets, random_inputs
from paddle_tvm.compiler.tuning.workload_names import name_key
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.errors import PaddleTvmError
from paddle_tvm.runtime.gpus import find_gpus
from paddle_tvm.runtime.loader import load
from paddle_tvm.runtime.manifest import FunctionSpec, Manifest, TensorSpec, Variant

_ROUNDS = 30
_TIMES = " \N{MULTIPLICATION SIGN} "


@dataclass(frozen=True)
class Content:
    """One form of an artifact, for one CPU.

    ``profile`` is None where it could not be run, for the reason ``not_profiled``. ``subgraphs`` has the
    steps of accelerators' subgraphs, where it could be run, by the kernel's name.
    """

    manifest: Manifest
    variant: Variant
    function: FunctionSpec
    table: KernelTable
    shapes: Shapes
    stages: tuple[Stage, ...]
    artifact_bytes: int
    profile: Profile | None
    not_profiled: str
    subgraphs: Mapping[str, Sequence[Primitive]] = field(default_factory=dict)

    @property
    def form(self) -> Form:
        """The form's kernels."""
        return self.table.forms[self.function.name]

    @property
    def accelerator(self) -> str:
        """What computes subgraphs, where something does; else empty."""
        schedules = (self.table.schedules[call.kernel] for call in self.form.calls)
        return next((schedule.external for schedule in schedules if schedule.external), "")

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the model's symbols for the shapes that the report counts at."""
        return bind_symbols(self.function.input_shapes, list(self.shapes.values()))

    def work(self, place: int) -> Work | None:
        """Time and work of a call of the form, None where it was not timed."""
        return self.profile.places[place] if self.profile is not None else None

    def flops(self, call: KernelCall) -> int | None:
        """FLOPs of a call at the report's shapes."""
        return evaluate(call.flops, self.sizes)

    def schedule(self, call: KernelCall) -> str:
        """What a call computes, where that has several forms, and its schedule, in a line."""
        schedule = self.table.schedules[call.kernel]
        return ": ".join(filter(None, (name_key(schedule.workload), schedule.show(self.sizes))))

    def shape(self, edge: Edge) -> str:
        """The shape of a tensor at the report's shapes."""
        sizes = [evaluate(dim, self.sizes) for dim in edge.shape]
        return _TIMES.join("?" if size is None else str(size) for size in sizes) or "scalar"


def gather(result: CompileResult) -> Content:
    """What a report of a compilation shows.

    Parameters
    ----------
    result
        The compilation, whose artifact is in its place.
    """
    manifest = read_manifest(result.artifact)
    compiled = next((v for v in result.variants if not v.missing), result.variants[0])
    (variant,) = (v for v in manifest.variants if v.target.mcpu == compiled.mcpu)
    raw = (result.artifact / kernels_file(variant.library)).read_bytes()
    # A specialisation, if there is one, is what the user wants to be fast.
    function = manifest.functions[min(1, len(manifest.functions) - 1)]
    ports = [
        TensorSpec(spec.name, spec.dtype, shape)
        for spec, shape in zip(manifest.inputs, function.input_shapes, strict=True)
    ]
    shapes = next(default_shape_sets(ports, 0))
    profile, reason = None, ""
    subgraphs: Mapping[str, Sequence[Primitive]] = {}
    gpus = find_gpus() if variant.target.devices else None
    if gpus is not None and gpus.problem:
        reason = f"this machine has {gpus.problem}"
    elif compiled.missing:
        reason = f"this machine's CPU lacks {', '.join(compiled.missing)}, which the code needs"
    else:
        arrays = random_inputs(ports, shapes, np.random.default_rng(0), {})
        try:
            profile = profile_artifact(
                Path(result.artifact), arrays, rounds=_ROUNDS, mcpu=variant.target.mcpu
            )
            if not variant.target.devices:
                model = load(result.artifact, mcpu=variant.target.mcpu)
                subgraphs = describe_subgraphs(model, profile.timing.threads)
        except PaddleTvmError as error:
            reason = str(error)
    return Content(
        manifest=manifest,
        variant=variant,
        function=function,
        table=read_kernel_table(raw, str(result.artifact)),
        shapes=shapes,
        stages=result.stages,
        artifact_bytes=result.artifact_bytes,
        profile=profile,
        not_profiled=reason,
        subgraphs=subgraphs,
    )
