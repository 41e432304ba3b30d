"""CPU features of this machine."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def cpu_features() -> frozenset[str]:
    """Feature names as in ``/proc/cpuinfo``: those of the CPU that the operating system lets us use."""
    # Line by line: the kernel composes the file while it is read, which takes long where there are many CPUs.
    with Path("/proc/cpuinfo").open() as lines:
        for line in lines:
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    return frozenset()
