"""Compares an artifact with the model that it came from, as its framework runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from paddle_tvm.compiler.comparison import OutputComparison, compare_output
from paddle_tvm.compiler.divergence import Divergence, find_divergence
from paddle_tvm.compiler.frontends.source import ModelSource, find_model
from paddle_tvm.compiler.predict import load_predictor, predict
from paddle_tvm.compiler.reference import Reference, RefusedInputError, open_reference
from paddle_tvm.compiler.sample_inputs import (
    Arrays,
    Shapes,
    complete_shapes,
    default_shape_sets,
    random_inputs,
)
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.errors import UsageError, VerificationError
from paddle_tvm.runtime.manifest import Manifest, OutputError, TensorSpec, Verification

_SCALES = (1.0, 0.1)
"""Deviations of the normal floats: one size of input alone may saturate a model, and then hides errors."""


@dataclass(frozen=True)
class Check:
    """One run of artifact and reference on the same input; ``scale`` is None where the input was given."""

    shapes: Shapes
    scale: float | None
    outputs: tuple[OutputComparison, ...]


@dataclass(frozen=True)
class VerificationResult:
    """What a verification found."""

    reference: str
    seed: int
    tolerance: float
    checks: tuple[Check, ...]
    warnings: tuple[str, ...]
    divergence: Divergence | None = None

    @property
    def passed(self) -> bool:
        """Whether every output of every run is within the tolerance."""
        return all(output.passed for check in self.checks for output in check.outputs)

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
            f"output '{output.name}' at {_format_shapes(check.shapes)}: {output.problem}"
            for check in self.checks
            for output in check.outputs
            if not output.passed
        ]
        where = f". {self.divergence}" if self.divergence else ""
        raise VerificationError(f"the artifact differs from {self.reference}: {'; '.join(failed)}{where}")


def verify_artifact(
    artifact: str | Path,
    model: str | Path,
    *,
    shapes: Sequence[Mapping[str, Sequence[int]]] | None = None,
    inputs: Arrays | None = None,
    seed: int = 0,
    tolerance: float = 1e-3,
    bisect: bool = True,
    progress: Any = None,
) -> VerificationResult:
    """Run an artifact and its model on the same inputs and compare every output.

    Parameters
    ----------
    artifact
        The artifact's directory.
    model
        The saved model that it was compiled from.
    shapes
        Sets of input shapes to try. By default the fixed shapes of each specialisation, and two sets for
        the dynamic form.
    inputs
        Arrays by input name, to be used instead of random ones.
    seed
        Of the random inputs.
    tolerance
        Largest error allowed, relative to the largest magnitude in the reference output.
    bisect
        Whether to look for the first diverging operator where an output differs.
    progress
        An object with ``stage(name)``, which gives a context manager.

    Raises
    ------
    UsageError
        A shape or an input does not fit the model, or the reference refuses every shape.
    ArtifactError
        The artifact is damaged or not for this machine.
    """
    artifact = Path(artifact)
    manifest = read_manifest(artifact)
    source = find_model(model)
    with progress.stage("load the reference") if progress else nullcontext():
        reference = open_reference(source)
        _require_same_inputs(manifest, reference, source)
    with progress.stage("load the artifact") if progress else nullcontext():
        predictor = load_predictor(artifact)
    with progress.stage("compare the outputs") if progress else nullcontext():
        verifier = _Verifier(manifest, reference, predictor, seed, tolerance)
        checks, first_failure = verifier.run(shapes, inputs)
    divergence = None
    if (
        first_failure is not None
        and bisect
        and source.kind != "onnx"
        and manifest.source.frontend == "paddle"
    ):
        with progress.stage("find the first diverging operator") if progress else nullcontext():
            divergence = find_divergence(source, first_failure, tolerance)
    return VerificationResult(
        reference.name, seed, tolerance, tuple(checks), tuple(verifier.warnings), divergence
    )


class _Verifier:
    def __init__(
        self, manifest: Manifest, reference: Reference, predictor: Any, seed: int, tolerance: float
    ) -> None:
        self.warnings: list[str] = []
        self._manifest = manifest
        self._ports = _ports(manifest, None)
        self._reference = reference
        self._predictor = predictor
        self._rng = np.random.default_rng(seed)
        self._tolerance = tolerance

    def run(
        self, shapes: Sequence[Mapping[str, Sequence[int]]] | None, inputs: Arrays | None
    ) -> tuple[list[Check], Arrays | None]:
        """All runs, and the inputs of the first that failed."""
        checks: list[Check] = []
        failed: Arrays | None = None
        for arrays, scale, expected in self._runs(shapes, inputs):
            actual = predict(self._predictor, arrays)
            check = Check(
                {name: array.shape for name, array in arrays.items()},
                scale,
                tuple(
                    compare_output(spec.name, ours, theirs, self._tolerance)
                    for spec, ours, theirs in zip(self._manifest.outputs, actual, expected, strict=True)
                ),
            )
            if failed is None and not all(output.passed for output in check.outputs):
                failed = arrays
            checks.append(check)
        return checks, failed

    def _runs(
        self, shapes: Sequence[Mapping[str, Sequence[int]]] | None, inputs: Arrays | None
    ) -> Iterator[tuple[Arrays, float | None, list[npt.NDArray[np.generic]]]]:
        if inputs is not None:
            self._require_all_inputs(inputs)
            ordered = {port.name: inputs[port.name] for port in self._ports}
            try:
                yield ordered, None, self._reference.run(ordered)
            except RefusedInputError as error:
                raise UsageError(f"{self._reference.name} refuses the given inputs: {error}") from error
            return
        for candidates in self._candidates(shapes):
            accepted, first = self._first_accepted(candidates)
            outputs = [first[1]]
            yield first[0], _SCALES[0], first[1]
            for scale in _SCALES[1:]:
                arrays = self._random(accepted, scale)
                outputs.append(self._reference.run(arrays))
                yield arrays, scale, outputs[-1]
            self._warn_of_idle_outputs(accepted, outputs)

    def _candidates(self, shapes: Sequence[Mapping[str, Sequence[int]]] | None) -> Iterator[Iterator[Shapes]]:
        if shapes:
            for asked in shapes:
                yield complete_shapes(self._ports, asked)
            return
        seen = set()
        for function in self._manifest.functions:
            ports = _ports(self._manifest, function.input_shapes)
            if tuple(function.input_shapes) in seen:
                continue
            seen.add(tuple(function.input_shapes))
            dynamic = any(isinstance(dim, str) for port in ports for dim in port.shape)
            for number in range(2 if dynamic else 1):
                yield default_shape_sets(ports, number)

    def _first_accepted(
        self, candidates: Iterator[Shapes]
    ) -> tuple[Shapes, tuple[Arrays, list[npt.NDArray[np.generic]]]]:
        refusals = []
        for shapes in candidates:
            arrays = self._random(shapes, _SCALES[0])
            try:
                expected = self._reference.run(arrays)
            except RefusedInputError as error:
                refusals.append(f"{_format_shapes(shapes)} ({error})")
                continue
            self.warnings += [f"{self._reference.name} refuses {refusal}" for refusal in refusals]
            return shapes, (arrays, expected)
        raise UsageError(
            f"{self._reference.name} refuses every shape that was tried: {'; '.join(refusals)}. "
            "Choose one with --shape, or give inputs with --inputs"
        )

    def _random(self, shapes: Shapes, scale: float) -> Arrays:
        return random_inputs(self._ports, shapes, self._rng, self._reference.index_bounds, scale)

    def _require_all_inputs(self, inputs: Arrays) -> None:
        wanted = {port.name for port in self._ports}
        if set(inputs) != wanted:
            raise UsageError(
                f"the given inputs are {', '.join(sorted(inputs))}, "
                f"the model takes {', '.join(sorted(wanted))}"
            )

    def _warn_of_idle_outputs(self, shapes: Shapes, runs: list[list[npt.NDArray[np.generic]]]) -> None:
        for spec, *outputs in zip(self._manifest.outputs, *runs, strict=True):
            first = outputs[0]
            what = None
            if first.size and not np.any(first):
                what = "is all zero"
            elif first.size and first.dtype.kind == "f" and np.isnan(first).all():
                what = "is all NaN"
            elif first.size and all(np.array_equal(first, other, equal_nan=True) for other in outputs[1:]):
                what = "does not depend on the input"
            if what:
                self.warnings.append(
                    f"output '{spec.name}' of the reference {what} at {_format_shapes(shapes)}: "
                    "comparing it proves nothing"
                )


def _require_same_inputs(manifest: Manifest, reference: Reference, source: ModelSource) -> None:
    ours, theirs = [spec.name for spec in manifest.inputs], [port.name for port in reference.inputs]
    if ours != theirs:
        raise UsageError(
            f"the artifact was not compiled from {source.program}: its inputs are {', '.join(ours)}, "
            f"the model's {', '.join(theirs)}"
        )


def _ports(manifest: Manifest, shapes: Sequence[tuple[int | str, ...]] | None) -> list[TensorSpec]:
    shapes = shapes if shapes is not None else [spec.shape for spec in manifest.inputs]
    return [
        TensorSpec(spec.name, spec.dtype, shape) for spec, shape in zip(manifest.inputs, shapes, strict=True)
    ]


def _format_shapes(shapes: Shapes) -> str:
    return " ".join(f"{name}={','.join(map(str, shape))}" for name, shape in shapes.items())


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
