"""Lets the parallel loops of kernels that are tried run as those of an artifact do."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from paddle_tvm.compiler.linking import LAUNCHER_OPTIONS
from paddle_tvm.compiler.tuning.memory_linking import link_in_memory
from paddle_tvm.runtime import ffi

_CONDITIONS = Path(__file__).parents[1] / "native" / "trial_conditions.c"

_register = ffi.bind("TVMFFIEnvModRegisterContextSymbol", ctypes.c_char_p, ctypes.c_void_p)


def compile_launcher() -> int:
    """Compile the launcher that every artifact brings with it, for trials; see ``link_in_memory``."""
    return link_in_memory([*LAUNCHER_OPTIONS, "-x", "c", str(_CONDITIONS)])


class LoopLauncher:
    """The launcher, as this process has loaded it, for all modules that it loads from now on."""

    def __init__(self, file: int) -> None:
        # With the GIL kept, because these calls take less time than giving it up.
        library = ctypes.PyDLL(f"/proc/self/fd/{file}")
        self._enter, self._leave = library.paddle_tvm_enter, library.paddle_tvm_leave
        self._enter.argtypes, self._enter.restype = (ctypes.c_int32,), None
        self._leave.argtypes, self._leave.restype = (), None
        self._pass_rows = library.paddle_tvm_pass_rows
        sizes = (ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
        self._pass_rows.argtypes = (ctypes.c_void_p, *sizes, ctypes.c_int32)
        self._pass_rows.restype = None
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

    def rows(self, array: npt.NDArray[Any]) -> Rows:
        """The rows of a feature map or a matrix, for threads to share as most kernels do."""
        axis = 2 if array.ndim > 3 else max(0, array.ndim - 2)
        shape = array.shape or (1,)
        sizes = (prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :]) * array.itemsize)
        return Rows(self._pass_rows, array.ctypes.data, sizes)


class Rows(NamedTuple):
    """An array that threads pass over, each over a share of its rows."""

    pass_over: Any
    data: int
    sizes: tuple[int, int, int]

    def write(self) -> None:
        """Write it as it is."""
        self.pass_over(self.data, *self.sizes, 1)

    def read(self) -> None:
        """Read it."""
        self.pass_over(self.data, *self.sizes, 0)
