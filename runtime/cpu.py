"""What CPUs this machine has."""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from pathlib import Path

_CPUS = Path("/sys/devices/system/cpu")

AMX_NEEDS = "AMX takes Linux 5.16 or newer, and the system call arch_prctl, which a sandbox may forbid"
AMX_REFUSED = f"this CPU has AMX, but the system does not let this process use it: {AMX_NEEDS}"

_HASWELL = frozenset("abm avx avx2 bmi1 bmi2 f16c fma movbe pni popcnt sse4_1 sse4_2 ssse3".split())
_SKYLAKE = _HASWELL | set("avx512bw avx512cd avx512dq avx512f avx512vl".split())
_ICELAKE = _SKYLAKE | set(
    "avx512_bitalg avx512_vbmi2 avx512_vnni avx512_vpopcntdq avx512ifma avx512vbmi gfni".split()
)
NEEDED = {"icelake-server": _ICELAKE, "skylake-avx512": _SKYLAKE, "haswell": _HASWELL, "x86-64": frozenset()}
"""The features that code needs for some names that ``--mcpu`` takes, the best first; none needs AMX."""

# Of Linux: the number of `arch_prctl`, what asks for permission, and for which registers.
_ARCH_PRCTL, _REQ_XCOMP_PERM, _TILE_DATA = 158, 0x1023, 18


@lru_cache(maxsize=1)
def cpu_features() -> frozenset[str]:
    """Feature names as in ``/proc/cpuinfo``: those of the CPU that the operating system lets us use.

    For AMX it has to be asked, once in a process; where it refuses, those names are left out.
    """
    flags = _flags()
    if "amx_tile" in flags and not permit_amx():
        return frozenset(flag for flag in flags if not flag.startswith("amx"))
    return flags


def is_amx_refused() -> bool:
    """Whether the CPU has AMX, and the operating system does not let us use it."""
    return "amx_tile" in _flags() - cpu_features()


def fitting_mcpu() -> str:
    """A name for ``--mcpu`` whose code this machine runs, with AMX or without: of a few the best."""
    return next(name for name, needed in NEEDED.items() if needed <= cpu_features())


def permit_amx() -> bool:
    """Ask the system that all threads of this process, and processes forked from it, may use AMX."""
    refused: int = ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQ_XCOMP_PERM, _TILE_DATA)
    return refused == 0


def _flags() -> frozenset[str]:
    # Line by line: the kernel composes the file while it is read, which takes long where there are many CPUs.
    with Path("/proc/cpuinfo").open() as lines:
        for line in lines:
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    return frozenset()


def default_threads() -> int:
    """How many threads compute a model where nobody says: one for each physical core.

    Of the CPUs that the process may use, hyperthreads of a core count once, for they share its multipliers.
    Where the system tells nothing of cores, each CPU counts.
    """
    return len({_siblings(cpu) for cpu in os.sched_getaffinity(0)})


def _siblings(cpu: int) -> str:
    try:
        return (_CPUS / f"cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)
