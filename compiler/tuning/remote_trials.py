"""Builds forms of kernels here and has other machines time them, through TVM's RPC."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

from paddle_tvm.compiler.tuning.child import Channel, Child, Failed
from paddle_tvm.compiler.tuning.known_kernels import KnownKernel, KnownKernels
from paddle_tvm.compiler.tuning.messages import Answer, CompareRequest, Machines, MeasureRequest, Setup
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.remote_tasks import compare_forms, time_form
from paddle_tvm.targets.workload import Config

# A machine ends a session by itself when its time is over; who does not hear of that waits so much longer.
_GRACE_S = 5.0
_QUEUE = "find a free machine"


@dataclass
class _Job:
    """A child, the number it was started with, what it does, and until when it must have done it."""

    child: Child
    number: int
    stage: str = ""
    deadline: float = 0.0


class RemoteTrials:
    """Forks children that build forms, several at once, and then have machines time them, many at once.

    Parameters
    ----------
    tuner
        The line to whom this is for; that something arrives there meanwhile means that it is gone.
    setup
        How to measure.
    machines
        Where.
    """

    def __init__(self, tuner: Connection, setup: Setup, machines: Machines) -> None:
        self._tuner = tuner
        self._setup = setup
        self._machines = machines
        self._kernels = KnownKernels(setup.seed)

    def measure(self, request: MeasureRequest) -> Iterator[Answer]:
        """Time forms, each in a session of its own."""
        known = self._kernels[request.kernel]
        threads = self._setup.threads
        missing = self._without_reference(known)
        configs = request.configs
        results = self._results(known, configs, lambda: ["measure", threads, known.best], request.at_once)
        if missing is not None:
            default, none = known.kernel.workload.default(), known.no_reference(missing)
            results = ((number, missing if configs[number] == default else none) for number in configs)
        for number, result in results:
            if isinstance(result, Failed):
                outcome = result.of(configs[number])
            else:
                outcome = Outcome(configs[number], "ok", tuple(result["seconds"]))
                known.best = min(known.best, outcome.median)
            yield Answer(number, threads, outcome)

    def compare(self, request: CompareRequest) -> Iterator[Answer]:
        """Time forms in turns, all on one machine, in one session."""
        known = self._kernels[request.kernel]
        missing = self._without_reference(known)
        setup, configs = self._setup, list(request.configs.values())
        task = partial(compare_forms, setup, self._machines, known, configs, request.threads, request.rounds)
        result: Any = missing
        if missing is None:
            scale = len(configs) * len(request.threads)
            [(_, result)] = self._drive(lambda _: self._child(task), [0], lambda: ["compare"], 1, scale)
        for place, (number, config) in enumerate(request.configs.items()):
            for at, threads in enumerate(request.threads):
                if isinstance(result, Failed):
                    outcome = result.of(config)
                else:
                    status, seconds, detail = result["compared"][at][place]
                    outcome = Outcome(config, status, tuple(seconds), detail)
                yield Answer(number, threads, outcome)

    def _without_reference(self, known: KnownKernel) -> Failed | None:
        """Have the default form write its output where that is missing; why that failed, if it did."""
        if known.has_reference:
            return None
        default = {0: known.kernel.workload.default()}
        [(_, result)] = self._results(known, default, lambda: ["write", self._setup.threads], 1)
        if isinstance(result, Failed):
            return result
        known.has_reference = True
        return None

    def _results(
        self,
        known: KnownKernel,
        configs: Mapping[int, Config],
        command: Callable[[], list[Any]],
        at_once: int,
    ) -> Iterator[tuple[int, Any]]:
        def start(number: int) -> Child:
            self._kernels.prepare(known.kernel, configs[number])
            return self._child(partial(time_form, self._setup, self._machines, known, configs[number]))

        return self._drive(start, list(configs), command, at_once, 1)

    def _drive(
        self,
        start: Callable[[int], Child],
        waiting: list[int],
        command: Callable[[], list[Any]],
        at_once: int,
        scale: int,
    ) -> Iterator[tuple[int, Any]]:
        """Start children, tell those that have built a command, and give what they answer as they do.

        Limits are ``scale`` times those of a form.
        """
        setup = self._setup
        limits = {
            "build": setup.build_limit_s * scale,
            "built": float("inf"),
            _QUEUE: self._machines.wait_s,
            "run": setup.run_limit_s * scale + _GRACE_S,
        }
        jobs: list[_Job] = []

        def enter(job: _Job, stage: str) -> None:
            job.stage, job.deadline = stage, time.monotonic() + limits[stage]

        def count(*stages: str) -> int:
            return sum(job.stage in stages for job in jobs)

        try:
            while waiting or jobs:
                while waiting and count("build") < setup.build_jobs and count("built") < at_once:
                    number = waiting.pop(0)
                    jobs.append(_Job(start(number), number))
                    enter(jobs[-1], "build")
                for job in [job for job in jobs if job.stage == "built"]:
                    if count(_QUEUE, "run") < at_once:
                        # If it has ended meanwhile, that is what there is to read from it.
                        with suppress(OSError):
                            job.child.channel.send(command())
                        enter(job, _QUEUE)
                ready = self._ready(jobs)
                for job in jobs.copy():
                    try:
                        if job.child.fileno() in ready:
                            answer = job.child.answer()
                        elif time.monotonic() >= job.deadline:
                            failure = job.child.late(job.stage, limits[job.stage])
                            raise Failed("error", failure.detail) if job.stage == _QUEUE else failure
                        else:
                            continue
                    except Failed as failed:
                        answer = failed
                    if isinstance(answer, dict) and "reached" in answer:
                        enter(job, answer["reached"])
                        continue
                    jobs.remove(job)
                    job.child.end()
                    yield job.number, answer
        finally:
            for job in jobs:
                job.child.end()

    def _ready(self, jobs: list[_Job]) -> list[Any]:
        """Wait until a child has something to say, or is late; the files of those that have."""
        first = min(job.deadline for job in jobs)
        files = [self._tuner.fileno(), *(job.child.fileno() for job in jobs)]
        ready = wait(files, None if first == float("inf") else max(0.0, first - time.monotonic()))
        if self._tuner.fileno() in ready:
            sys.exit(0)
        return ready

    def _child(self, task: Callable[[Channel], None]) -> Child:
        setup = self._setup
        return Child(task, setup.memory_limit_bytes, setup.threads, (self._tuner.fileno(),))
