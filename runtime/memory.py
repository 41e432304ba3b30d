"""Keeps the memory that the VM holds for later runs within a limit.

The VM keeps freed buffers by their exact size: that spares the page faults of fresh memory (4 MB of
activations: 1.0 ms instead of 4.7 ms a run), and grows with every new input shape. So after a run with new
shapes the process is measured, and when it has grown by more than the limit the cached buffers are freed.
"""

from __future__ import annotations

import ctypes
import os
import threading

from paddle_tvm.runtime.ffi import get_function

_lock = threading.Lock()
_baseline = 0


def resident_bytes() -> int:
    """Physical memory of this process, in bytes."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def free_cached() -> int:
    """Free the buffers that the VM holds for later runs, of all predictors.

    Returns
    -------
    int
        How many bytes of physical memory the process gave back.
    """
    global _baseline
    with _lock:
        before = resident_bytes()
        get_function("vm.builtin.memory_manager.clear")()
        # Without this glibc keeps what was freed.
        ctypes.CDLL(None).malloc_trim(0)
        _baseline = resident_bytes()
        return max(before - _baseline, 0)


def start_watching() -> None:
    """Count growth from here on, if nothing has been counted yet."""
    global _baseline
    with _lock:
        _baseline = _baseline or resident_bytes()


def free_above(limit: int) -> None:
    """Free the cached buffers if the process has grown by more than ``limit`` bytes since last time."""
    if resident_bytes() - _baseline > limit:
        free_cached()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
