"""The x86 target: CPU names, features, and what the code generator is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tvm

from paddle_tvm.runtime.cpu import cpu_features
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.x86.legalize import legalizations
from paddle_tvm.targets.x86.pipeline import register_pipeline
from paddle_tvm.targets.x86.schedules import schedule_module

_AVX2 = ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe")
_AVX512 = (*_AVX2, "avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl")
_VNNI = (*_AVX512, "avx512_vnni")

# The features, as /proc/cpuinfo names them, that code for each of LLVM's CPU names needs; from LLVM's
# X86TargetParser. Newest first: detection takes the first that the machine can run.
CPU_FEATURES: Mapping[str, tuple[str, ...]] = {
    "icelake-server": (
        *_VNNI,
        "avx512_bitalg",
        "avx512_vbmi2",
        "avx512_vpopcntdq",
        "avx512ifma",
        "avx512vbmi",
        "gfni",
        "vaes",
        "vpclmulqdq",
    ),
    "cascadelake": _VNNI,
    "skylake-avx512": _AVX512,
    "haswell": _AVX2,
    "x86-64": (),
}


@dataclass(frozen=True)
class X86Target:
    """An x86 CPU, by LLVM's name of it."""

    mcpu: str
    features: tuple[str, ...]
    kind: str = "x86"

    @cached_property
    def tvm_target(self) -> tvm.target.Target:
        return tvm.target.Target(
            {
                "kind": "llvm",
                "mcpu": self.mcpu,
                "mtriple": "x86_64-linux-gnu",
                # Sums may be reordered, so that LLVM vectorises reductions; NaN and Inf keep their meaning.
                "fast-math-reassoc": True,
                "fast-math-contract": True,
            }
        )

    @property
    def lanes(self) -> int:
        """float32 values in a vector register."""
        if "avx512f" in self.features:
            return 16
        return 8 if "avx2" in self.features else 4

    @property
    def tir_pipeline(self) -> str:
        return register_pipeline()

    def legalizations(self) -> Mapping[str, Callable[..., Any]]:
        return legalizations(self.lanes)

    def schedule(self, module: tvm.IRModule) -> tvm.IRModule:
        return schedule_module(module)


def detect() -> str:
    """LLVM's name of the newest known CPU whose code this machine runs."""
    have = cpu_features()
    return next(name for name, needs in CPU_FEATURES.items() if have.issuperset(needs))


def x86_target(mcpu: str | None = None) -> X86Target:
    """The target for a CPU name; None means this machine.

    Raises
    ------
    UsageError
        The name is not known.
    """
    name = mcpu or detect()
    if name not in CPU_FEATURES:
        raise UsageError(f"--mcpu {name} is not known; known: {', '.join(CPU_FEATURES)}")
    return X86Target(name, tuple(sorted(CPU_FEATURES[name])))
