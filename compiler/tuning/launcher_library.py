"""Lets the parallel loops of kernels that are tried run as those of an artifact do."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

from paddle_tvm.compiler.linking import LAUNCHER_OPTIONS
from paddle_tvm.compiler.tuning.memory_linking import link_in_memory
from paddle_tvm.runtime import ffi

_register = ffi.bind("TVMFFIEnvModRegisterContextSymbol", ctypes.c_char_p, ctypes.c_void_p)


def compile_launcher() -> int:
    """Compile the launcher that every artifact brings with it; see ``link_in_memory``."""
    return link_in_memory(LAUNCHER_OPTIONS)


class LoopLauncher:
    """The launcher, as this process has loaded it, for all modules that it loads from now on."""

    def __init__(self, file: int) -> None:
        # With the GIL kept, because these calls take less time than giving it up.
        library = ctypes.PyDLL(f"/proc/self/fd/{file}")
        self._enter, self._leave = library.paddle_tvm_enter, library.paddle_tvm_leave
        self._enter.argtypes, self._enter.restype = (ctypes.c_int32,), None
        self._leave.argtypes, self._leave.restype = (), None
        launch = ctypes.cast(library.paddle_tvm_parallel_launch, ctypes.c_void_p)
        if _register(b"__TVMBackendParallelLaunch", launch):
            raise ffi.raised()

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """Let parallel loops that this thread runs meanwhile have up to so many threads, it among them."""
        try:
            self._enter(count)
            yield
        finally:
            self._leave()
