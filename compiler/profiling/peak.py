"""What this machine can do at most: multiply-adds, and reading from the L2 cache and from memory.

Each is measured with a small kernel, compiled by the pipeline that compiles models and run on as many
threads as they run on. Nothing is looked up: the same CPU gives other numbers in a smaller machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from time import perf_counter
from typing import Any

import numpy as np
import tvm
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from paddle_tvm.runtime.threads import call_on_own_pool
from paddle_tvm.targets.x86 import x86_target

# Of many short runs the fastest: whatever disturbs a run makes it slower, nothing makes it faster.
_RUNS = 16
_FMA_STEPS = 1 << 19
# Independent sums: enough to hide the latency of an addition or multiply-add, few enough for 16 registers.
_CHAINS = 12
_L2_BYTES = 256 << 10
_MEMORY_BYTES = 192 << 20
_READ_BYTES = 128 << 20


@dataclass(frozen=True)
class Peak:
    """GFLOP/s of multiply-adds (each two) and GB/s of reading, for all threads together."""

    threads: int
    mcpu: str
    gflops: float
    l2_gbps: float
    memory_gbps: float

    @property
    def precision(self) -> str:
        """What the multiply-adds are of."""
        return "float32"


_best: dict[int, Peak] = {}


def measure_peak(threads: int) -> Peak:
    """Measure this machine with so many threads.

    A process keeps the best that it has seen, because other work on the machine lowers what a moment shows.

    Parameters
    ----------
    threads
        CPU threads, as models run on them.
    """
    target = x86_target()
    run = partial(call_on_own_pool, threads)
    library = compile_peak(threads)
    width = _CHAINS * target.lanes
    vector = tvm.runtime.tensor(np.full(target.lanes, 0.5, "float32"))
    sums = tvm.runtime.tensor(np.zeros((threads, width), "float32"))
    flops = 2 * threads * _FMA_STEPS * width
    fma = flops / _fastest(run, partial(_call, library["fma"], vector, vector, sums)) / 1e9
    speeds = {}
    for name, size in (("read_l2", _L2_BYTES), ("read_memory", _MEMORY_BYTES // threads)):
        data = tvm.runtime.tensor(np.zeros((threads, _rows(size, width), width), "float32"))
        done = threads * _repeats(size) * _rows(size, width) * width * 4
        speeds[name] = done / _fastest(run, partial(_call, library[name], data, sums)) / 1e9
    peak = Peak(threads, target.mcpu, fma, speeds["read_l2"], speeds["read_memory"])
    known = _best.setdefault(threads, peak)
    _best[threads] = Peak(
        threads,
        target.mcpu,
        max(known.gflops, peak.gflops),
        max(known.l2_gbps, peak.l2_gbps),
        max(known.memory_gbps, peak.memory_gbps),
    )
    return _best[threads]


@cache
def compile_peak(threads: int) -> Any:
    """The kernels that ``measure_peak`` runs; calling it before keeps that time out of the measurement."""
    target = x86_target()
    functions = {
        "fma": _fma_kernel(threads, target.lanes),
        "read_l2": _read_kernel(threads, target.lanes, _L2_BYTES),
        "read_memory": _read_kernel(threads, target.lanes, _MEMORY_BYTES // threads),
    }
    return tvm.compile(tvm.IRModule(functions), target=target.tvm_target, tir_pipeline=target.tir_pipeline)


def available_threads() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def _call(function: Any, *arguments: Any) -> None:
    function(*arguments)


def _fastest(run: Callable[[Callable[[], Any]], Any], call: Callable[[], Any]) -> float:
    times = []
    for _ in range(_RUNS):
        begin = perf_counter()
        run(call)
        times.append(perf_counter() - begin)
    return min(times)


def _rows(size: int, width: int) -> int:
    return max(size // (4 * width), 1)


def _repeats(size: int) -> int:
    return max(_READ_BYTES // size, 1)


def _fma_kernel(threads: int, lanes: int) -> tirx.PrimFunc:
    """``sum = sum * a + b`` for a few vectors that stay in registers."""

    def step(sums: Any, place: Any, a: Any, b: Any, lane: Any) -> Any:
        return sums[place] * a[lane] + b[lane]

    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("fma")
        T.func_attr({"global_symbol": "fma", "tirx.noalias": True})
        a = T.arg("a", T.buffer((lanes,), "float32"))
        b = T.arg("b", T.buffer((lanes,), "float32"))
        out = T.arg("out", T.buffer((threads, _CHAINS * lanes), "float32"))
        with T.parallel(0, threads) as thread:
            sums = T.alloc_buffer((_CHAINS * lanes,), "float32", scope="local")
            _for_each_vector(lanes, lambda place, lane: T.buffer_store(sums, a[lane], [place]))
            with T.serial(0, _FMA_STEPS):
                _for_each_vector(
                    lanes,
                    lambda place, lane: T.buffer_store(sums, step(sums, place, a, b, lane), [place]),
                )
            _for_each_vector(lanes, lambda place, lane: T.buffer_store(out, sums[place], [thread, place]))
    return builder.get()


def _read_kernel(threads: int, lanes: int, size: int) -> tirx.PrimFunc:
    """The sum of all vectors of an array, for each thread one of its own, read several times over."""
    width = _CHAINS * lanes
    name = "read_l2" if size == _L2_BYTES else "read_memory"
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name(name)
        T.func_attr({"global_symbol": name, "tirx.noalias": True})
        data = T.arg("data", T.buffer((threads, _rows(size, width), width), "float32"))
        out = T.arg("out", T.buffer((threads, width), "float32"))
        with T.parallel(0, threads) as thread:
            sums = T.alloc_buffer((width,), "float32", scope="local")
            _for_each_vector(lanes, lambda place, lane: T.buffer_store(sums, T.float32(0), [place]))
            with T.serial(0, _repeats(size)), T.serial(0, _rows(size, width)) as row:
                _for_each_vector(
                    lanes,
                    lambda place, lane: T.buffer_store(sums, sums[place] + data[thread, row, place], [place]),
                )
            _for_each_vector(lanes, lambda place, lane: T.buffer_store(out, sums[place], [thread, place]))
    return builder.get()


def _for_each_vector(lanes: int, emit: Callable[[Any, Any], None]) -> None:
    with T.unroll(0, _CHAINS) as chain, T.vectorized(0, lanes) as lane:
        emit(chain * lanes + lane, lane)
