"""The features that code for each x86 CPU may use."""

from __future__ import annotations

from functools import lru_cache

import tvm
from tvm.target import codegen

from paddle_tvm.runtime.cpu import cpu_features
from paddle_tvm.targets.cpu_names import AMX_FEATURES, CPUS, check_cpu_names

# What a machine is called that can run several: those alone whose code is faster than that for the next one.
# Names of both vendors would tie an artifact to one, and LLVM gives the same speed for either.
_DETECTED = ("sapphirerapids", "icelake-server", "cascadelake", "skylake-avx512", "haswell", "x86-64")

# LLVM's name of a feature, and that in /proc/cpuinfo where it is another. Features that code gets only by
# asking for them (AES, XSAVE and the like) are left out, because virtual machines often hide them.
_FEATURES = {
    "amx-bf16": "amx_bf16",
    "amx-tile": "amx_tile",
    "sse3": "pni",
    "ssse3": "ssse3",
    "sse4.1": "sse4_1",
    "sse4.2": "sse4_2",
    "sse4a": "sse4a",
    "popcnt": "popcnt",
    "lzcnt": "abm",
    "movbe": "movbe",
    "bmi": "bmi1",
    "bmi2": "bmi2",
    "f16c": "f16c",
    "fma": "fma",
    "gfni": "gfni",
    "avx": "avx",
    "avx2": "avx2",
    "avxvnni": "avx_vnni",
    "avx512f": "avx512f",
    "avx512bw": "avx512bw",
    "avx512cd": "avx512cd",
    "avx512dq": "avx512dq",
    "avx512vl": "avx512vl",
    "avx512bf16": "avx512_bf16",
    "avx512bitalg": "avx512_bitalg",
    "avx512fp16": "avx512_fp16",
    "avx512ifma": "avx512ifma",
    "avx512vbmi": "avx512vbmi",
    "avx512vbmi2": "avx512_vbmi2",
    "avx512vnni": "avx512_vnni",
    "avx512vpopcntdq": "avx512_vpopcntdq",
}


@lru_cache
def features_of(mcpu: str) -> tuple[str, ...]:
    """The features that code for a CPU may use, as /proc/cpuinfo names them, sorted.

    They are those of LLVM's X86TargetParser.

    Raises
    ------
    UsageError
        The name is not known.
    """
    check_cpu_names([mcpu])
    return _llvm_features(mcpu)


def _llvm_features(mcpu: str) -> tuple[str, ...]:
    return tuple(sorted(_FEATURES[name] for name in _named_by_llvm(mcpu) if name in _FEATURES))


def _named_by_llvm(mcpu: str) -> list[str]:
    target = tvm.target.Target({"kind": "llvm", "mcpu": mcpu, "mtriple": "x86_64-linux-gnu"})
    return [str(name) for name in codegen.llvm_get_cpu_features(target)]


def runs_here(mcpu: str) -> bool:
    """Whether this machine has the features that code for a CPU may use."""
    return cpu_features().issuperset(features_of(mcpu))


def detect() -> str:
    """The CPU to compile for on this machine unless another is named.

    Its name stands for the instructions, whoever made the CPU; ``microarchitecture_here`` says which it is.
    """
    return next(name for name in _DETECTED if runs_here(name))


@lru_cache
def microarchitecture_here() -> str:
    """LLVM's name of this machine's CPU, or that of one like it.

    LLVM goes by the model number, which it may not know, and virtual machines show others than the CPU's. One
    that can do more than the CPU that LLVM names is taken for the first of ``CPUS`` whose code it runs.
    """
    named = str(codegen.llvm_get_system_cpu())
    # One that hides AMX is of its kind all the same.
    here = cpu_features() | AMX_FEATURES
    if cpu_features().intersection(_FEATURES.values()) - AMX_FEATURES <= set(_llvm_features(named)):
        return named
    return next(name for name in CPUS if here.issuperset(features_of(name)))
