"""The process that has TVM loaded and forks a child for each form of a kernel.

``measure.Measurer`` starts it and talks with it. It has one thread only, so that its children are sound.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

import tvm
from tvm import te

from paddle_tvm.compiler.tuning.candidate import Candidate, Kernel, serve
from paddle_tvm.compiler.tuning.child import Child, Failed, die_with_parent
from paddle_tvm.compiler.tuning.launcher_library import LoopLauncher
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.workload import Config

# So many candidates are built before they are timed, one after the other.
BATCH = 16
# Kernels whose default output is kept.
_MOST_KERNELS = 32


@dataclass(frozen=True)
class Setup:
    """How to measure; see ``measure.Measurer``. ``launcher`` is the file of the compiled launcher."""

    target: Target
    threads: int
    seed: int
    build_jobs: int
    build_limit_s: float
    run_limit_s: float
    memory_limit_bytes: int
    launcher: int


@dataclass(frozen=True)
class MeasureRequest:
    """Measure forms; ``kernel`` is pickled, ``configs`` have the numbers that answers name them by."""

    kernel: bytes
    configs: dict[int, Config]


@dataclass(frozen=True)
class CompareRequest:
    """Time forms in turns, at each number of threads."""

    kernel: bytes
    configs: dict[int, Config]
    threads: tuple[int, ...]
    rounds: int


@dataclass(frozen=True)
class Answer:
    """What came of a form at a number of threads."""

    number: int
    threads: int
    outcome: Outcome


@dataclass
class _Known:
    """A kernel, the file for its default form's output, whether that is there, and the best time so far."""

    kernel: Kernel
    reference: int
    has_reference: bool = False
    best: float = float("inf")


class _Server:
    def __init__(self, tuner: Connection, setup: Setup) -> None:
        self._tuner = tuner
        self._setup = setup
        self._launcher = LoopLauncher(setup.launcher)
        self._kernels: OrderedDict[bytes, _Known] = OrderedDict()

    def measure(self, request: MeasureRequest) -> Iterator[Answer]:
        known = self._known(request.kernel)
        numbers = list(request.configs)
        threads = self._setup.threads
        while numbers:
            batch, numbers = numbers[:BATCH], numbers[BATCH:]
            configs = [request.configs[number] for number in batch]
            with self._built(known, configs) as (reference, candidates):
                for number, config, candidate in zip(batch, configs, candidates, strict=True):
                    try:
                        child = _unless_failed(candidate, reference)
                        seconds = self._run(child, ["measure", threads, known.best])
                        outcome = Outcome(config, "ok", tuple(seconds))
                        known.best = min(known.best, outcome.median)
                    except Failed as failure:
                        outcome = Outcome(config, failure.status, detail=failure.detail)
                    yield Answer(number, threads, outcome)

    def compare(self, request: CompareRequest) -> Iterator[Answer]:
        known = self._known(request.kernel)
        configs = list(request.configs.values())
        with self._built(known, configs) as (reference, candidates):
            failures = dict[int, Failed]()

            def run(place: int, command: Sequence[object]) -> list[float]:
                if place not in failures:
                    try:
                        return self._run(_unless_failed(candidates[place], reference), command)
                    except Failed as failure:
                        failures[place] = failure
                return []

            for threads in request.threads:
                places = list(range(len(configs)))
                times: list[list[float]] = [[] for _ in places]
                for place in places:
                    run(place, ["check", threads])
                for _ in range(request.rounds):
                    for place in places:
                        times[place] += run(place, ["round", threads])
                    # So that none is always after the same one.
                    places.reverse()
                for place, number in enumerate(request.configs):
                    outcome = Outcome(configs[place], "ok", tuple(times[place]))
                    if place in failures:
                        failure = failures[place]
                        outcome = Outcome(configs[place], failure.status, detail=failure.detail)
                    yield Answer(number, threads, outcome)

    def _known(self, pickled: bytes) -> _Known:
        if pickled not in self._kernels:
            if len(self._kernels) == _MOST_KERNELS:
                _, forgotten = self._kernels.popitem(last=False)
                os.close(forgotten.reference)
            kernel: Kernel = pickle.loads(pickled)
            # What it makes once for all forms is there for all children then; if it fails, so do they.
            with suppress(Exception):
                kernel.output()
                kernel.inputs(kernel.workload.default(), self._setup.seed)
            gc.freeze()
            self._kernels[pickled] = _Known(kernel, os.memfd_create("paddle-tvm-reference"))
        self._kernels.move_to_end(pickled)
        return self._kernels[pickled]

    @contextmanager
    def _built(
        self, known: _Known, configs: Sequence[Config]
    ) -> Iterator[tuple[Failed | None, list[Child | Failed]]]:
        """Build forms, after the default one has written its output where that is missing.

        Gives why there is no such output, if there is none, and the children or why there is none; ends
        the children in the end.
        """
        wanted = list(configs)
        if not known.has_reference:
            wanted.insert(0, known.kernel.workload.default())
        built = self._build(known, wanted)
        reference = None
        try:
            candidates = list(built)
            if not known.has_reference:
                default = candidates.pop(0)
                try:
                    self._run(_unless_failed(default, None), ["write", self._setup.threads])
                    known.has_reference = True
                except Failed as failure:
                    why = f"the default form, to compare with, failed ({failure.status}): {failure.detail}"
                    reference = Failed("error", why)
            yield reference, candidates
        finally:
            children = [child for child in built if isinstance(child, Child)]
            # All at once, because it takes the system a while to take a process apart.
            for child in children:
                child.kill()
            for child in children:
                child.end()

    def _build(self, known: _Known, configs: Sequence[Config]) -> list[Child | Failed]:
        """Build forms, several at a time; in their order a child that is ready, or why there is none."""
        setup = self._setup
        built: dict[int, Child | Failed] = {}
        waiting = list(range(len(configs)))
        building: dict[Child, tuple[int, float]] = {}
        while waiting or building:
            while waiting and len(building) < setup.build_jobs:
                place = waiting.pop(0)
                child = self._start(known, configs[place])
                building[child] = (place, time.monotonic() + setup.build_limit_s)
            first = min(deadline for _, deadline in building.values())
            files = [self._tuner.fileno(), *(child.fileno() for child in building)]
            ready = wait(files, max(0.0, first - time.monotonic()))
            if self._tuner.fileno() in ready:
                # It asks for nothing before it has its answers: it is gone.
                sys.exit(0)
            for child, (place, deadline) in list(building.items()):
                try:
                    if child.fileno() in ready:
                        child.answer()
                    elif time.monotonic() >= deadline:
                        raise child.late("build", setup.build_limit_s)
                    else:
                        continue
                    built[place] = child
                except Failed as failure:
                    built[place] = failure
                del building[child]
        return [built[place] for place in range(len(configs))]

    def _start(self, known: _Known, config: Config) -> Child:
        setup = self._setup

        def make() -> Candidate:
            return Candidate(known.kernel, config, setup.target, setup.seed, self._launcher)

        return Child(
            lambda channel: serve(make, known.reference, channel),
            setup.memory_limit_bytes,
            setup.threads,
            (self._tuner.fileno(),),
        )

    def _run(self, child: Child, command: Sequence[object]) -> list[float]:
        answer = child.ask(command, "run", self._setup.run_limit_s)
        return [float(seconds) for seconds in answer["seconds"]]


def _unless_failed(candidate: Child | Failed, reference: Failed | None) -> Child:
    if isinstance(candidate, Failed):
        raise candidate
    if reference is not None:
        raise reference
    return candidate


def _warm_up(target: Target) -> None:
    """Build and time something, so that what TVM and LLVM set up once is there for all children."""
    data = te.placeholder((64, 64), "float32", name="data")
    doubled = te.compute((64, 64), lambda i, j: data[i, j] * 2, name="doubled")
    module = target.schedule(tvm.IRModule({"main": te.create_prim_func([data, doubled])}))
    library = tvm.tirx.build(module, target=target.tvm_target, pipeline=target.tir_pipeline)
    tensors = [tvm.runtime.empty((64, 64), "float32") for _ in range(2)]
    library.time_evaluator("main", tvm.cpu(), number=2)(*tensors)


def main(file: int, tuner: int) -> None:
    """Serve the tuner, a process, at the other end of a socket until that is closed."""
    die_with_parent(tuner)
    # Ctrl-C is for the tuner, which then closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = Connection(file)
    try:
        setup: Setup = line.recv()
        server = _Server(line, setup)
        _warm_up(setup.target)
        threads = os.listdir("/proc/self/task")
        if len(threads) > 1:
            raise RuntimeError(
                f"a process with {len(threads)} threads cannot be forked: some library starts them"
            )
        # Children would copy the memory of all objects that they look at for garbage.
        gc.freeze()
        line.send(None)
        while True:
            _serve(server, line, line.recv())
    except (EOFError, ConnectionError):
        return


def _serve(server: _Server, line: Connection, request: MeasureRequest | CompareRequest) -> None:
    try:
        answers = server.measure(request) if isinstance(request, MeasureRequest) else server.compare(request)
        for answer in answers:
            line.send(answer)
        line.send(None)
    except ConnectionError:
        raise
    except Exception:
        line.send(traceback.format_exc())
