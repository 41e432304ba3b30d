"""A form of a kernel in the memory of a GPU: checked and timed there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt

from paddle_tvm.compiler.profiling.gpu_clock import GpuClock, fill
from paddle_tvm.compiler.tuning.candidate import calls_of_round
from paddle_tvm.compiler.tuning.gpu_program import Program, Tensor, tensor_bytes
from paddle_tvm.compiler.tuning.kernel import copy_count
from paddle_tvm.runtime import ffi
from paddle_tvm.runtime.cuda import TO_DEVICE, DeviceMemory, DeviceTensor, Stream

# Rounds after which the clock knows how long the CPU takes to start as many calls.
_LEARNING_ROUNDS = 2
# In memory that is not written: NaN, or -1.
_UNWRITTEN = 0xFF


class GpuCandidate:
    """A form of a kernel, loaded, with operands in the GPU's memory.

    Its weights are in as many copies as pass through the GPU's cache between two calls in a model, and calls
    have them in turns. Its other inputs were just written by what is before it in a model, and stay.

    Parameters
    ----------
    stream
        What it runs on.
    clock
        Of the stream.
    library
        The file with its code.
    program
        How that is called.
    inputs
        The operands.
    weights
        Which of them are weights.
    model_bytes
        What all weights of the model take.
    """

    def __init__(
        self,
        stream: Stream,
        clock: GpuClock,
        library: str,
        program: Program,
        inputs: Sequence[npt.NDArray[Any]],
        weights: Sequence[int],
        model_bytes: int,
    ) -> None:
        self._stream = stream
        self._clock = clock
        module = ffi.get_function("ffi.ModuleLoadFromFile")(library)
        # For each tensor those that calls have in turns.
        turns = [
            [
                self._upload(tensor, array)
                for _ in range(copy_count(model_bytes, array.nbytes) if number in weights else 1)
            ]
            for number, (tensor, array) in enumerate(zip(program.tensors, inputs, strict=False))
        ]
        self._made = [_Place(stream, tensor) for tensor in program.tensors[program.inputs :]]
        turns += [[place.tensor] for place in self._made]
        self._result = turns[program.output][0]
        functions = {name: module[name] for name, _ in program.steps}
        self._turns = cycle(
            [
                [
                    ffi.Call(
                        functions[name],
                        tuple(
                            turns[argument][turn % len(turns[argument])]
                            if isinstance(argument, int)
                            else argument[0]
                            for argument in arguments
                        ),
                    )
                    for name, arguments in program.steps
                ]
                for turn in range(max(map(len, turns)))
            ]
        )
        self._calls = 0

    def output(self, threads: int) -> npt.NDArray[Any]:
        """Call it once; what it computes. The CPU's threads have no part in it."""
        self._stream.device.use()
        for place in self._made:
            place.forget()
        self._stream.call(self._put, alone=True)
        return self._stream.download(self._result)

    def round(self, threads: int) -> float:
        """Seconds of a call, on average over as many calls as every round has."""
        if not self._calls:
            for _ in range(_LEARNING_ROUNDS):
                seconds = self._time(1)
            self._calls = calls_of_round(seconds)
            for _ in range(_LEARNING_ROUNDS):
                self._time(self._calls)
        return self._time(self._calls)

    def _time(self, calls: int) -> float:
        def put_all() -> None:
            for _ in range(calls):
                self._put()

        # One before them finds the caches as something else left them.
        seconds: float = self._stream.call(lambda: self._clock.time(put_all, before=self._put), alone=True)
        return max(1e-9, seconds / calls)

    def _put(self) -> None:
        for call in next(self._turns):
            call()

    def _upload(self, tensor: Tensor, array: npt.NDArray[Any]) -> DeviceTensor:
        place = _Place(self._stream, tensor)
        array = np.ascontiguousarray(array)
        self._stream.device.copy(
            place.tensor.data, array.ctypes.data, array.nbytes, TO_DEVICE, self._stream.handle
        )
        # The array may go once it was copied.
        self._stream.synchronize()
        return place.tensor


class _Place:
    """Memory for a tensor."""

    def __init__(self, stream: Stream, tensor: Tensor) -> None:
        shape, dtype = tensor
        self._stream = stream
        self._size = tensor_bytes(tensor)
        memory = DeviceMemory(stream.device, self._size)
        self.tensor = DeviceTensor(stream.device, memory, 0, dtype, shape)

    def forget(self) -> None:
        """Leave nothing in it that a run before has written."""
        if self._size:
            fill(self._stream, self.tensor.data, _UNWRITTEN, self._size)
