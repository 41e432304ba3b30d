"""``paddle-tvm verify``: does an artifact compute what its model does?"""

from __future__ import annotations

import json
from pathlib import Path

import click

from paddle_tvm.compiler.array_files import load_arrays
from paddle_tvm.compiler.cli.extras import require_compiler
from paddle_tvm.compiler.cli.prose import say
from paddle_tvm.compiler.cli.shape_option import parse_shapes, require_numbers, shape_option
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.variants import choose_variant


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--model", type=click.Path(path_type=Path), required=True, help="The model it was compiled from."
)
@click.option(
    "--inputs", "inputs_file", type=click.Path(path_type=Path), help="A .npz with an array for each input."
)
@click.option("--mcpu", metavar="NAME", help="Which of the CPUs that ARTIFACT has code for to verify.")
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="That ARTIFACT runs with."
)
@shape_option("Shape of an input; several sets, separated by ';', are tried one after the other.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random inputs."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, min_open=True),
    help="Largest error allowed, relative to the largest value of the output; by default 0.001, for tf32 and "
    "float16 0.01, and for bfloat16 0.05.",
)
@click.option("--bisect/--no-bisect", default=True, help="Look for the first diverging operator on failure.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; progress goes to stderr.")
def verify(
    artifact: Path,
    model: Path,
    inputs_file: Path | None,
    mcpu: str | None,
    threads: int,
    shapes: tuple[str, ...],
    seed: int,
    tolerance: float | None,
    bisect: bool,
    as_json: bool,
) -> None:
    """Compare ARTIFACT with its model: Paddle's executor, or ONNX Runtime for .onnx.

    Without --shape and --inputs, random inputs of at least two shapes are tried. Exits with 4 where an output
    differs, and names the first operator that does.
    """
    sets = [require_numbers(shape_set) for shape_set in parse_shapes(shapes) if shape_set]
    if sets and inputs_file is not None:
        raise UsageError("--inputs and --shape exclude each other: the arrays have their shapes")
    inputs = None if inputs_file is None else load_arrays(inputs_file)
    require_compiler("verify")
    # Everything that can be refused or told before TVM is imported, which takes a second.
    manifest = read_manifest(artifact)
    choose_variant(artifact, manifest, mcpu)
    find_model(model)
    from paddle_tvm.compiler.cli.console import StageProgress, stderr_console, stdout_console
    from paddle_tvm.compiler.cli.verification_table import print_verification, verification_as_json
    from paddle_tvm.compiler.verify import verify_artifact

    result = verify_artifact(
        artifact,
        model,
        mcpu=mcpu,
        threads=threads,
        shapes=sets,
        inputs=inputs,
        seed=seed,
        tolerance=tolerance,
        bisect=bisect,
        progress=StageProgress(stderr_console()),
    )
    if as_json:
        click.echo(json.dumps(verification_as_json(result), indent=2))
    else:
        print_verification(result, stdout_console())
    # Where an output differs the error begins with it.
    if result.foreign_model is not None and result.passed:
        say(f"warning: {result.foreign_model}; its outputs are equal all the same", err=True)
    result.require_passed()
