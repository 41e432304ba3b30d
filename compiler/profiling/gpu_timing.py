"""Runs an artifact for GPUs many times and takes the median of each of its kernels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm_ffi

from paddle_tvm.compiler.profiling.gpu_clock import GpuClock, Mark
from paddle_tvm.compiler.profiling.instrument import Hook
from paddle_tvm.compiler.profiling.timing import BUILTIN, MOST_SECONDS, WARM_UP, CallTime, Timing
from paddle_tvm.runtime.config import Config
from paddle_tvm.runtime.cuda import Stream
from paddle_tvm.runtime.ffi import Call, Module
from paddle_tvm.runtime.loader import LoadedModel
from paddle_tvm.runtime.shapes import select_function

_RUN_OR_RECORD = "vm.builtin.cuda_graph.run_or_capture"

# What starts a kernel takes one thread of the CPU.
_THREADS = 1
# How often the time is taken of nothing between two marks.
_EMPTY_ROUNDS = 9


def time_gpu_kernels(model: LoadedModel, arrays: Mapping[str, npt.NDArray[Any]], rounds: int) -> Timing:
    """Time every kernel of the form that the inputs select; plain and instrumented runs take turns.

    A plain run is as a predictor makes it, with kernels that are recorded as a graph where the form has such,
    and inputs that are on the GPU already. A graph has no kernels that could be timed one by one: in
    instrumented runs they are started as they were before they were recorded.

    Parameters
    ----------
    model
        A loaded artifact for GPUs.
    arrays
        The inputs by name.
    rounds
        Runs to take the median of; fewer where they would take longer than 8 seconds.
    """
    assert model.device is not None
    stream = Stream(model.device)
    inputs = []
    for spec in model.manifest.inputs:
        array = arrays[spec.name]
        tensor, memory = stream.new_input(array.shape, array.dtype)
        np.copyto(memory, array)
        stream.upload(tensor, memory)
        inputs.append(tensor)
    stream.finish_uploads()
    form = select_function(model.manifest, [tensor.shape for tensor in inputs])
    arguments = (*inputs, *model.weights_of(form))
    clock = GpuClock(stream)
    with _engines(model, stream):
        plain_vm = model.new_vm(_THREADS)
        with _nothing_recorded():
            timed_vm = model.new_vm(_THREADS)
        instrument = _Instrument(timed_vm, clock)
        plain, timed = Call(plain_vm[form.name], arguments), Call(timed_vm[form.name], arguments)
        for _ in range(WARM_UP):
            # The first one records.
            stream.call(plain, alone=True)
            stream.call(lambda: clock.prepare(timed), alone=True)
        instrument.take()
        whole: list[float] = []
        spent: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
        end = perf_counter() + MOST_SECONDS
        while len(whole) < rounds and (perf_counter() < end or not whole):
            begin = perf_counter()
            stream.call(plain, alone=True)
            whole.append(perf_counter() - begin)
            stream.call(lambda: clock.prepare(timed), alone=True)
            seen: Counter[str] = Counter()
            for name, seconds in instrument.take():
                spent[name, seen[name]].append(seconds * 1e6)
                seen[name] += 1
        nothing = median(clock.time(lambda: None) for _ in range(_EMPTY_ROUNDS)) * 1e6
    calls = tuple(
        CallTime(name, occurrence, max(median(times) - nothing, 0.0))
        for (name, occurrence), times in spent.items()
    )
    return Timing(form.name, len(whole), _THREADS, median(whole) * 1e3, nothing, calls)


class _Instrument:
    """Marks the beginning and the end of each call on the stream; it has to live as long as the machine."""

    def __init__(self, vm: Module, clock: GpuClock) -> None:
        self._clock = clock
        self._free: list[Mark] = []
        self._done: list[_Marked] = []
        self._open: list[_Marked | None] = []
        self._hook = Hook(vm, self._note)

    def take(self) -> list[tuple[str, float]]:
        """Names and seconds of the calls since last time, in the order in which they ended.

        The stream has to be behind them. A call's time is without that of calls that it made itself.
        """
        taken = [
            (call.name, max(0.0, self._seconds(call) - sum(map(self._seconds, call.inner))))
            for call in self._done
        ]
        for call in self._done:
            self._free += [call.first, call.last]
        self._done.clear()
        self._open.clear()
        return taken

    def _seconds(self, call: _Marked) -> float:
        return self._clock.seconds(call.first, call.last)

    def _note(self, name: str | None) -> None:
        if name is not None:
            # Of builtins that call kernels those are marked.
            call = None if name.startswith(BUILTIN) else _Marked(name, self._mark(), self._mark())
            self._open.append(call)
            if call is not None:
                self._clock.mark(call.first)
            return
        ended = self._open.pop()
        if ended is None:
            return
        self._clock.mark(ended.last)
        self._done.append(ended)
        outer = next((call for call in reversed(self._open) if call is not None), None)
        if outer is not None:
            outer.inner.append(ended)

    def _mark(self) -> Mark:
        return self._free.pop() if self._free else Mark(self._clock)


class _Marked:
    """A call, where it begins and ends on the stream, and the calls that it made itself."""

    def __init__(self, name: str, first: Mark, last: Mark) -> None:
        self.name, self.first, self.last = name, first, last
        self.inner: list[_Marked] = []


@contextmanager
def _nothing_recorded() -> Iterator[None]:
    """Let virtual machines that are made meanwhile start kernels one by one, where others have graphs."""
    record = tvm_ffi.get_global_func(_RUN_OR_RECORD)
    invoke = tvm_ffi.get_global_func("vm.builtin.invoke_closure")

    def run(vm: Any, function: Any, arguments: Any, *_: Any) -> Any:
        return invoke(vm, function, *arguments)

    tvm_ffi.register_global_func(_RUN_OR_RECORD, run, override=True)
    try:
        yield
    finally:
        tvm_ffi.register_global_func(_RUN_OR_RECORD, record, override=True)


def _engines(model: LoadedModel, stream: Stream) -> AbstractContextManager[None]:
    """The engines of TensorRT that a model has parts for."""
    if model.variant.target.kind != "tensorrt" or not model.variant.loads:
        return nullcontext()
    from paddle_tvm.runtime.tensorrt_engines import Session

    return Session(model.path, model.manifest, Config(model.path).engine_options(), stream).active()
