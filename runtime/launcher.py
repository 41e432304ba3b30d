"""Lets the parallel loops of models run on one pool of threads for the whole process.

The pool is ``parallel_launch.c``, which every library that the compiler links brings with it; the first
that a process loads serves all of them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

_LAUNCH = "paddle_tvm_parallel_launch"
# Where the loops of a library look for the function to call; TVM sets it when it loads the library.
_CALLED = "__TVMBackendParallelLaunch"


class _Pool:
    def __init__(self, library: ctypes.PyDLL) -> None:
        self.launch = ctypes.cast(getattr(library, _LAUNCH), ctypes.c_void_p).value
        self.enter = library.paddle_tvm_enter
        self.enter.argtypes, self.enter.restype = (ctypes.c_int32,), None
        self.leave = library.paddle_tvm_leave
        self.leave.argtypes, self.leave.restype = (), None


_pool: _Pool | None = None


def attach(path: str) -> bool:
    """Let the loops of a library that TVM has loaded run on the pool.

    Returns
    -------
    bool
        False where the library is older than the pool (format 1), so that TVM's own pools serve it.
    """
    global _pool
    # With the GIL kept, because these calls take less time than giving it up.
    library = ctypes.PyDLL(path)
    if not hasattr(library, _LAUNCH):
        return False
    if _pool is None:
        _pool = _Pool(library)
    try:
        ctypes.c_void_p.in_dll(library, _CALLED).value = _pool.launch
    except ValueError:
        # No loop of it is parallel.
        return True
    return True


def call_on_pool(threads: int, call: Callable[[], Any]) -> Any:
    """Call native code here, with its parallel loops on up to ``threads`` threads, this one among them."""
    pool = _pool
    assert pool is not None
    try:
        pool.enter(threads)
        return call()
    finally:
        pool.leave()
