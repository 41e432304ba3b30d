"""A form of a kernel, built in this process: checked and timed."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Mapping
from functools import partial
from itertools import cycle
from math import ceil, isfinite
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tvm

from paddle_tvm.compiler.tuning.aligned import aligned_empty, as_tensor
from paddle_tvm.compiler.tuning.child import Failed
from paddle_tvm.compiler.tuning.launcher_library import LoopLauncher
from paddle_tvm.runtime.wording import agreeing
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.workload import Config, Workload

# How long the calls of a round take together, and how many there are at most.
_ROUND_S, _MOST_CALLS = 4e-3, 500
# Smaller operands are not worth a pass of their own.
_SMALL_BYTES = 16 << 10
# So often the time is taken that it takes to read an output.
_READINGS = 5
# Nothing takes less.
_LEAST_S = 1e-7
# Rounds that agree with each other, within this part of the fastest, and the most that are tried for it.
_ROUNDS = 3
_AGREE = 0.1
_MOST_ROUNDS = 9
# Slower than the fastest form so far by this, a form needs no exact time.
_HOPELESS = 1.5
# Largest error, relative to the largest value of the default form's output; with fewer bits, two steps of the
# largest value: forms add up in another order, so that one may round to the next number, and so may what is
# computed of it.
_TOLERANCE, _STEPS = 1e-4, 2


class Kernel(Protocol):
    """What is measured: `kernel.TunableKernel`, or what stands for it in tests."""

    @property
    def name(self) -> str: ...

    @property
    def workload(self) -> Workload: ...

    @property
    def sizes(self) -> Mapping[str, int]: ...

    def primfunc(self, config: Config, target: Target) -> Any: ...

    def inputs(self, config: Config, seed: int) -> list[npt.NDArray[Any]]: ...

    def copies(self, config: Config, seed: int) -> Mapping[int, list[npt.NDArray[Any]]]: ...

    def output(self) -> tuple[tuple[int, ...], str]: ...


class Timed(Protocol):
    """A form of a kernel that can be called."""

    def output(self, threads: int) -> npt.NDArray[Any]:
        """Call it once; what it computes."""

    def round(self, threads: int) -> float:
        """Seconds of a call, on average over as many calls as every round has."""


def build(kernel: Kernel, config: Config, target: Target) -> Any:
    """The TVM module of a form; its function is ``main``."""
    return build_together({"main": kernel.primfunc(config, target)}, target)


def build_together(functions: Mapping[str, Any], target: Target) -> Any:
    """The TVM module of scheduled TIR functions, by the names that they are to have."""
    module = tvm.IRModule(
        {name: function.with_attr("global_symbol", name) for name, function in functions.items()}
    )
    # Half of the code would be checks of the arguments.
    with tvm.transform.PassContext(config={"tirx.disable_assert": True}):
        return tvm.tirx.build(module, target=target.tvm_target, pipeline=target.tir_pipeline)


def unwritten(kernel: Kernel) -> npt.NDArray[Any]:
    """An array for a kernel's output; what the kernel does not write is a NaN, or -1."""
    shape, dtype = kernel.output()
    array = aligned_empty(shape, np.dtype(dtype))
    array.reshape(-1).view(np.uint8).fill(0xFF)
    return array


def calls_of_round(seconds: float) -> int:
    """How many calls of so many seconds a round has."""
    return min(_MOST_CALLS, ceil(_ROUND_S / seconds))


class Candidate:
    """A form of a kernel, in this process, with operands.

    Parameters
    ----------
    call
        The form, built.
    kernel, config
        What it is a form of, and which.
    seed
        Of the inputs.
    launcher
        Splits parallel loops among threads.
    """

    def __init__(
        self, call: Callable[..., Any], kernel: Kernel, config: Config, seed: int, launcher: LoopLauncher
    ) -> None:
        self._launcher = launcher
        self._call = call
        self._output = unwritten(kernel)
        inputs, copies = kernel.inputs(config, seed), kernel.copies(config, seed)
        # For each argument the tensors that calls have in turns.
        turns = [
            [as_tensor(array) for array in copies.get(number, [inputs[number]])]
            for number in range(len(inputs))
        ]
        turns.append([as_tensor(self._output)])
        sizes = kernel.sizes.values()
        self._arguments = cycle(
            [[*(one[turn % len(one)] for one in turns), *sizes] for turn in range(max(map(len, turns)))]
        )
        made = [array for number, array in enumerate(inputs) if number not in copies]
        self._made = [launcher.rows(array) for array in made if array.nbytes >= _SMALL_BYTES]
        self._result = launcher.rows(self._output)
        # Seconds that it takes to read the output, by threads.
        self._reading: dict[int, float] = {}
        self._calls = 0

    def output(self, threads: int) -> npt.NDArray[Any]:
        """Call it once; what it computes."""
        with self._launcher.threads(threads):
            self._call(*next(self._arguments))
        return self._output

    def round(self, threads: int) -> float:
        """Seconds of a call, on average over as many calls as every round has."""
        if not self._calls:
            self._calls = calls_of_round(self._time(threads, 1))
        return self._time(threads, self._calls)

    def _time(self, threads: int, calls: int) -> float:
        """Seconds of a call among others, as in a model.

        Its inputs were just made, and its output is read by what comes next: a form that leaves them in the
        wrong cores' caches pays for it, though it be fast by itself.
        """
        launcher = self._launcher
        with launcher.threads(threads):
            if threads not in self._reading:
                self._reading[threads] = min(self._run(None) for _ in range(_READINGS))
            seconds = sum(self._run(self._call) for _ in range(calls)) / calls
            return max(_LEAST_S, seconds - self._reading[threads])

    def _run(self, call: Callable[..., Any] | None) -> float:
        """Seconds of a call and of reading the output; of reading alone where there is no call."""
        arguments = next(self._arguments)
        for rows in [*self._made, self._result]:
            rows.write()
        begin = perf_counter()
        if call is not None:
            call(*arguments)
        self._result.read()
        return perf_counter() - begin


def steady(time_round: Callable[[], float], best: float) -> list[float]:
    """Time rounds until some agree; the times of those, or of the fastest ones where none do.

    Fewer where they show that the form is much slower than ``best``, the time of the fastest form so far.
    """
    times: list[float] = []
    while len(times) < _MOST_ROUNDS:
        times = sorted([*times, time_round()])
        if len(times) == 2 and times[0] > _HOPELESS * best:
            break
        if len(times) >= _ROUNDS and times[_ROUNDS - 1] <= (1 + _AGREE) * times[0]:
            break
    return times[:_ROUNDS]


def perform(candidate: Timed, command: list[Any], reference: int) -> list[float]:
    """Do what a command says; the times of rounds, where it asks for any.

    Raises
    ------
    Failed
        The output is not that of the default form.
    """
    match command:
        case ["write", threads]:
            output = candidate.output(threads)
            os.ftruncate(reference, output.nbytes)
            with mmap.mmap(reference, output.nbytes) as shared:
                shared.write(output.tobytes())
            return []
        case ["check", threads]:
            _check(candidate.output(threads), reference)
            return []
        case ["measure", threads, best]:
            _check(candidate.output(threads), reference)
            return steady(partial(candidate.round, threads), best)
        case ["round", threads]:
            return [candidate.round(threads)]
    raise ValueError(f"a candidate does not know the command {command}")


def _check(output: npt.NDArray[Any], reference: int) -> None:
    # Not closed: the array uses it, and it goes with that.
    shared = mmap.mmap(reference, output.nbytes, prot=mmap.PROT_READ)
    wanted = np.frombuffer(shared, output.dtype).reshape(output.shape)
    problem = difference(output, wanted)
    if problem is not None:
        raise Failed("wrong", problem)


def difference(output: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> str | None:
    """What makes an output another than the one that is wanted, for people; None where nothing does."""
    if output.dtype.kind != "f":
        count = int(np.count_nonzero(output != wanted))
        return (
            f"{count} of {output.size} values {agreeing(count, 'differs', 'differ')} from the default form's"
            if count
            else None
        )
    tolerance = max(_TOLERANCE, _STEPS * float(np.finfo(output.dtype).eps))
    if output.dtype.itemsize < np.dtype(np.float32).itemsize:
        # Differences may be beyond their range.
        output, wanted = output.astype(np.float32), wanted.astype(np.float32)
    allowed, error = tolerance * _largest(wanted), _largest_difference(output, wanted)
    if error <= allowed and isfinite(allowed):
        # Then so is every value.
        return None
    finite = np.isfinite(wanted)
    if not (finite.all() and np.isfinite(output).all()):
        same = (finite & np.isfinite(output)) | (output == wanted) | (np.isnan(output) & np.isnan(wanted))
        if not same.all():
            count = int(np.count_nonzero(~same))
            are = agreeing(count, "is", "are")
            return f"{count} of {output.size} values {are} not NaN or infinite as the default form's are"
        output, wanted = output[finite], wanted[finite]
        allowed, error = tolerance * _largest(wanted), _largest_difference(output, wanted)
    if error > allowed:
        return f"error {error:.3g} against the default form; {allowed:.3g} is allowed"
    return None


def _largest(values: npt.NDArray[Any]) -> float:
    """The largest absolute value; without another array, for new memory takes longer than the arithmetic."""
    return max(float(values.max(initial=0)), -float(values.min(initial=0)))


def _largest_difference(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    with np.errstate(invalid="ignore"):
        return _largest(one - other)
