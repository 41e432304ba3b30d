"""CPU features of this machine."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def cpu_features() -> frozenset[str]:
    """Feature names as in ``/proc/cpuinfo``: those of the CPU that the operating system lets us use."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()
