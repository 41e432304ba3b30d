"""A whole model while it is tuned: profiled, and timed in one form or another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic

import numpy as np

from paddle_tvm.compiler.array_files import save_arrays
from paddle_tvm.compiler.bench.model_files import Files
from paddle_tvm.compiler.bench.warm import bench_warm
from paddle_tvm.compiler.driver import CompiledVariant, compile_model
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.compiler.profiling.profile import Profile, bind_symbols, profile_artifact
from paddle_tvm.compiler.sample_inputs import ELSEWHERE, TYPICAL, complete_shapes, model_inputs
from paddle_tvm.compiler.sample_inputs import Shapes as InputShapes
from paddle_tvm.compiler.trial_inputs import format_shapes
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.manifest import Manifest
from paddle_tvm.runtime.shapes import check_shape
from paddle_tvm.targets.workload import Config, GraphWorkload, Shapes

_ROUNDS = 5
_TIME_LIMIT = 300.0


class ModelRun:
    """A model, compiled for a folder of its own.

    Parameters
    ----------
    model, options
        The saved model, and how it will be compiled, apart from tuning logs.
    sizes
        Sets of input shapes to measure with, where the model is compiled with dynamic ones: the first for the
        search, those after it for what wins. Where there is none, sizes that models are used at.
    seed
        Of the inputs.
    folder
        For artifacts, inputs and outputs.

    Attributes
    ----------
    compile_seconds
        How long it took to compile it in default forms.
    shapes
        Of the inputs, where they have dynamic dimensions; empty where all are fixed, and before
        ``compile_default``.
    elsewhere
        Other shapes of the inputs, for what wins.
    """

    def __init__(
        self,
        model: Path,
        options: CompileOptions,
        sizes: Sequence[Mapping[str, Sequence[int]]],
        seed: int,
        folder: Path,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.model = model
        self.default = folder / "default.pdtvm"
        self.compile_seconds = 0.0
        self.shapes: Shapes = ()
        self.elsewhere: tuple[InputShapes, ...] = ()
        self._options = replace(options, verify=False, force=True, shipped_logs=False)
        self._sizes = sizes
        self._seed = seed
        self._folder = folder
        self._inputs = folder / "inputs.npz"

    def compile(
        self, name: str, log: Path | None, fixed: Mapping[GraphWorkload, Config]
    ) -> tuple[Path, CompiledVariant]:
        """An artifact with the forms of a log, and some that are given; what was made of the model."""
        output = self._folder / name
        options = replace(
            self._options,
            tuning_logs=() if log is None else (log,),
            fixed_forms={
                **self._options.fixed_forms,
                **{workload.key: config for workload, config in fixed.items()},
            },
        )
        return output, compile_model(self.model, output, options).variants[0]

    def compile_default(self) -> CompiledVariant:
        """Compile it in default forms, as ``default``."""
        begin = monotonic()
        _, variant = self.compile(self.default.name, None, {})
        self.compile_seconds = monotonic() - begin
        manifest = read_manifest(self.default)
        inputs = manifest.inputs
        if self._sizes and not manifest.symbols:
            fixed = format_shapes({port.name: port.shape for port in inputs})
            raise UsageError(
                f"--measure-shape is for dimensions that stay dynamic, and here all are fixed ({fixed}): "
                "leave it out"
            )
        shapes, *others = self._input_shapes(manifest)
        if manifest.symbols:
            self.shapes, self.elsewhere = tuple(shapes.values()), tuple(others)
        save_arrays(self._inputs, model_inputs(inputs, find_model(self.model), shapes, self._seed))
        return variant

    def sizes_elsewhere(self) -> list[dict[str, int]]:
        """For each of ``elsewhere`` the sizes of the symbols in declared shapes."""
        (function,) = read_manifest(self.default).functions
        return [bind_symbols(function.input_shapes, list(shapes.values())) for shapes in self.elsewhere]

    def _input_shapes(self, manifest: Manifest) -> list[InputShapes]:
        """The shapes to measure with, those for the search first; each once."""
        if self._sizes:
            asked = [_whole(manifest, sizes) for sizes in self._sizes]
        else:
            first, *others = (
                next(complete_shapes(manifest.inputs, {}, level)) for level in (TYPICAL, *ELSEWHERE)
            )
            asked = [first, *(shapes for shapes in others if _fits(manifest, shapes))]
        return [shapes for number, shapes in enumerate(asked) if shapes not in asked[:number]]

    def profile(self, threads: int) -> Profile:
        """The kernels of its default forms."""
        with np.load(self._inputs) as arrays:
            return profile_artifact(self.default, dict(arrays), threads=threads)

    def time(self, artifacts: Mapping[str, Path], threads: int) -> dict[str, float]:
        """Time artifacts of it in turns.

        Returns
        -------
        dict
            Median seconds of a run of each artifact.

        Raises
        ------
        RuntimeError
            One of them does not run.
        """
        prepared: dict[str, Files | str] = {
            f"ours:{name}": {"artifact": str(artifact)} for name, artifact in artifacts.items()
        }
        results, _ = bench_warm(
            prepared, self._inputs, self._folder, threads, _ROUNDS, _TIME_LIMIT, lambda _: None
        )
        seconds = {}
        for result in results:
            if result.failure is not None or result.median is None:
                raise RuntimeError(f"the compiled model does not run: {result.failure}")
            seconds[result.engine.removeprefix("ours:")] = result.median
        return seconds


def _whole(manifest: Manifest, sizes: Mapping[str, Sequence[int]]) -> InputShapes:
    """The shapes of all inputs, with what ``--measure-shape`` says of some."""
    try:
        shapes = next(complete_shapes(manifest.inputs, sizes, TYPICAL, "--measure-shape"))
        _check(manifest, shapes)
    except UsageError as error:
        taken = format_shapes({port.name: port.shape for port in manifest.inputs})
        raise UsageError(
            f"--measure-shape {format_shapes(sizes)}: {error}. Give sizes for the open dimensions of {taken}"
        ) from error
    return shapes


def _fits(manifest: Manifest, shapes: InputShapes) -> bool:
    """Whether a model takes shapes."""
    try:
        _check(manifest, shapes)
    except UsageError:
        return False
    return True


def _check(manifest: Manifest, shapes: InputShapes) -> None:
    for port in manifest.inputs:
        check_shape(port, manifest.symbols, shapes[port.name])
