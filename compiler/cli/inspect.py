"""``paddle-tvm inspect``: what a model or an artifact holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from paddle_tvm.compiler.array_files import check_writable, replacing
from paddle_tvm.compiler.cli.extras import require_compiler
from paddle_tvm.compiler.cli.shape_option import parse_one_shape_set, shape_option
from paddle_tvm.compiler.cli.text_table import (
    format_bytes,
    format_count,
    format_shape,
    print_pairs,
    print_table,
)
from paddle_tvm.compiler.frontends.source import NoModelError, find_model
from paddle_tvm.compiler.output_places import check_is_page
from paddle_tvm.runtime.artifact import MANIFEST_FILE
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.wording import agreeing, counted

if TYPE_CHECKING:
    from paddle_tvm.compiler.analysis import ModelAnalysis, ModelPort, OperatorUse
    from paddle_tvm.runtime.manifest import Manifest, TensorSpec, Variant


@click.command()
@click.argument("path", metavar="MODEL|ARTIFACT", type=click.Path(path_type=Path))
@click.option("--html", type=click.Path(path_type=Path), help="Write a page with a picture of the graph.")
@shape_option("Input shape to count FLOPs at; by default a small one that is shown.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def inspect(path: Path, html: Path | None, shapes: tuple[str, ...], as_json: bool) -> None:
    """Show inputs, outputs, operators, parameters and FLOPs of a model, and which operators are unsupported.

    Of an artifact, show what its manifest says; that works without the compiler.
    """
    asked = parse_one_shape_set(shapes)
    if (path / MANIFEST_FILE).is_file() or path.name == MANIFEST_FILE:
        if html is not None or asked:
            raise UsageError(f"{path} is an artifact: --html and --shape are for models")
        _inspect_artifact(path, as_json)
        return
    require_compiler("inspect MODEL")
    try:
        source = find_model(path)
    except NoModelError as error:
        if not path.exists():
            raise
        raise UsageError(f"{error}; nor is it an artifact, a directory with a {MANIFEST_FILE}") from None
    if html is not None:
        if source.kind == "onnx":
            raise UsageError(f"--html draws Paddle models; {source.program} is ONNX")
        check_is_page(html, "--html")
        check_writable(html)
    # Only now, for Paddle and TVM take seconds.
    from paddle_tvm.compiler.analysis import analyse
    from paddle_tvm.compiler.frontends.paddle.program import load_program

    if source.kind == "onnx":
        from paddle_tvm.compiler.onnx_analysis import analyse_onnx

        analysis = analyse_onnx(source, asked)
    else:
        program = load_program(source)
        analysis = analyse(program, asked)
        if html is not None:
            from paddle_tvm.compiler.graph_html import render_page

            page = render_page(source.name, program, analysis)
            with replacing(html) as file:
                file.write(page.encode("utf-8"))
    if as_json:
        click.echo(json.dumps(analysis.as_json(), indent=2))
        return
    click.echo(f"{source.name} ({source.kind}, {source.program})")
    _print_analysis(analysis)
    if html is not None:
        click.echo(f"\nwrote {html}")


def _print_analysis(analysis: ModelAnalysis) -> None:
    shapes = " ".join(f"{name}={','.join(map(str, shape))}" for name, shape in analysis.shapes.items())
    at = f" at {shapes}" if shapes else ""
    partial = "at least " if analysis.uncounted else ""
    print_pairs(
        [
            ("parameters", f"{format_count(analysis.parameters)}, {format_bytes(analysis.parameter_bytes)}"),
            ("FLOPs", f"{partial}{format_count(analysis.flops)} (a multiply-add as two){at}"),
        ]
    )
    if analysis.uncounted:
        click.echo(
            f"            {counted(analysis.uncounted, 'operation')} not counted, for want of known shapes"
        )
    _print_ports(analysis.inputs, analysis.outputs)
    click.echo()
    rows = [
        [
            use.name.removeprefix("pd_op."),
            str(use.count),
            format_count(use.flops) if use.flops else "",
            "" if use.supported else "with --target onnxruntime" if use.kept else "unsupported",
        ]
        for use in analysis.operators
    ]
    print_table(["operator", "count", "FLOPs", ""], rows, right=(1, 2))
    lost = [use for use in analysis.unsupported if not use.kept]
    kept = [use for use in analysis.unsupported if use.kept]
    if lost:
        are = agreeing(len(lost), "is", "are")
        click.echo(f"\n{counted(len(lost), 'operator')} {are} unsupported: {_listed(lost)}")
    if kept:
        have, them = ("has", "it") if len(kept) == 1 else ("have", "them")
        click.echo(
            f"\n{counted(len(kept), 'operator')} {have} no kernel of ours, and --target onnxruntime keeps "
            f"{them} for ONNX Runtime to run: {_listed(kept)}"
        )
    if not analysis.unsupported:
        count = len(analysis.operators)
        click.echo(
            "\nThe operator is supported." if count == 1 else f"\nAll {count} operators are supported."
        )


def _listed(uses: Sequence[OperatorUse]) -> str:
    return ", ".join(f"{use.name} ({counted(use.count, 'time')})" for use in uses)


def _print_ports(inputs: Sequence[ModelPort | TensorSpec], outputs: Sequence[ModelPort | TensorSpec]) -> None:
    click.echo()
    rows = [
        [kind, spec.name, spec.dtype, format_shape(spec.shape)]
        for kind, specs in (("input", inputs), ("output", outputs))
        for spec in specs
    ]
    print_table(["", "name", "dtype", "shape"], rows)


def _inspect_artifact(path: Path, as_json: bool) -> None:
    from paddle_tvm.runtime.artifact import check_files, read_manifest
    from paddle_tvm.runtime.errors import ArtifactError
    from paddle_tvm.runtime.variants import choose_variant

    manifest = read_manifest(path)
    check_files(path, manifest)
    refusal = None
    try:
        chosen: str | None = choose_variant(path, manifest).target.mcpu
    except ArtifactError as error:
        # Raised at the end, so that an artifact for another machine can still be looked at.
        chosen, refusal = None, error
    if as_json:
        click.echo(json.dumps({**manifest.to_json(), "runs_here": chosen}, indent=2))
    else:
        _print_artifact(path, manifest, chosen)
    if refusal is not None:
        raise refusal


def _print_artifact(path: Path, manifest: Manifest, chosen: str | None) -> None:
    size = sum(file.size for file in manifest.files.values())
    parameters = sum(weight.nbytes for weight in manifest.weights)
    click.echo(f"{path}: artifact of {manifest.source.name}, format intact")
    producer = manifest.producer
    versions = [("paddle-tvm", producer.paddle_tvm), ("TVM", producer.tvm)]
    if producer.paddle is not None:
        versions.append(("Paddle", producer.paddle))
    print_pairs(
        [
            (
                "written by",
                f"paddle-tvm {producer.paddle_tvm}, TVM {producer.tvm}, Paddle {producer.paddle or '-'}",
            ),
            ("precision", manifest.precision),
            ("size", f"{format_bytes(size)}, of which weights {format_bytes(parameters)}"),
        ]
    )
    _print_variants(manifest, chosen)
    _print_ports(manifest.inputs, manifest.outputs)
    click.echo()
    rows = [
        [
            function.name,
            " ".join(
                f"{spec.name} {format_shape(shape)}"
                for spec, shape in zip(manifest.inputs, function.input_shapes, strict=True)
            ),
        ]
        for function in manifest.functions
    ]
    print_table(["specialisation", "input shapes"], rows)


def _print_variants(manifest: Manifest, chosen: str | None) -> None:
    """A row for each CPU, and below the features that its code needs."""
    from paddle_tvm.runtime.gpus import find_gpus
    from paddle_tvm.runtime.variants import missing_features

    rows = []
    for variant in manifest.variants:
        missing = missing_features(variant)
        here = f"no, for want of {counted(len(missing), 'feature')}" if missing else "yes"
        if variant.target.mcpu == chosen and len(manifest.variants) > 1:
            here = "yes, and is taken"
        if variant.target.devices:
            problem = find_gpus().problem
            here = f"no: {problem}" if problem else "yes, on a GPU of these or newer"
        name = f"{variant.target.kind} {', '.join(variant.target.devices) or variant.target.mcpu}"
        rows.append([name, here, _verification_line(variant)])
    click.echo()
    print_table(["code for", "runs here", "verified"], rows)
    click.echo("\nCPU features that the code needs")
    print_pairs(_feature_pairs(manifest))


def _feature_pairs(manifest: Manifest) -> list[tuple[str, str]]:
    """Features by CPU; where code needs all that the code for the next one does, what it needs beyond."""
    pairs: list[tuple[str, str]] = []
    below: frozenset[str] = frozenset()
    for variant in reversed(manifest.variants):
        needed = frozenset(variant.target.features)
        listed = " ".join(sorted(needed)) or "any 64-bit x86"
        if below and below <= needed:
            listed = f"those of {pairs[-1][0]}, and {' '.join(sorted(needed - below)) or 'no more'}"
        pairs.append((variant.target.mcpu, listed))
        below = needed
    return pairs[::-1]


def _verification_line(variant: Variant) -> str:
    verification = variant.verification
    if verification is None:
        where = ", on a machine with a GPU" if variant.target.devices else ""
        return f"no (compile --verify records it{where})"
    errors = [output.max_rel_error for output in verification.outputs]
    finite = [error for error in errors if error is not None]
    worst = "not finite" if len(finite) < len(errors) else f"{max(finite, default=0.0):.1e}"
    runs = len(verification.shapes)
    return f"{counted(runs, 'run')}, largest relative error {worst}, tolerance {verification.tolerance:g}"
