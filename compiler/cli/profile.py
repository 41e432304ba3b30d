"""``paddle-tvm profile``: where the time of an artifact goes, kernel by kernel."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from paddle_tvm.compiler.bench.disturbance import marked
from paddle_tvm.compiler.cli.extras import require_compiler
from paddle_tvm.compiler.cli.given_inputs import gather_inputs
from paddle_tvm.compiler.cli.shape_option import parse_one_shape_set, shape_option
from paddle_tvm.compiler.cli.text_table import format_shape
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.gpus import require_gpu
from paddle_tvm.runtime.variants import choose_variant
from paddle_tvm.runtime.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from paddle_tvm.compiler.profiling.kernel_table import Edge
    from paddle_tvm.compiler.profiling.profile import KernelProfile, Profile


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--input",
    "input_files",
    metavar="[NAME=]FILE",
    multiple=True,
    help="A .npy file for an input, or a .npz with several.",
)
@shape_option("Shape of a random input; by default a small one that is shown.")
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    help="CPU threads; by default as many as there are physical cores.",
)
@click.option("--mcpu", metavar="NAME", help="Which of the CPUs that ARTIFACT has code for to run.")
@click.option("--rounds", type=click.IntRange(min=1), default=30, show_default=True, help="Runs timed.")
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True, help="Kernels shown.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of random input.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def profile(
    artifact: Path,
    input_files: tuple[str, ...],
    shapes: tuple[str, ...],
    threads: int | None,
    mcpu: str | None,
    rounds: int,
    top: int,
    seed: int,
    as_json: bool,
) -> None:
    """Time every kernel of ARTIFACT: its part of the run, GFLOP/s, GB/s, and which schedule it got."""
    asked = parse_one_shape_set(shapes)
    require_compiler("profile")
    manifest = read_manifest(artifact)
    choose_variant(artifact, manifest, mcpu)
    if threads is not None and any(variant.target.devices for variant in manifest.variants):
        raise UsageError(f"--threads goes with code for CPUs, and {artifact} is compiled for GPUs")
    require_gpu(artifact, manifest)
    arrays, random_names = gather_inputs(artifact, manifest, input_files, asked, seed)
    # Only now, for TVM takes a second.
    from paddle_tvm.compiler.cli.console import stdout_console
    from paddle_tvm.compiler.profiling.profile import profile_artifact

    result = profile_artifact(artifact, arrays, threads=threads, rounds=rounds, mcpu=mcpu)
    if as_json:
        click.echo(json.dumps(profile_as_json(result), indent=2))
        return
    if random_names:
        made = ", ".join(f"{name} {format_shape(arrays[name].shape)}" for name in random_names)
        click.echo(f"random input (seed {seed}): {made}")
    _print_profile(result, top, stdout_console())


def _print_profile(result: Profile, top: int, console: Console) -> None:
    from rich import box
    from rich.table import Table

    from paddle_tvm.compiler.profiling.gpu_peak import GpuPeak
    from paddle_tvm.compiler.profiling.kernel_table import count_kernels

    timing = result.timing
    calls = sum(kernel.calls for kernel in result.kernels)
    externals = [kernel.schedule.external for kernel in result.kernels if kernel.schedule]
    subgraphs = [external for external in externals if external is not None]
    count = count_kernels(len(result.kernels) - len(subgraphs), len(subgraphs), "".join(subgraphs[:1]))
    if result.disturbed:
        console.print(f"[yellow]warning:[/] {result.disturbance_remark}", soft_wrap=True)
    console.print(
        f"one run {marked(f'{timing.run_ms:.3f} ms', result.disturbed)} on {result.ran_on}, code for "
        f"{result.made_for}, median of {timing.rounds}; {count}, called "
        f"{counted(calls, 'time')}",
        soft_wrap=True,
    )
    console.print(_peak(result), soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    of_peak = marked("of peak", result.disturbed)
    for heading in ("ms", "of run", "calls", "GFLOP/s", of_peak, "GB/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("kernel", overflow="fold")
    for kernel in result.kernels[:top]:
        table.add_row(*_row(kernel, result))
    table.add_section()
    rest = result.kernels[top:]
    if rest:
        spent = sum(kernel.work.microseconds for kernel in rest)
        count = str(sum(kernel.calls for kernel in rest))
        more = f"{len(rest)} more, which --top {len(result.kernels)} shows"
        table.add_row(*_sum_row(spent, result), count, "", "", "", more)
    outside = "outside kernels: calls, memory, checks of shapes, waking " + (
        "the GPU" if isinstance(result.peak, GpuPeak) else "threads"
    )
    # What the kernels leave of the run is where time that others took shows up.
    left = [marked(number, result.disturbed) for number in _sum_row(result.outside_us, result)]
    table.add_row(*left, "", "", "", "", outside)
    table.add_row(*_sum_row(result.total_us, result), "", "", "", "", _whole(result))
    console.print(table)
    listed = [kernel.schedule for kernel in result.kernels[:top] if kernel.schedule is not None]
    if result.peak.gflops:
        for reason in dict.fromkeys(filter(None, (schedule.passes_peak for schedule in listed))):
            console.print(reason, soft_wrap=True)
    if narrow := result.arithmetic:
        console.print(
            f"no share of peak for what is computed in {' and '.join(narrow)}: the peak is that of "
            f"{result.peak.precision}",
            soft_wrap=True,
        )
    console.print(f"timing costs {timing.overhead_us:.1f} us a call, which is taken off", soft_wrap=True)
    if isinstance(result.peak, GpuPeak):
        console.print(
            "kernels were started one by one; the run has those of fixed sizes recorded as a graph",
            soft_wrap=True,
        )


def _peak(result: Profile) -> str:
    """What the machine can do at most, and how that is known."""
    from paddle_tvm.compiler.profiling.gpu_peak import GpuPeak

    peak = result.peak
    if isinstance(peak, GpuPeak):
        known = [
            "GFLOP/s not known" if peak.gflops is None else f"{peak.gflops:.0f} GFLOP/s in {peak.precision}",
            "GB/s not known" if peak.memory_gbps is None else f"{peak.memory_gbps:.0f} GB/s from memory",
        ]
        return f"its peak by its clocks, not measured: {', '.join(known)}"
    return (
        f"this machine reaches {marked(f'{peak.gflops:.0f} GFLOP/s', result.disturbed)} in "
        "float32 multiply-adds, "
        f"{peak.l2_gbps:.0f} GB/s from L2, {peak.memory_gbps:.0f} GB/s from memory"
    )


def _sum_row(microseconds: float, result: Profile) -> list[str]:
    return [f"{microseconds / 1e3:.3f}", _percent(result.share(microseconds))]


def _whole(result: Profile) -> str:
    if result.kernels_us > result.timing.run_ms * 1e3:
        return "sum of the kernels: more than the run, for timing slows them"
    return "the run"


def _row(kernel: KernelProfile, result: Profile) -> list[str]:
    from paddle_tvm.compiler.tuning.workload_names import name_key

    work = kernel.work
    share = result.peak_share(work, kernel.schedule)
    made = f"{operators_of(kernel)}, {_results(kernel, result)}"
    schedule = ""
    if kernel.schedule is not None:
        form = ", ".join(filter(None, (kernel.schedule.show(result.sizes), kernel.schedule.form)))
        schedule = ": ".join(filter(None, (name_key(kernel.schedule.workload), form)))
    return [
        f"{work.microseconds / 1e3:.3f}",
        _percent(result.share(work.microseconds)),
        str(kernel.calls),
        "-" if not work.gflops else f"{work.gflops:.1f}",
        "-" if not work.gflops or share is None else _percent(share),
        "-" if not work.gbps else f"{work.gbps:.1f}",
        f"{made}\n[dim]{schedule}[/]",
    ]


def operators_of(kernel: KernelProfile) -> str:
    """The operators that a kernel computes, without their numbers; its name where that is not known."""
    from paddle_tvm.compiler.profiling.kernel_table import name_subgraph

    if not kernel.places:
        return kernel.name
    if kernel.schedule is not None and kernel.schedule.external is not None:
        return name_subgraph(kernel.schedule.external, kernel.places[0])
    return " + ".join(operator.name for operator in kernel.places[0].operators)


def _results(kernel: KernelProfile, result: Profile) -> str:
    if not kernel.places:
        return ""
    return ", ".join(describe_edge(edge, result) for edge in kernel.places[0].outputs)


def describe_edge(edge: Edge, result: Profile) -> str:
    """Shape and layout of a tensor in a run."""
    from paddle_tvm.compiler.profiling.expressions import evaluate

    sizes = [evaluate(dim, result.sizes) for dim in edge.shape]
    shape = "x".join("?" if size is None else str(size) for size in sizes) or "scalar"
    return f"{shape} {edge.layout}".rstrip()


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def profile_as_json(result: Profile) -> dict[str, object]:
    """All that was measured, as JSON."""
    timing = result.timing
    return {
        "mcpu": result.mcpu,
        "devices": list(result.devices),
        "ran_on": result.ran_on,
        "form": timing.form,
        "shapes": {name: list(shape) for name, shape in result.shapes.items()},
        "threads": timing.threads,
        "rounds": timing.rounds,
        "run_ms": timing.run_ms,
        "kernels_ms": result.kernels_us / 1e3,
        "outside_kernels_ms": result.outside_us / 1e3,
        "disturbance": result.disturbance,
        "disturbed": result.disturbed,
        "instrument_us_per_call": timing.overhead_us,
        "peak": asdict(result.peak),
        "kernels": [_kernel_as_json(kernel, result) for kernel in result.kernels],
    }


def _kernel_as_json(kernel: KernelProfile, result: Profile) -> dict[str, object]:
    work, schedule = kernel.work, kernel.schedule
    return {
        "kernel": kernel.name,
        "calls": kernel.calls,
        "ms": work.microseconds / 1e3,
        "share": result.share(work.microseconds),
        "flops": work.flops,
        "bytes": work.bytes,
        "gflops": work.gflops,
        "gbps": work.gbps,
        "share_of_peak": result.peak_share(work, schedule),
        "schedule": None
        if schedule is None
        else {
            "rule": schedule.rule,
            "external": schedule.external,
            "arithmetic": schedule.arithmetic,
            "parameters": dict(schedule.parameters),
            "parallel": list(schedule.parallel),
        },
        "form": None if schedule is None or schedule.choice is None else asdict(schedule.choice),
        "places": [
            {
                "operators": _named(place.operators),
                "folded": _named(place.folded),
                "inputs": [describe_edge(edge, result) for edge in place.inputs],
                "outputs": [describe_edge(edge, result) for edge in place.outputs],
            }
            for place in kernel.places
        ],
    }


def _named(operators: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"name": operator.name, "number": operator.number} for operator in operators]
