"""Lets the parallel loops of kernels that are tried run as those of an artifact do."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

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
        self._take_places, self._pass_rows = library.paddle_tvm_take_places, library.paddle_tvm_pass_rows
        self._take_places.argtypes, self._take_places.restype = (ctypes.c_void_p,), None
        sizes = (ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
        self._pass_rows.argtypes = (ctypes.c_void_p, *sizes, ctypes.c_int32)
        self._pass_rows.restype = None
        self._placed = 0
        launch = ctypes.cast(library.paddle_tvm_parallel_launch, ctypes.c_void_p)
        if _register(b"__TVMBackendParallelLaunch", launch):
            raise ffi.raised()

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """Let parallel loops that this thread runs meanwhile have up to so many threads, it among them.

        Each has a CPU of its own: the system may leave a thread that has just begun to run where another one
        runs for longer than a trial takes.
        """
        allowed = os.sched_getaffinity(0)
        cpus = sorted(allowed)
        try:
            self._enter(count)
            if self._placed < min(count, len(cpus)):
                self._take_places((ctypes.c_int32 * len(cpus))(*cpus))
                self._placed = count
            os.sched_setaffinity(0, cpus[:1])
            yield
        finally:
            os.sched_setaffinity(0, allowed)
            self._leave()

    def produce(self, array: npt.NDArray[Any]) -> None:
        """Write an array as it is, as most kernels write: each thread a share of the rows."""
        self._pass_rows(array.ctypes.data, *_rows(array), 1)

    def consume(self, array: npt.NDArray[Any]) -> None:
        """Read an array as most kernels read: each thread a share of the rows."""
        self._pass_rows(array.ctypes.data, *_rows(array), 0)


def _rows(array: npt.NDArray[Any]) -> tuple[int, int, int]:
    """The rows of a feature map or a matrix: how many blocks of how many there are, and their bytes."""
    axis = 2 if array.ndim > 3 else max(0, array.ndim - 2)
    shape = array.shape or (1,)
    return prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :]) * array.itemsize
