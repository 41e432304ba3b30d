"""``paddle-tvm run``: an artifact on given or random input."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import click
import numpy as np
import numpy.typing as npt

from paddle_tvm.compiler.array_files import Arrays, load_array, load_arrays, save_arrays
from paddle_tvm.compiler.cli.shape_option import parse_one_shape_set, shape_option
from paddle_tvm.compiler.cli.text_table import format_shape, print_table
from paddle_tvm.runtime.errors import UsageError

if TYPE_CHECKING:
    from paddle_tvm.runtime.manifest import Manifest


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--input",
    "input_files",
    metavar="[NAME=]FILE",
    multiple=True,
    help="A .npy file for an input, or a .npz with several.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Write the outputs to this .npz file.")
@shape_option("Shape of a random input; by default a small one that is shown.")
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads.")
@click.option("--repeat", type=click.IntRange(min=1), default=1, show_default=True, help="Timed runs.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of random input.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def run(
    artifact: Path,
    input_files: tuple[str, ...],
    output: Path | None,
    shapes: tuple[str, ...],
    threads: int | None,
    repeat: int,
    seed: int,
    as_json: bool,
) -> None:
    """Run ARTIFACT and show its outputs. Inputs that are not given are random, which is said so."""
    from paddle_tvm.compiler.predict import load_predictor, predict
    from paddle_tvm.runtime.artifact import read_manifest

    asked = parse_one_shape_set(shapes)
    given = _read_inputs(input_files)
    manifest = read_manifest(artifact)
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
    arrays = _complete_inputs(manifest, asked, given, seed)
    started = perf_counter()
    predictor = load_predictor(artifact, threads)
    load_seconds = perf_counter() - started
    times = []
    for _ in range(repeat):
        started = perf_counter()
        results = predict(predictor, arrays)
        times.append(perf_counter() - started)
    outputs = {spec.name: array for spec, array in zip(manifest.outputs, results, strict=True)}
    if output is not None:
        save_arrays(output, outputs)
    random_names = [name for name in names if name not in given]
    if as_json:
        click.echo(
            json.dumps(
                {
                    "inputs": {
                        name: {
                            "shape": list(array.shape),
                            "dtype": str(array.dtype),
                            "random": name in random_names,
                        }
                        for name, array in arrays.items()
                    },
                    "outputs": {name: _statistics(array) for name, array in outputs.items()},
                    "load_seconds": load_seconds,
                    "run_seconds": times,
                },
                indent=2,
            )
        )
        return
    if random_names:
        made = ", ".join(f"{name} {format_shape(arrays[name].shape)}" for name in random_names)
        click.echo(f"random input (seed {seed}): {made}")
    _print_outputs(outputs)
    _print_times(load_seconds, times)
    if output is not None:
        click.echo(f"outputs written to {output}")


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
    from paddle_tvm.runtime.manifest import TensorSpec

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


def _statistics(array: npt.NDArray[np.generic]) -> dict[str, object]:
    summary: dict[str, object] = {"shape": list(array.shape), "dtype": str(array.dtype)}
    if array.size and array.dtype.kind in "biuf":
        wide = array.astype(np.float64)
        for key, value in (("min", wide.min()), ("mean", wide.mean()), ("max", wide.max())):
            # JSON knows neither NaN nor infinity.
            summary[key] = float(value) if np.isfinite(value) else str(value)
    return summary


def _print_outputs(outputs: Arrays) -> None:
    rows = []
    for name, array in outputs.items():
        summary = _statistics(array)
        numbers = [summary.get(key, "-") for key in ("min", "mean", "max")]
        rows.append(
            [
                name,
                format_shape(array.shape),
                str(array.dtype),
                *(f"{number:.6g}" if isinstance(number, float) else str(number) for number in numbers),
            ]
        )
    print_table(["output", "shape", "dtype", "min", "mean", "max"], rows, right=(3, 4, 5))


def _print_times(load_seconds: float, times: Sequence[float]) -> None:
    line = f"load {load_seconds * 1e3:.1f} ms, first run {times[0] * 1e3:.2f} ms"
    if len(times) > 1:
        rest = times[1:]
        line += f", then median {median(rest) * 1e3:.2f} ms, best {min(rest) * 1e3:.2f} ms of {len(rest)}"
    click.echo(line)
