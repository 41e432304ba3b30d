"""``paddle-tvm tune``: searches the forms of a model's kernels, and keeps what it measures in a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import click

from paddle_tvm.compiler.array_files import check_writable
from paddle_tvm.compiler.cli.extras import require_compiler
from paddle_tvm.compiler.cli.given_options import refuse_given
from paddle_tvm.compiler.cli.shape_option import parse_shapes, require_numbers, shape_option
from paddle_tvm.compiler.cli.tune_values import (
    check_log_folder,
    parse_duration,
    parse_operators,
    parse_share,
    parse_tracker,
    place_log,
)
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.options import CompileOptions, Precision
from paddle_tvm.compiler.output_places import check_is_page
from paddle_tvm.compiler.tuning.gpu_here import gpu_here
from paddle_tvm.compiler.tuning.log import check_is_log
from paddle_tvm.runtime.cpu import default_threads
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.cpu_names import check_cpu_names
from paddle_tvm.targets.registry import GPU

# What a run without --check and --merge takes, and each of these.
_FOR_CHECK = ("paths", "check", "as_json")
_FOR_MERGE = ("paths", "merge", "output", "force", "as_json")
_NOT_FOR_TUNING = ("force",)
_NOT_FOR_GPUS = ("threads", "rpc", "key")


@click.command()
@click.argument("paths", metavar="MODEL|LOG...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="LOG",
    help="The log to append to, or a directory for it; tuning_logs/TARGET CLASS/MODEL.jsonl by default. "
    "What it holds is not measured again.",
)
@shape_option("Shape of an input, as `compile` takes it; one set.")
@click.option(
    "--measure-shape",
    "measure_shapes",
    metavar="NAME=DIM,DIM,...",
    multiple=True,
    help="Shape of an input to measure with where dimensions stay dynamic; by default pictures of 224x256, "
    "texts of 128 words. Of several sets, separated by ';', the search has the first, and what wins is no "
    "slower with the others.",
)
@click.option("--target", default="x86", show_default=True, help="See `paddle-tvm targets`.")
@click.option("--mcpu", metavar="NAME", help="CPU to tune for; by default this machine's.")
@click.option(
    "--arch",
    "architecture",
    metavar="sm_NN",
    help="With --target cuda: the architecture of this machine's GPU, which is the default.",
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="float32",
    show_default=True,
    help="As for `compile`; other than float32 with --target cuda or onednn.",
)
@click.option(
    "--frontend",
    type=click.Choice(["paddle", "onnx"]),
    default="paddle",
    show_default=True,
    help="As for `compile`.",
)
@click.option("--trials", type=click.IntRange(min=0), metavar="N", help="Forms to try at most.")
@click.option(
    "--time-budget",
    metavar="TIME",
    help="How long to search at most: 90s, 30m, 2h. Without it and --trials, until nothing promises a gain.",
)
@click.option("--ops", metavar="NAME,...", help="Operators to tune: conv2d, matmul, ...; all by default.")
@click.option(
    "--min-share",
    default="1%",
    show_default=True,
    metavar="SHARE",
    help="Leave kernels alone that take less of a run.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    help="CPU threads; by default as many as there are physical cores.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of search and inputs."
)
@click.option(
    "--tuning-log",
    "tuning_logs",
    type=click.Path(path_type=Path),
    metavar="FILE",
    multiple=True,
    help="Another log whose records the model starts with, as `compile` takes it. Repeat it.",
)
@click.option("--no-tuning-logs", is_flag=True, help="Start without the logs that the package brings.")
@click.option("--rpc", metavar="HOST:PORT", help="Measure on the machines of this TVM tracker; needs --key.")
@click.option("--key", metavar="NAME", help="With --rpc: which of the tracker's machines measure.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Write a page that shows how the search went and what won.",
)
@click.option("--check", is_flag=True, help="Instead: say which records of LOG... can be applied.")
@click.option("--merge", is_flag=True, help="Instead: join LOG... into the log of -o, keeping the best.")
@click.option("--force", is_flag=True, help="With --merge: replace the log of -o where it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; progress goes to stderr.")
@click.pass_context
def tune(
    context: click.Context,
    paths: tuple[Path, ...],
    output: Path | None,
    shapes: tuple[str, ...],
    measure_shapes: tuple[str, ...],
    target: str,
    mcpu: str | None,
    architecture: str | None,
    precision: Precision,
    frontend: Literal["paddle", "onnx"],
    trials: int | None,
    time_budget: str | None,
    ops: str | None,
    min_share: str,
    threads: int | None,
    seed: int,
    tuning_logs: tuple[Path, ...],
    no_tuning_logs: bool,
    rpc: str | None,
    key: str | None,
    report: Path | None,
    check: bool,
    merge: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Find faster forms of the kernels of MODEL on this machine, and keep them in a log for `compile`.

    They are those for its CPU, or with --target cuda those for its GPU.

    MODEL is a directory, a path prefix, or a file of a saved model: .json (PIR), .pdmodel or .onnx. After
    Ctrl-C, or however it ends, the same command goes on from what the log holds. With --check and --merge,
    LOGs take the place of MODEL.
    """
    if check or merge:
        _for_logs(context, paths, output, check, merge, force, as_json)
        return
    refuse_given(context, _NOT_FOR_TUNING, "for --merge; what a log holds is never overwritten by tuning")
    if len(paths) != 1:
        given = " ".join(map(str, paths)) or "none"
        raise UsageError(f"expected one MODEL to tune, got {given}; --check and --merge take several LOGs")
    seconds = None if time_budget is None else parse_duration(time_budget)
    operators, share = parse_operators(ops), parse_share(min_share)
    tracker = parse_tracker(rpc, key)
    sets, sizes = parse_shapes(shapes), _parse_sizes(measure_shapes)
    if len(sets) > 1:
        raise UsageError(
            f"--shape gives {len(sets)} sets of shapes; tune them one after the other, into one log"
        )
    _refuse_empty("--shape", sets[0] if sets else {})
    for one in sizes:
        _refuse_empty("--measure-shape", one)
    require_compiler("tune")
    # Everything that can be refused before TVM is imported, which takes a second.
    check_cpu_names([] if mcpu is None else [mcpu])
    asked = CompileOptions(
        target=target,
        mcpu=mcpu,
        shapes=sets[0] if sets else None,
        precision=precision,
        frontend=frontend,
        tuning_logs=tuning_logs,
        shipped_logs=not no_tuning_logs,
        architectures=() if architecture is None else (architecture,),
    )
    if target == GPU:
        refuse_given(context, _NOT_FOR_GPUS, f"for CPUs; --target {GPU} measures on this machine's GPU")
        gpu_here(asked.architectures)
    for log in tuning_logs:
        check_is_log(log)
    source = find_model(paths[0])
    if output is None:
        check_log_folder()
    log_path = None if output is None else place_log(output, source.name)
    if report is not None:
        if log_path is not None and report.absolute() == log_path.absolute():
            raise UsageError(f"--report {report}: that is the log; name another file")
        check_is_page(report, "--report")
        check_writable(report)

    from paddle_tvm.compiler.cli.tune_run import tune_and_print
    from paddle_tvm.compiler.tuning.options import TuneOptions

    options = TuneOptions(
        threads=threads or default_threads(),
        trials=trials,
        seconds=seconds,
        ops=operators,
        min_share=share,
        seed=seed,
        compile=asked,
        sizes=sizes,
        rpc=tracker,
    )
    tune_and_print(paths[0], source.name, log_path, options, report, as_json)


def _parse_sizes(values: Sequence[str]) -> list[dict[str, tuple[int, ...]]]:
    option = "--measure-shape"
    return [require_numbers(shapes, option) for shapes in parse_shapes(values, option) if shapes]


def _refuse_empty(option: str, shapes: Mapping[str, Sequence[int | str]]) -> None:
    for name, shape in shapes.items():
        if 0 in shape:
            raise UsageError(
                f"{option} {name}={','.join(map(str, shape))}: a dimension of 0 leaves nothing to measure; "
                "give sizes that runs will have"
            )


def _for_logs(
    context: click.Context,
    paths: Sequence[Path],
    output: Path | None,
    check: bool,
    merge: bool,
    force: bool,
    as_json: bool,
) -> None:
    if check and merge:
        raise UsageError("--check and --merge are two commands: give one of them")
    mode, taken = ("--check", _FOR_CHECK) if check else ("--merge", _FOR_MERGE)
    others = [parameter.name or "" for parameter in context.command.params if parameter.name not in taken]
    refuse_given(context, others, f"not for {mode}")
    if not paths:
        raise UsageError(f"{mode}: name at least one LOG")
    if merge and output is None:
        raise UsageError("--merge: name the log to write with -o")
    require_compiler("tune")
    for log in paths:
        check_is_log(log)
    from paddle_tvm.compiler.cli.tuning_logs import check_tuning_logs, merge_tuning_logs

    if output is None:
        check_tuning_logs(paths, as_json)
    else:
        merge_tuning_logs(paths, output, force, as_json)
