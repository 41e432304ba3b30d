"""``paddle-tvm targets``: what can be compiled for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import click

from paddle_tvm.compiler.cli.extras import require_compiler
from paddle_tvm.runtime.cpu import AMX_REFUSED, cpu_features, is_amx_refused

if TYPE_CHECKING:
    from rich.table import Table

_COMPUTES = {
    "x86": "our kernels",
    "onednn": "oneDNN, and our kernels the rest",
    "onnxruntime": "ONNX Runtime, and our kernels the rest",
    "cuda": "our kernels, on NVIDIA GPUs",
    "tensorrt": "TensorRT, and our kernels the rest",
}
_BY_PACKAGE = "an installed package, and our kernels the rest"

# What makes code for one of these faster than for another with vectors of the same width.
_NOTABLE = {
    "avx512_vnni": "VNNI",
    "avx_vnni": "VNNI",
    "avx512_bf16": "BF16",
    "avx512_fp16": "FP16",
    "amx_bf16": "AMX",
}

# By what ``_amx`` says.
_AMX_HERE = {
    "usable": "AMX: this machine has it, and the system lets us use it",
    "refused": f"AMX: {AMX_REFUSED}",
    "absent": "AMX: this machine has none, or hides it",
}

# Of those that a CPU lacks, so that lines stay short; --json has all.
_FEATURES_NAMED = 1


class _Usable(NamedTuple):
    """A target; ``not_compiling`` and ``not_running`` say why not on this machine, None where it is."""

    target: str
    computes: str
    not_compiling: str | None
    not_running: str | None


class _Cpu(NamedTuple):
    """A name that ``--mcpu`` takes; ``missing`` has the features that this machine lacks for it."""

    mcpu: str
    default: bool
    missing: tuple[str, ...]
    features: tuple[str, ...]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def targets(as_json: bool) -> None:
    """List targets, whether this machine can use them, and the CPUs and GPUs to compile for."""
    require_compiler("targets")
    from paddle_tvm.targets.gpu_names import ARCHITECTURES, DEFAULT_ARCHITECTURES

    usable, cpus = _targets(), _cpus()
    if as_json:
        content = {
            "targets": [target._asdict() for target in usable],
            "cpus": [cpu._asdict() for cpu in cpus],
            "amx": _amx(),
            "architectures": [
                {"arch": arch, "gpus": gpus, "default": arch in DEFAULT_ARCHITECTURES}
                for arch, gpus in ARCHITECTURES.items()
            ],
        }
        click.echo(json.dumps(content, indent=2))
        return
    from paddle_tvm.compiler.cli.console import stdout_console

    console = stdout_console()
    table = _table("--target", "compiles here", "runs here", "computes with")
    for target in usable:
        reasons = (target.not_compiling, target.not_running)
        answers = ["yes" if reason is None else "no" for reason in reasons]
        table.add_row(target.target, *answers, target.computes)
    console.print(table)
    for target in usable:
        for does, reason in (("compile", target.not_compiling), ("run", target.not_running)):
            if reason is not None:
                console.print(f"{target.target} does not {does} here: {reason}", markup=False)
    console.print()
    table = _table("--mcpu", "runs here", "vectors")
    for cpu in cpus:
        table.add_row(cpu.mcpu, _runs_here(cpu), _vectors(cpu))
    console.print(table)
    console.print("best first: of code for several CPUs a machine takes the first that it can run")
    console.print(_AMX_HERE[_amx()])
    console.print()
    table = _table("--arch", "default", "GPUs; newer ones run it, too")
    for arch, gpus in ARCHITECTURES.items():
        table.add_row(arch, "yes" if arch in DEFAULT_ARCHITECTURES else "", gpus)
    console.print(table)


def _table(*headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for number, heading in enumerate(headings):
        # Names are for copying, so they are not broken.
        table.add_column(heading, no_wrap=number == 0, overflow="fold")
    return table


def _runs_here(cpu: _Cpu) -> str:
    if cpu.missing:
        more = ", ..." if len(cpu.missing) > _FEATURES_NAMED else ""
        return f"no: lacks {', '.join(cpu.missing[:_FEATURES_NAMED])}{more}"
    return "yes, the default" if cpu.default else "yes"


def _vectors(cpu: _Cpu) -> str:
    if "avx512f" in cpu.features:
        widest = "AVX-512"
    else:
        widest = "AVX2" if "avx2" in cpu.features else "SSE2: any 64-bit x86"
    notable = [name for feature, name in _NOTABLE.items() if feature in cpu.features]
    return ", ".join(dict.fromkeys([widest, *notable]))


def _amx() -> str:
    if is_amx_refused():
        return "refused"
    return "usable" if "amx_bf16" in cpu_features() else "absent"


def _cpus() -> list[_Cpu]:
    from paddle_tvm.targets.cpu_names import CPUS
    from paddle_tvm.targets.x86.cpus import detect, features_of

    here, have = detect(), cpu_features()
    return [
        _Cpu(name, name == here, tuple(sorted(set(features_of(name)) - have)), features_of(name))
        for name in CPUS
    ]


def _targets() -> list[_Usable]:
    from paddle_tvm.runtime.gpus import find_gpus
    from paddle_tvm.runtime.tensorrt_package import PACKAGE, find_tensorrt
    from paddle_tvm.targets.registry import CPU, ON_GPU, TENSORRT, target_names

    found = []
    for name in sorted(target_names(), key=lambda name: name in ON_GPU):
        not_compiling = not_running = None
        if name in ON_GPU:
            not_compiling = _missing_for_gpus()
            not_running = find_gpus().problem or None
            if not_running is None and name == TENSORRT and find_tensorrt().problem:
                not_running = f"it needs TensorRT 10, {find_tensorrt().problem}: pip install '{PACKAGE}'"
        elif name != CPU:
            # Artifacts bring along what they need to run.
            not_compiling = _missing(name)
        found.append(_Usable(name, _COMPUTES.get(name, _BY_PACKAGE), not_compiling, not_running))
    return found


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
