"""x86 CPUs with oneDNN beside our own kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from paddle_tvm.runtime.cpu import cpu_features
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.cpu_names import CPUS
from paddle_tvm.targets.onednn.accelerator import OneDnn
from paddle_tvm.targets.x86 import x86_targets
from paddle_tvm.targets.x86.cpus import features_of, microarchitecture_here
from paddle_tvm.targets.x86.target import X86Target

# What a CPU must have for bfloat16, as /proc/cpuinfo names it. oneDNN 3.2 has no bfloat16 primitives for CPUs
# without AVX-512, and on those without this feature it emulates them, slower than float32. AMX is not asked
# for, and used where it is there.
_BFLOAT16 = "avx512_bf16"
# Whose instruction makes bfloat16 twice as fast as float32: measured, docs/performance.md.
_FAST_WITHOUT_AMX = ("znver5",)
# What makes it faster than float32, as /proc/cpuinfo names it.
_BFLOAT16_AMX = "amx_bf16"
# All CPUs with that feature run its code.
_LEAST_WITH_BFLOAT16 = "cooperlake"
# One of these a CPU must have for products of integers: without them oneDNN 3.2 adds pairs of products in 16
# bits, in which they overflow.
_INTEGERS = frozenset({"avx512_vnni", "avx_vnni"})


def onednn_targets(mcpus: Sequence[str], precision: str = "float32") -> tuple[X86Target, ...]:
    """The targets for CPU names, with oneDNN for what it has primitives for; none: this machine.

    Raises
    ------
    UsageError
        A name is not known or given twice, or a CPU has no instructions for the precision.
    """
    targets = x86_targets(mcpus)
    if precision == "bfloat16":
        _check_bfloat16(mcpus)
        if not mcpus:
            least = _LEAST_WITH_BFLOAT16
            targets = tuple(replace(target, mcpu=least, features=features_of(least)) for target in targets)
    return tuple(
        replace(
            target,
            kind=OneDnn.name,
            accelerator=OneDnn(precision, integers=bool(_INTEGERS.intersection(target.features))),
            notes=_notes(target.mcpu if mcpus else None) if precision == "bfloat16" else (),
        )
        for target in targets
    )


def _notes(mcpu: str | None) -> tuple[str, ...]:
    """What to know of bfloat16 on a CPU; None: this machine's."""
    if _BFLOAT16_AMX in (cpu_features() if mcpu is None else features_of(mcpu)):
        return ()
    if (microarchitecture_here() if mcpu is None else mcpu) in _FAST_WITHOUT_AMX:
        return ()
    whose = "this machine's CPU" if mcpu is None else f"--mcpu {mcpu}"
    note = (
        f"{whose} has no AMX ({_BFLOAT16_AMX}), without which bfloat16 may be slower than float32: on an "
        "Intel CPU, oneDNN took 1.4 times as long; compile with --precision float32, too, and compare the "
        "two with paddle-tvm bench"
    )
    return (note,)


def _check_bfloat16(mcpus: Sequence[str]) -> None:
    lacking = [f"--mcpu {name}" for name in mcpus if _BFLOAT16 not in features_of(name)]
    if not mcpus and not cpu_features().issuperset(features_of(_LEAST_WITH_BFLOAT16)):
        lacking = ["this machine's CPU"]
    if lacking:
        able = [name for name in CPUS if _BFLOAT16 in features_of(name)]
        raise UsageError(
            f"--precision bfloat16 needs {_BFLOAT16}, which {' and '.join(lacking)} lacks, and without it "
            f"oneDNN is slower than in float32: compile in float32, or for a CPU that has it (--mcpu "
            f"{', '.join(able)})"
        )
