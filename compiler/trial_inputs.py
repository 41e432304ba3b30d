"""The inputs that a verification tries: given ones, or random ones of shapes that the reference takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from paddle_tvm.compiler.reference import Reference, RefusedInputError
from paddle_tvm.compiler.sample_inputs import (
    Arrays,
    Shapes,
    complete_shapes,
    default_shape_sets,
    random_inputs,
)
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.manifest import FunctionSpec, Manifest, Shape, TensorSpec
from paddle_tvm.runtime.shapes import check_shape, select_function

_SCALES = (1.0, 0.1)
"""Deviations of the normal floats: one size of input alone may saturate a model, and then hides errors."""


class Trial(NamedTuple):
    """Inputs, and what the reference makes of them; ``scale`` is None where the inputs were given."""

    inputs: Arrays
    scale: float | None
    expected: list[npt.NDArray[np.generic]]

    @property
    def shapes(self) -> Shapes:
        """The shapes of the inputs."""
        return {name: array.shape for name, array in self.inputs.items()}


class TrialInputs:
    """Makes the trials.

    ``refusals`` gathers which default shapes the reference refused, ``untried`` the forms that no default
    shape selects.
    """

    def __init__(self, manifest: Manifest, reference: Reference, seed: int) -> None:
        self.refusals: list[str] = []
        self.untried: list[str] = []
        self._manifest = manifest
        self._ports = _ports(manifest, [spec.shape for spec in manifest.inputs])
        self._reference = reference
        self._rng = np.random.default_rng(seed)

    def given(self, inputs: Arrays) -> Trial:
        """The trial of inputs that the user gave.

        Raises
        ------
        UsageError
            They are not the model's inputs, or the reference refuses them.
        """
        wanted = {port.name for port in self._ports}
        if set(inputs) != wanted:
            raise UsageError(
                f"the given inputs are {', '.join(sorted(inputs))}, "
                f"the model takes {', '.join(sorted(wanted))}"
            )
        ordered = {port.name: inputs[port.name] for port in self._ports}
        try:
            return Trial(ordered, None, self._reference.run(ordered))
        except RefusedInputError as error:
            raise UsageError(f"{self._reference.name} refuses the given inputs: {error}") from error

    def random(self, shapes: Sequence[Mapping[str, Sequence[int]]] | None) -> Iterator[list[Trial]]:
        """Trials of random inputs, those of the same shapes together.

        Raises
        ------
        UsageError
            A shape does not fit the model, or the reference refuses all that were tried.
        """
        for candidates in self._candidates(shapes):
            first = self._first_accepted(candidates)
            trials = [first]
            for scale in _SCALES[1:]:
                arrays = self._random(first.shapes, scale)
                trials.append(Trial(arrays, scale, self._reference.run(arrays)))
            yield trials

    def _candidates(self, shapes: Sequence[Mapping[str, Sequence[int]]] | None) -> Iterator[Iterator[Shapes]]:
        if shapes:
            for asked in shapes:
                yield complete_shapes(self._ports, asked)
            return
        forms: dict[tuple[Shape, ...], FunctionSpec] = {}
        for function in self._manifest.functions:
            forms.setdefault(function.input_shapes, function)
        for form in forms.values():
            dynamic = any(isinstance(dim, str) for shape in form.input_shapes for dim in shape)
            for number in range(2 if dynamic else 1):
                selecting = self._selecting(form, number)
                first = next(selecting, None)
                if first is None:
                    self.untried.append(form.name)
                    break
                yield chain([first], selecting)

    def _selecting(self, form: FunctionSpec, number: int) -> Iterator[Shapes]:
        """Default shapes for which the runtime takes this form, and no other that takes them too."""
        ports = _ports(self._manifest, form.input_shapes)
        # Each specialisation takes few of them, so that other numbers have some left.
        others = len(self._manifest.functions) - 1
        tries = (default_shape_sets(ports, number + 2 * other) for other in range(others + 1))
        seen: list[Shapes] = []
        for shapes in chain.from_iterable(tries):
            if shapes not in seen and self.form_of(shapes) == form.name:
                seen.append(shapes)
                yield shapes

    def form_of(self, shapes: Shapes) -> str:
        """The form that the runtime takes for these shapes."""
        return select_function(self._manifest, list(shapes.values())).name

    def _first_accepted(self, candidates: Iterator[Shapes]) -> Trial:
        refusals: list[str] = []
        too_small: list[str] = []
        for shapes in candidates:
            try:
                for port in self._ports:
                    check_shape(port, self._manifest.symbols, shapes[port.name])
            except UsageError as error:
                too_small.append(f"{format_shapes(shapes)} ({error})")
                continue
            arrays = self._random(shapes, _SCALES[0])
            try:
                expected = self._reference.run(arrays)
            except RefusedInputError as error:
                refusals.append(f"{format_shapes(shapes)} ({error})")
                continue
            self.refusals += refusals
            return Trial(arrays, _SCALES[0], expected)
        raise UsageError(
            f"the artifact or {self._reference.name} refuses every shape that was tried: "
            f"{'; '.join(too_small + refusals)}. "
            "Choose one that they take with --shape, or give inputs with --inputs"
        )

    def _random(self, shapes: Shapes, scale: float) -> Arrays:
        return random_inputs(self._ports, shapes, self._rng, self._reference.index_bounds, scale)


def format_shapes(shapes: Mapping[str, Sequence[int | str]]) -> str:
    """Shapes as ``--shape`` takes them."""
    return " ".join(f"{name}={','.join(map(str, shape))}" for name, shape in shapes.items())


def _ports(manifest: Manifest, shapes: Sequence[tuple[int | str, ...]]) -> list[TensorSpec]:
    return [
        TensorSpec(spec.name, spec.dtype, shape) for spec, shape in zip(manifest.inputs, shapes, strict=True)
    ]
