"""``paddle-tvm run``: an artifact on given or random input."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import click
import numpy as np
import numpy.typing as npt

from paddle_tvm.compiler.array_files import Arrays, check_writable, save_arrays
from paddle_tvm.compiler.cli.given_inputs import gather_inputs
from paddle_tvm.compiler.cli.shape_option import parse_one_shape_set, shape_option
from paddle_tvm.compiler.cli.text_table import format_shape, print_table
from paddle_tvm.runtime.errors import UsageError


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
@click.option("--mcpu", metavar="NAME", help="Which of the CPUs that ARTIFACT has code for to run.")
@click.option("--repeat", type=click.IntRange(min=1), default=1, show_default=True, help="Timed runs.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of random input.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def run(
    artifact: Path,
    input_files: tuple[str, ...],
    output: Path | None,
    shapes: tuple[str, ...],
    threads: int | None,
    mcpu: str | None,
    repeat: int,
    seed: int,
    as_json: bool,
) -> None:
    """Run ARTIFACT and show its outputs. Inputs that are not given are random, which is said so."""
    from paddle_tvm.compiler.predict import load_predictor, predict
    from paddle_tvm.runtime.artifact import read_manifest

    asked = parse_one_shape_set(shapes)
    manifest = read_manifest(artifact)
    if output is not None:
        check_writable(output)
        # A device, such as /dev/null, has any name.
        if output.suffix != ".npz" and (output.is_file() or not output.exists()):
            raise UsageError(f"--output {output}: expected a .npz file, such as {output.stem}.npz")
    arrays, random_names = gather_inputs(artifact, manifest, input_files, asked, seed)
    started = perf_counter()
    predictor = load_predictor(artifact, threads, mcpu)
    load_seconds = perf_counter() - started
    times = []
    for _ in range(repeat):
        started = perf_counter()
        results = predict(predictor, arrays)
        times.append(perf_counter() - started)
    outputs = {spec.name: array for spec, array in zip(manifest.outputs, results, strict=True)}
    if output is not None:
        save_arrays(output, outputs)
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
                    "mcpu": predictor.mcpu(),
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
    if len(manifest.variants) > 1:
        click.echo(f"code for {predictor.mcpu()}")
    _print_outputs(outputs)
    _print_times(load_seconds, times)
    if output is not None:
        click.echo(f"outputs written to {output}")


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
