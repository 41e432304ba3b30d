"""GPUs that can be compiled for, by NVIDIA's names of their architectures; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence

from paddle_tvm.runtime.errors import UsageError

ARCHITECTURES = {
    "sm_80": "A100, A30",
    "sm_86": "A10, A40, RTX 30",
    "sm_89": "L4, L40, RTX 40",
    "sm_90": "H100, H200",
    "sm_100": "B100, B200",
    "sm_103": "B300",
    "sm_120": "RTX 50, RTX PRO Blackwell",
}
"""What has each: those with tensor cores for float16, bfloat16 and TF32, beside an x86 CPU."""

DEFAULT_ARCHITECTURES = ("sm_80", "sm_90")


def gpu_class(architectures: Sequence[str]) -> str:
    """Among which GPUs tuning records hold for code for these architectures.

    Those of one architecture. Code for several has one form of each kernel for all of them, of which no
    measurement on one says anything.
    """
    return f"cuda-{'+'.join(architectures)}"


def check_architectures(names: Sequence[str]) -> tuple[str, ...]:
    """The architectures to compile for, oldest first; none stands for ``DEFAULT_ARCHITECTURES``.

    Raises
    ------
    UsageError
        One is not known, or given twice.
    """
    unknown = [name for name in names if name not in ARCHITECTURES]
    if unknown:
        known = ", ".join(f"{name} ({what})" for name, what in ARCHITECTURES.items())
        raise UsageError(f"--arch {unknown[0]} is not known; known: {known}")
    twice = {name for name in names if list(names).count(name) > 1}
    if twice:
        raise UsageError(f"--arch {min(twice)} is given twice")
    return tuple(sorted(names or DEFAULT_ARCHITECTURES, key=list(ARCHITECTURES).index))
