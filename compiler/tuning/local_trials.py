"""Times forms of kernels on this machine, a child for each."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait

from paddle_tvm.compiler.tuning.candidate import Candidate, serve
from paddle_tvm.compiler.tuning.child import Child, Failed
from paddle_tvm.compiler.tuning.known_kernels import KnownKernel, KnownKernels
from paddle_tvm.compiler.tuning.launcher_library import LoopLauncher
from paddle_tvm.compiler.tuning.messages import Answer, CompareRequest, MeasureRequest, Setup
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.targets.workload import Config

# So many candidates are built before they are timed, one after the other.
BATCH = 16


class LocalTrials:
    """Forks children that build forms, several at once, and then has one after the other time its form.

    Parameters
    ----------
    tuner
        The line to whom this is for; that something arrives there meanwhile means that it is gone.
    setup
        How to measure.
    """

    def __init__(self, tuner: Connection, setup: Setup) -> None:
        self._tuner = tuner
        self._setup = setup
        self._launcher = LoopLauncher(setup.launcher)
        self._kernels = KnownKernels(setup.seed)

    def measure(self, request: MeasureRequest) -> Iterator[Answer]:
        """Time forms; they are given up early where they are slow."""
        known = self._kernels[request.kernel]
        numbers = list(request.configs)
        threads = self._setup.threads
        while numbers:
            batch, numbers = numbers[:BATCH], numbers[BATCH:]
            configs = [request.configs[number] for number in batch]
            with self._built(known, configs) as candidates:
                for number, config, candidate in zip(batch, configs, candidates, strict=True):
                    try:
                        seconds = self._run(candidate, ["measure", threads, known.best])
                        outcome = Outcome(config, "ok", tuple(seconds))
                        known.best = min(known.best, outcome.median)
                    except Failed as failure:
                        outcome = Outcome(config, failure.status, detail=failure.detail)
                    yield Answer(number, threads, outcome)

    def compare(self, request: CompareRequest) -> Iterator[Answer]:
        """Time forms in turns."""
        known = self._kernels[request.kernel]
        configs = list(request.configs.values())
        with self._built(known, configs) as candidates:
            failures = dict[int, Failed]()

            def run(place: int, command: Sequence[object]) -> list[float]:
                if place not in failures:
                    try:
                        return self._run(candidates[place], command)
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

    @contextmanager
    def _built(self, known: KnownKernel, configs: Sequence[Config]) -> Iterator[list[Child | Failed]]:
        """Build forms, and have the default one write its output where that is missing.

        Gives their children, or why there is none; ends the children in the end.
        """
        default = known.kernel.workload.default()
        missing = not known.has_reference
        extra = missing and default not in configs
        built = self._build(known, [default, *configs] if extra else configs)
        candidates = built[1:] if extra else built
        try:
            if missing:
                try:
                    self._run(built[0 if extra else configs.index(default)], ["write", self._setup.threads])
                    known.has_reference = True
                except Failed as failure:
                    none = known.no_reference(failure)
                    candidates = [failure if config == default else none for config in configs]
            yield candidates
        finally:
            children = [child for child in built if isinstance(child, Child)]
            # All at once, because it takes the system a while to take a process apart.
            for child in children:
                child.kill()
            for child in children:
                child.end()

    def _build(self, known: KnownKernel, configs: Sequence[Config]) -> list[Child | Failed]:
        """Build forms, several at a time; in their order a child that is ready, or why there is none."""
        setup = self._setup
        # Before any is forked: memory that children have is copied when it is written.
        for config in configs:
            self._kernels.prepare(known.kernel, config, copies=True)
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

    def _start(self, known: KnownKernel, config: Config) -> Child:
        setup = self._setup

        def make() -> Candidate:
            return Candidate(known.kernel, config, setup.target, setup.seed, self._launcher)

        return Child(
            lambda channel: serve(make, known.reference, channel),
            setup.memory_limit_bytes,
            setup.threads,
            (self._tuner.fileno(),),
        )

    def _run(self, candidate: Child | Failed, command: Sequence[object]) -> list[float]:
        if isinstance(candidate, Failed):
            raise candidate
        answer = candidate.ask(command, "run", self._setup.run_limit_s)
        return [float(seconds) for seconds in answer["seconds"]]
