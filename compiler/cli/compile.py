"""``paddle-tvm compile``: a saved model becomes an artifact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click

from paddle_tvm.compiler.cli.extras import require_compiler
from paddle_tvm.compiler.cli.prose import say
from paddle_tvm.compiler.cli.shape_option import parse_shapes, shape_option
from paddle_tvm.compiler.cli.text_table import format_bytes
from paddle_tvm.compiler.cli.tuned_forms import (
    count_origins,
    described_forms,
    note_foreign_forms,
    note_unused_logs,
    warn_of_skipped,
)
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.options import CompileOptions, Precision
from paddle_tvm.compiler.output_places import check_output, check_report_path
from paddle_tvm.compiler.tuning.log import check_is_log
from paddle_tvm.targets.cpu_names import check_cpu_names

if TYPE_CHECKING:
    from paddle_tvm.compiler.driver import CompiledVariant, CompileResult


@click.command("compile")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The artifact to write.")
@click.option("--target", default="x86", show_default=True, help="See `paddle-tvm targets`.")
@click.option(
    "--mcpu",
    "mcpus",
    metavar="NAME",
    multiple=True,
    help="CPU to compile for; by default this machine's. Several make one artifact with code for each, of "
    "which the runtime takes the best that the machine runs.",
)
@click.option(
    "--arch",
    "architectures",
    metavar="sm_80,...",
    multiple=True,
    help="GPUs to compile for with --target cuda, all in one artifact, which newer ones run, too; by default "
    "sm_80 and sm_90.",
)
@click.option(
    "--min-subgraph-size",
    type=click.IntRange(min=1),
    help="With --target tensorrt: fewer operators than this (3) stay with our kernels.",
)
@shape_option(
    "Shape of an input; -1 leaves a dimension dynamic. Repeat it for each input. Several sets, separated by "
    "';', become specialisations beside the dynamic form."
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="float32",
    show_default=True,
    help="Arithmetic of convolutions and matrix products; other than float32 with --target cuda, and "
    "bfloat16 with --target onednn.",
)
@click.option(
    "--frontend",
    type=click.Choice(["paddle", "onnx"]),
    default="paddle",
    show_default=True,
    help="Read the Paddle program itself, or convert it with paddle2onnx first.",
)
@click.option(
    "--tuning-log",
    "tuning_logs",
    type=click.Path(path_type=Path),
    metavar="FILE",
    multiple=True,
    help="A log of `paddle-tvm tune`, whose records count before those that the package brings. Repeat it.",
)
@click.option(
    "--no-tuning-logs",
    is_flag=True,
    help="Use none of the logs that the package brings; with --tuning-log, those alone.",
)
@click.option("--verify", is_flag=True, help="Compare with the model's framework, and record the result.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Write a page that shows what became of the model and how fast its kernels are.",
)
@click.option("--force", is_flag=True, help="Replace the output where it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; progress goes to stderr.")
def compile(
    model: Path,
    output: Path,
    target: str,
    mcpus: tuple[str, ...],
    architectures: tuple[str, ...],
    min_subgraph_size: int | None,
    shapes: tuple[str, ...],
    precision: Precision,
    frontend: Literal["paddle", "onnx"],
    tuning_logs: tuple[Path, ...],
    no_tuning_logs: bool,
    verify: bool,
    report: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Compile MODEL into an artifact.

    MODEL is a directory, a path prefix, or a file of a saved model: .json (PIR), .pdmodel or .onnx.
    """
    sets = parse_shapes(shapes)
    require_compiler("compile")
    # Everything that can be refused before TVM is imported, which takes a second.
    archs = [name.strip() for given in architectures for name in given.split(",") if name.strip()]
    CompileOptions(
        target,
        mcpus,
        precision=precision,
        frontend=frontend,
        architectures=archs,
        min_subgraph_size=min_subgraph_size,
    )
    check_cpu_names(mcpus)
    check_output(output, force)
    if report is not None:
        check_report_path(report, output)
    for log in tuning_logs:
        check_is_log(log)
    find_model(model)
    from paddle_tvm import compiler
    from paddle_tvm.compiler.cli.console import StageProgress, stderr_console, stdout_console
    from paddle_tvm.compiler.profiling.kernel_table import count_kernels

    progress = StageProgress(stderr_console())
    fixed = [shape_set for shape_set in sets if shape_set]
    result = compiler.compile(
        model,
        output,
        target=target,
        mcpu=mcpus,
        # An empty set asks for the dynamic form, which several sets have beside them anyway.
        shapes=None if not fixed else fixed[0] if len(sets) == 1 else fixed,
        precision=precision,
        frontend=frontend,
        verify=verify,
        force=force,
        tuning_logs=tuning_logs,
        shipped_logs=not no_tuning_logs,
        architectures=archs,
        min_subgraph_size=min_subgraph_size,
        progress=progress,
    )
    warn_of_skipped(result.skipped_records)
    note_foreign_forms(result.foreign_forms)
    note_unused_logs(result.unused_logs)
    for note in result.notes:
        say(f"note: {note}", err=True)
    if report is not None:
        from paddle_tvm.compiler.report import write_report

        with progress.stage("report"):
            write_report(result, report)
    if as_json:
        asked = {"target": target, "precision": precision, "report": None if report is None else str(report)}
        click.echo(json.dumps({**asked, **_as_json(result, verify)}, indent=2))
        return
    console = stdout_console()
    seconds = sum(stage.seconds for stage in result.stages)
    kernels = ", ".join(
        f"{count_kernels(variant.kernels, variant.subgraphs, target)} for {variant.made_for}"
        for variant in result.variants
    )
    console.print(
        f"{result.artifact}: {kernels}, {format_bytes(result.artifact_bytes)}, in {seconds:.1f} s",
        soft_wrap=True,
    )
    for variant in result.variants:
        for form, share in variant.offloaded.items():
            described = share.describe(target)
            console.print(f"{form} for {variant.made_for}: {described}", soft_wrap=True)
        if tuning_logs or any(choice.origin != "default" for choice in variant.choices.values()):
            console.print(
                f"forms of kernels for {variant.made_for}: {described_forms(variant)}",
                soft_wrap=True,
            )
    if report is not None:
        console.print(f"report: {report}", soft_wrap=True)
    if verify:
        from paddle_tvm.compiler.cli.verification_table import print_verification

        for variant in result.variants:
            if variant.verification is not None:
                print_verification(variant.verification, console)
            else:
                console.print(f"{variant.mcpu}: {_not_verified(variant)}", soft_wrap=True)


def _not_verified(variant: CompiledVariant) -> str:
    return f"not verified, because this machine lacks {', '.join(variant.missing)}"


def _as_json(result: CompileResult, verify: bool) -> dict[str, object]:
    from paddle_tvm.compiler.cli.verification_table import verification_as_json

    return {
        "artifact": str(result.artifact),
        "artifact_bytes": result.artifact_bytes,
        "architectures": list(dict.fromkeys(gpu for variant in result.variants for gpu in variant.devices)),
        "stages": [{"name": stage.name, "seconds": round(stage.seconds, 3)} for stage in result.stages],
        "variants": [
            {
                "mcpu": variant.mcpu,
                "devices": list(variant.devices),
                "kernels": variant.kernels,
                "subgraphs": variant.subgraphs,
                "forms": count_origins(variant.choices.values()),
                "offloaded": {
                    form: {
                        "subgraphs": share.subgraphs,
                        "operators": share.operators,
                        "left": dict(share.left),
                        "arithmetic": list(share.arithmetic),
                    }
                    for form, share in variant.offloaded.items()
                },
                "verification": variant.verification and verification_as_json(variant.verification),
                "not_verified": _not_verified(variant) if verify and variant.missing else None,
            }
            for variant in result.variants
        ],
        "skipped_records": [
            {"log": str(line.path), "line": line.line, "reason": line.reason}
            for line in result.skipped_records
        ],
        "foreign_forms": [
            {
                "log": str(forms.log),
                "measured_on": list(forms.measured_on),
                "compiled_for": forms.compiled_for,
            }
            for forms in result.foreign_forms
        ],
        "unused_logs": [
            {
                "log": str(unused.log),
                "measured_for": list(unused.measured_for),
                "compiled_for": unused.compiled_for,
                "reason": unused.reason,
            }
            for unused in result.unused_logs
        ],
        "notes": list(result.notes),
    }
