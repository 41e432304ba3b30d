"""The inputs that a command runs an artifact on: given in files, or random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from paddle_tvm.compiler.array_files import Arrays, load_array, load_arrays
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.manifest import Manifest, TensorSpec
from paddle_tvm.runtime.shapes import check_dtype, check_shape


def gather_inputs(
    artifact: Path,
    manifest: Manifest,
    files: Sequence[str],
    asked: Mapping[str, tuple[int, ...]],
    seed: int,
) -> tuple[Arrays, list[str]]:
    """Arrays for all inputs, as kernels read them, and the names of those that are random.

    Parameters
    ----------
    artifact
        Its path, for messages.
    manifest
        Its manifest.
    files
        What ``--input`` was given.
    asked
        What ``--shape`` was given.
    seed
        Of random inputs.

    Raises
    ------
    UsageError
        A name is no input, a file cannot be read, or a shape or a dtype does not fit.
    """
    given = _read_inputs(files)
    names = [spec.name for spec in manifest.inputs]
    for what, keys in (("--input", given), ("--shape", asked)):
        unknown = sorted(set(keys) - set(names))
        if unknown:
            raise UsageError(
                f"{what} names {', '.join(unknown)}, which is no input of {artifact}; "
                f"its inputs are {', '.join(names)}"
            )
    both = sorted(set(given) & set(asked))
    if both:
        raise UsageError(f"--input and --shape both give {', '.join(both)}: an array has its own shape")
    arrays = _complete_inputs(manifest, dict(asked), given, seed)
    for spec in manifest.inputs:
        array = arrays[spec.name]
        check_shape(spec, manifest.symbols, array.shape)
        check_dtype(spec, array.dtype)
        # Files may hold another order of rows or of bytes.
        arrays[spec.name] = np.asarray(array, spec.dtype, order="C")
    return arrays, [name for name in names if name not in given]


def _read_inputs(values: Sequence[str]) -> Arrays:
    arrays: Arrays = {}
    for value in values:
        name, equals, file = value.rpartition("=")
        if equals:
            read = {name: load_array(Path(file))}
        elif value.endswith(".npz"):
            read = load_arrays(Path(value))
        else:
            raise UsageError(f"--input {value}: write it like x=x.npy, or name a .npz file")
        twice = sorted(set(read) & set(arrays))
        if twice:
            raise UsageError(f"--input gives {', '.join(twice)} twice")
        arrays.update(read)
    return arrays


def _complete_inputs(
    manifest: Manifest, asked: dict[str, tuple[int, ...]], given: Arrays, seed: int
) -> Arrays:
    """The given arrays, and random ones beside them whose shapes fit."""
    from paddle_tvm.compiler.sample_inputs import complete_shapes, default_shape_sets, random_inputs

    if asked or given:
        fixed = {name: array.shape for name, array in given.items()}
        shapes = next(complete_shapes(manifest.inputs, {**asked, **fixed}))
    else:
        first = manifest.functions[0].input_shapes
        specs = [
            TensorSpec(spec.name, spec.dtype, shape)
            for spec, shape in zip(manifest.inputs, first, strict=True)
        ]
        shapes = next(default_shape_sets(specs, 0))
    return {**random_inputs(manifest.inputs, shapes, np.random.default_rng(seed), {}), **given}
