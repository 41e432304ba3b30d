"""Compares an artifact with the model that it came from, as its framework runs it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from paddle_tvm.compiler.comparison import OutputComparison, compare_output
from paddle_tvm.compiler.divergence import Divergence, find_divergence
from paddle_tvm.compiler.frontends.source import ModelSource, find_model, foreign_model
from paddle_tvm.compiler.predict import load_predictor, predict
from paddle_tvm.compiler.reference import Reference, open_reference
from paddle_tvm.compiler.sample_inputs import Arrays, Shapes
from paddle_tvm.compiler.trial_inputs import Trial, TrialInputs, format_shapes
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.errors import UsageError, VerificationError
from paddle_tvm.runtime.gpus import require_gpu
from paddle_tvm.runtime.manifest import Manifest, OutputError, Verification
from paddle_tvm.targets.registry import target_names

TOLERANCES = {"float32": 1e-3, "tf32": 1e-2, "float16": 1e-2, "bfloat16": 5e-2}
"""Largest error of a whole model, relative to the largest output, by what its products are computed in.

TF32 and float16 have 10 bits of mantissa, bfloat16 has 7.
"""


@dataclass(frozen=True)
class Check:
    """One run of artifact and reference on the same input.

    ``form`` is that of the artifact's forms which ran; ``scale`` is None where the input was given.
    """

    form: str
    shapes: Shapes
    scale: float | None
    outputs: tuple[OutputComparison, ...]

    @property
    def where(self) -> str:
        """The shapes and the scale of the input."""
        shapes = format_shapes(self.shapes)
        return shapes if self.scale is None else f"{shapes}, input scale {self.scale:g}"


@dataclass(frozen=True)
class VerificationResult:
    """What a verification found.

    ``mcpu`` is the CPU whose code ran, and ``devices`` are the GPUs that its kernels are for;
    ``foreign_model`` says that the model is not the artifact's own.
    """

    mcpu: str
    reference: str
    seed: int
    tolerance: float
    checks: tuple[Check, ...]
    warnings: tuple[str, ...]
    divergence: Divergence | None = None
    foreign_model: str | None = None
    devices: tuple[str, ...] = ()

    @property
    def made_for(self) -> str:
        """The CPU, or the GPUs."""
        return ", ".join(self.devices) or self.mcpu

    @property
    def passed(self) -> bool:
        """Whether every output of every run is within the tolerance."""
        return all(output.passed for check in self.checks for output in check.outputs)

    @property
    def _named(self) -> str:
        return f"for {', '.join(self.devices)}" if self.devices else f"--mcpu {self.mcpu}"

    def worst_outputs(self) -> list[OutputComparison]:
        """For each output, the run in which it differs most."""
        columns = zip(*(check.outputs for check in self.checks), strict=True)
        return [
            max(column, key=lambda output: (not output.passed, output.max_rel_error)) for column in columns
        ]

    def to_manifest(self) -> Verification:
        """The result as an artifact's manifest holds it."""
        return Verification(
            seed=self.seed,
            tolerance=self.tolerance,
            shapes=tuple(tuple(check.shapes.values()) for check in self.checks),
            outputs=tuple(
                OutputError(output.name, _finite(output.max_abs_error), _finite(output.max_rel_error))
                for output in self.worst_outputs()
            ),
            passed=self.passed,
        )

    def require_passed(self) -> None:
        """Raise where an output differs.

        Raises
        ------
        VerificationError
            Names each output that differs, and the first operator that does.
        """
        if self.passed:
            return
        failed = [
            f"output '{output.name}' at {check.where}: {output.problem}"
            for check in self.checks
            for output in check.outputs
            if not output.passed
        ]
        where = f". {self.divergence}" if self.divergence else ""
        begin = f"{self.foreign_model}. The" if self.foreign_model else "the"
        raise VerificationError(
            f"{begin} artifact ({self._named}) differs from {self.reference}: {'; '.join(failed)}{where}"
        )


def verify_artifact(
    artifact: str | Path,
    model: str | Path,
    *,
    mcpu: str | None = None,
    threads: int = 1,
    shapes: Sequence[Mapping[str, Sequence[int]]] | None = None,
    inputs: Arrays | None = None,
    seed: int = 0,
    tolerance: float | None = None,
    bisect: bool = True,
    progress: Any = None,
) -> VerificationResult:
    """Run an artifact and its model on the same inputs and compare every output.

    Parameters
    ----------
    artifact
        The artifact's directory.
    model
        The saved model that it was compiled from. Another one is compared too, and the result says so.
    mcpu
        Which code of an artifact for several CPUs to run; by default that which the runtime takes here.
    threads
        How many threads the artifact runs with.
    shapes
        Sets of input shapes to try. By default the fixed shapes of each specialisation, and for the dynamic
        form two sets that no specialisation takes.
    inputs
        Arrays by input name, to be used instead of random ones.
    seed
        Of the random inputs.
    tolerance
        Largest error allowed, relative to the largest magnitude in the reference output. By default
        1e-3, and for an artifact that computes in less than float32 what ``TOLERANCES`` has.
    bisect
        Whether to look for the first diverging operator where an output differs.
    progress
        An object with ``stage(name)``, which gives a context manager.

    Raises
    ------
    UsageError
        A shape or an input does not fit the model, the reference refuses every shape, or the artifact has
        no code for ``mcpu``.
    ArtifactError
        The artifact is damaged or not for this machine.
    """
    if tolerance is not None and not 0 < tolerance < math.inf:
        raise UsageError(f"the tolerance is a number above 0, such as 0.001; got {tolerance}")
    artifact = Path(artifact)
    manifest = read_manifest(artifact)
    require_gpu(artifact, manifest)
    if tolerance is None:
        tolerance = TOLERANCES[manifest.precision]
    source = find_model(model)
    foreign = foreign_model(artifact, manifest, source)
    with progress.stage("load the artifact") if progress else nullcontext():
        predictor = load_predictor(artifact, threads, mcpu)
    with progress.stage("load the reference") if progress else nullcontext():
        reference = open_reference(source)
        _require_same_inputs(artifact, manifest, reference, source)
    with progress.stage("compare the outputs") if progress else nullcontext():
        verifier = _Verifier(manifest, reference, predictor, seed, tolerance)
        checks, first_failure = verifier.run(shapes, inputs)
    divergence = None
    if (
        first_failure is not None
        and bisect
        # Operators of another model say nothing about how this one was compiled.
        and foreign is None
        and source.kind != "onnx"
        and manifest.source.frontend == "paddle"
    ):
        with progress.stage("find the first diverging operator") if progress else nullcontext():
            (target,) = (v.target for v in manifest.variants if v.target.mcpu == predictor.mcpu())
            kind = target.kind
            if kind in target_names():
                divergence = find_divergence(source, first_failure, tolerance, target, manifest.precision)
            else:
                divergence = Divergence(
                    None, f"What computes '{kind}' is not installed here, so operators were not compared", 0
                )
    return VerificationResult(
        predictor.mcpu(),
        reference.name,
        seed,
        tolerance,
        tuple(checks),
        tuple(verifier.warnings),
        divergence,
        foreign,
        next(v.target.devices for v in manifest.variants if v.target.mcpu == predictor.mcpu()),
    )


class _Verifier:
    def __init__(
        self, manifest: Manifest, reference: Reference, predictor: Any, seed: int, tolerance: float
    ) -> None:
        self._trials = TrialInputs(manifest, reference, seed)
        self._warnings: list[str] = []
        self._names = [spec.name for spec in manifest.outputs]
        self._reference = reference
        self._predictor = predictor
        self._tolerance = tolerance

    def run(
        self, shapes: Sequence[Mapping[str, Sequence[int]]] | None, inputs: Arrays | None
    ) -> tuple[list[Check], Arrays | None]:
        """All runs, and the inputs of the first that failed."""
        checks: list[Check] = []
        failed: Arrays | None = None
        groups = self._trials.random(shapes) if inputs is None else iter([[self._trials.given(inputs)]])
        for trials in groups:
            for trial in trials:
                check = self._check(trial)
                checks.append(check)
                if failed is None and not all(output.passed for output in check.outputs):
                    failed = trial.inputs
            self._warn_of_idle_outputs(trials)
        return checks, failed

    @property
    def warnings(self) -> list[str]:
        """What the user should know beside the result."""
        refused = [f"{self._reference.name} refuses {refusal}" for refusal in self._trials.refusals]
        untried = [
            f"the form '{name}' was not run: for every shape that was thought of another form is taken; "
            "choose a shape with --shape"
            for name in self._trials.untried
        ]
        return refused + untried + self._warnings

    def _check(self, trial: Trial) -> Check:
        actual = predict(self._predictor, trial.inputs)
        outputs = zip(self._names, actual, trial.expected, strict=True)
        return Check(
            self._trials.form_of(trial.shapes),
            trial.shapes,
            trial.scale,
            tuple(compare_output(name, ours, theirs, self._tolerance) for name, ours, theirs in outputs),
        )

    def _warn_of_idle_outputs(self, trials: list[Trial]) -> None:
        for name, first, *others in zip(self._names, *(trial.expected for trial in trials), strict=True):
            what = None
            if first.size and not np.any(first):
                what = "is all zero"
            elif first.size and first.dtype.kind == "f" and np.isnan(first).all():
                what = "is all NaN"
            elif first.size and others and not any(self._differs(first, other) for other in others):
                what = "hardly depends on the input"
            if what:
                self._warnings.append(
                    f"output '{name}' of the reference {what} at {format_shapes(trials[0].shapes)}: "
                    "comparing it proves nothing"
                )

    def _differs(self, first: npt.NDArray[np.generic], other: npt.NDArray[np.generic]) -> bool:
        """Whether two outputs differ by more than an error that would be let pass."""
        return not compare_output("", other, first, self._tolerance).passed


def _require_same_inputs(
    artifact: Path, manifest: Manifest, reference: Reference, source: ModelSource
) -> None:
    ours, theirs = [spec.name for spec in manifest.inputs], [port.name for port in reference.inputs]
    if ours != theirs:
        raise UsageError(
            f"{artifact} was not compiled from {source.program}: its inputs are {', '.join(ours)}, "
            f"the model's {', '.join(theirs)}; name the model that it came from ({manifest.source.name})"
        )


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
