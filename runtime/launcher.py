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
# Where other code of a library looks for the pool; libraries of format 4 and later have it.
_POOL = "paddle_tvm_pool"


class _Pool:
    def __init__(self, library: ctypes.PyDLL) -> None:
        self.launch = ctypes.cast(getattr(library, _LAUNCH), ctypes.c_void_p).value
        self.pool = ctypes.c_void_p.in_dll(library, _POOL).value if hasattr(library, _POOL) else None
        self.enter = library.paddle_tvm_enter
        self.enter.argtypes, self.enter.restype = (ctypes.c_int32,), None
        self.leave = library.paddle_tvm_leave
        self.leave.argtypes, self.leave.restype = (), None

    def call(self, threads: int, call: Callable[[], Any]) -> Any:
        """Call native code here, with its parallel loops on up to so many threads, this one among them."""
        try:
            self.enter(threads)
            return call()
        finally:
            self.leave()


# By whether it can serve code of format 4.
_pools: dict[bool, _Pool] = {}


def attach(path: str) -> Callable[[int, Callable[[], Any]], Any] | None:
    """Let the loops of a library that TVM has loaded run on the pool.

    Returns
    -------
    callable or None
        Calls a function of the library with a number of threads. None where the library is older than the
        pool (format 1), so that TVM's own pools serve it.
    """
    # With the GIL kept, because these calls take less time than giving it up.
    library = ctypes.PyDLL(path)
    if not hasattr(library, _LAUNCH):
        return None
    recent = hasattr(library, _POOL)
    if recent not in _pools:
        _pools[recent] = _Pool(library)
    pool = _pools[recent]
    if pool.pool is not None:
        ctypes.c_void_p.in_dll(library, _POOL).value = pool.pool
    # Without it, no loop of it is parallel.
    if hasattr(library, _CALLED):
        ctypes.c_void_p.in_dll(library, _CALLED).value = pool.launch
    return pool.call
