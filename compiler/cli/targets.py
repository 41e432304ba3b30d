"""``paddle-tvm targets``: what can be compiled for."""

from __future__ import annotations

import json

import click

from paddle_tvm.compiler.cli.extras import require_compiler


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def targets(as_json: bool) -> None:
    """List targets, the CPU names of x86, which of them this machine can run, and GPUs."""
    require_compiler("targets")
    from rich.markup import escape
    from rich.table import Table

    from paddle_tvm.compiler.cli.console import stdout_console
    from paddle_tvm.targets.cpu_names import CPUS
    from paddle_tvm.targets.gpu_names import ARCHITECTURES
    from paddle_tvm.targets.registry import CPU, GPU, ON_GPU, target_names
    from paddle_tvm.targets.x86.cpus import detect, features_of, runs_here

    here = detect()
    rows = [
        {
            "target": "x86",
            "mcpu": name,
            "runs_here": runs_here(name),
            "default": name == here,
            "features": list(features_of(name)),
        }
        for name in CPUS
    ]
    rows += [
        # Their code is for the CPU that --mcpu names, with calls of theirs.
        {
            "target": name,
            "mcpu": None,
            "runs_here": None,
            "default": False,
            "features": [],
            "missing": _missing(name),
        }
        for name in target_names()
        if name not in (CPU, *ON_GPU)
    ]
    rows += [
        {
            "target": name,
            "mcpu": None,
            "runs_here": None,
            "default": False,
            "features": [],
            "arch": dict(ARCHITECTURES),
            "missing": _missing_for_gpus(),
        }
        for name in ON_GPU
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table()
    for heading in ("target", "--mcpu", "runs here", "what the code needs"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        if row["target"] in ON_GPU:
            names = ", ".join(f"{arch} ({what})" for arch, what in ARCHITECTURES.items())
            compiles = "compiles here" if row["missing"] is None else escape(str(row["missing"]))
            needs = f"--arch {names}, and newer GPUs" if row["target"] == GPU else "as cuda, and TensorRT 10"
            table.add_row(str(row["target"]), "", compiles, escape(needs))
            continue
        if row["mcpu"] is None:
            missing = row["missing"]
            runs = "as x86" if missing is None else "no"
            needs = "those of --mcpu" if missing is None else escape(str(missing))
            table.add_row(str(row["target"]), "as x86", runs, needs)
            continue
        runs = "no" if not row["runs_here"] else "yes, the default" if row["default"] else "yes"
        needs = " ".join(features_of(str(row["mcpu"])))
        table.add_row(str(row["target"]), str(row["mcpu"]), runs, needs or "any 64-bit x86")
    stdout_console().print(table)


def _missing_for_gpus() -> str | None:
    """What compiling for GPUs lacks on this machine."""
    from paddle_tvm.runtime.errors import UsageError
    from paddle_tvm.targets.cuda import cuda_target

    try:
        cuda_target()
    except UsageError as error:
        return str(error)
    return None


def _missing(name: str) -> str | None:
    """What an accelerator lacks on this machine."""
    from paddle_tvm.runtime.errors import UsageError
    from paddle_tvm.targets.registry import accelerator_of

    try:
        _ = accelerator_of(name).runtime
    except UsageError as error:
        return str(error)
    return None
