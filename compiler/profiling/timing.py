"""Runs an artifact many times and takes the median of each of its kernels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from paddle_tvm.compiler.profiling.instrument import Instrument
from paddle_tvm.runtime import native_tensor
from paddle_tvm.runtime.ffi import Call
from paddle_tvm.runtime.loader import LoadedModel
from paddle_tvm.runtime.shapes import select_function

BUILTIN = "vm.builtin."
# A builtin that does nothing: what the instrument measures of it is the instrument itself. Forms of known
# sizes have none of it; for them it is what the quickest builtin takes.
_EMPTY = "vm.builtin.null_value"

WARM_UP = 3
MOST_SECONDS = 8.0
"""Rounds stop here, however many were asked for."""


@dataclass(frozen=True)
class CallTime:
    """The ``occurrence``-th call of a function in a run, and the median of its time in microseconds."""

    name: str
    occurrence: int
    microseconds: float


@dataclass(frozen=True)
class Timing:
    """What was measured.

    ``run_ms`` is a whole run without the instrument, ``overhead_us`` what the instrument adds to a call,
    which is taken off the calls already.
    """

    form: str
    rounds: int
    threads: int
    run_ms: float
    overhead_us: float
    calls: tuple[CallTime, ...]


def time_kernels(
    model: LoadedModel, arrays: Mapping[str, npt.NDArray[Any]], threads: int, rounds: int
) -> Timing:
    """Time every call of the form that the inputs select; plain and instrumented runs take turns.

    Parameters
    ----------
    model
        A loaded artifact.
    arrays
        The inputs by name.
    threads
        CPU threads.
    rounds
        Runs to take the median of; fewer where they would take longer than 8 seconds.
    """
    inputs = [native_tensor.over(_aligned(arrays[spec.name])) for spec in model.manifest.inputs]
    form = select_function(model.manifest, [tensor.shape for tensor in inputs])
    run = partial(model.call, threads)
    arguments = (*inputs, *model.weights_of(form))
    plain_vm, timed_vm = model.new_vm(threads), model.new_vm(threads)
    instrument = Instrument(timed_vm)
    plain, timed = Call(plain_vm[form.name], arguments), Call(timed_vm[form.name], arguments)
    for _ in range(WARM_UP):
        run(plain)
        run(timed)
    instrument.take()
    whole: list[float] = []
    spent: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    end = perf_counter() + MOST_SECONDS
    while len(whole) < rounds and (perf_counter() < end or not whole):
        begin = perf_counter()
        run(plain)
        whole.append(perf_counter() - begin)
        run(timed)
        seen: Counter[str] = Counter()
        for call in instrument.take():
            spent[call.name, seen[call.name]].append(call.nanoseconds)
            seen[call.name] += 1
    overhead = _overhead(spent)
    calls = tuple(
        CallTime(name, occurrence, max(median(times) / 1e3 - overhead, 0.0))
        for (name, occurrence), times in spent.items()
        if name != _EMPTY
    )
    return Timing(form.name, len(whole), threads, median(whole) * 1e3, overhead, calls)


def _overhead(spent: Mapping[tuple[str, int], Sequence[int]]) -> float:
    empty = [time for (name, _), times in spent.items() if name == _EMPTY for time in times]
    if not empty:
        empty = [min(times) for (name, _), times in spent.items() if name.startswith(BUILTIN)] or [0]
        return min(empty) / 1e3
    return median(empty) / 1e3


def _aligned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    copy = native_tensor.aligned_empty(array.shape, array.dtype)
    np.copyto(copy, array)
    return copy
