"""Times forms of kernels on this machine's GPU: built here, several at once, run by a process of its own."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

import numpy as np

from paddle_tvm.compiler.tuning.child import Channel, Child, Failed
from paddle_tvm.compiler.tuning.gpu_process import start_gpu_process
from paddle_tvm.compiler.tuning.gpu_program import GpuKernel, build_program
from paddle_tvm.compiler.tuning.known_kernels import KnownKernel, KnownKernels
from paddle_tvm.compiler.tuning.local_trials import BATCH
from paddle_tvm.compiler.tuning.messages import Answer, CompareRequest, Gpu, MeasureRequest, Setup
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.cuda.toolkit import compile_without_driver
from paddle_tvm.targets.workload import Config

# Until CUDA is ready, and the model in the GPU's memory.
_START_S = 120.0


@dataclass(frozen=True)
class _Form:
    """A form that was built: its library, and how that is called, as JSON."""

    library: Path
    program: Mapping[str, Any]


class GpuTrials:
    """Forks children that build forms, several at once, and has a process that owns the GPU time them.

    Parameters
    ----------
    tuner
        The line to whom this is for; that something arrives there meanwhile means that it is gone.
    setup
        How to measure.
    gpu
        The GPU.
    """

    def __init__(self, tuner: Connection, setup: Setup, gpu: Gpu) -> None:
        self._tuner = tuner
        self._setup = setup
        self._gpu = gpu
        self._kernels = KnownKernels(setup.seed)
        self._process: Child | None = None
        self._built = 0
        # The kernel whose operands are in the file.
        self._operands_of: KnownKernel | None = None
        self._operands = Path(gpu.folder, "operands.npz")
        compile_without_driver()
        with setup.target.generating():
            # TVM's code generator is loaded once for all children.
            pass

    def measure(self, request: MeasureRequest) -> Iterator[Answer]:
        """Time forms, one after the other; they are given up early where they are slow."""
        known = self._kernels[request.kernel]
        numbers = list(request.configs)
        while numbers:
            batch, numbers = numbers[:BATCH], numbers[BATCH:]
            configs = [request.configs[number] for number in batch]
            for number, config, form in zip(batch, configs, self._formed(known, configs), strict=True):
                try:
                    seconds = self._run(known, form, ["measure", self._setup.threads, known.best])
                    outcome = Outcome(config, "ok", tuple(seconds))
                    known.best = min(known.best, outcome.median)
                except Failed as failure:
                    outcome = failure.of(config)
                yield Answer(number, self._setup.threads, outcome)

    def compare(self, request: CompareRequest) -> Iterator[Answer]:
        """Time forms in turns, all in the GPU's memory."""
        known = self._kernels[request.kernel]
        configs = list(request.configs.values())
        failures: dict[int, Failed] = {}
        forms: dict[int, _Form] = {}
        for place, form in enumerate(self._formed(known, configs)):
            if isinstance(form, Failed):
                failures[place] = form
            else:
                forms[place] = form
        for threads in request.threads:
            # A form that fails takes with it what the others have in the GPU's memory.
            while True:
                place, result = self._turns(known, forms, threads, request.rounds)
                if not isinstance(result, Failed):
                    break
                failures[place] = result
                del forms[place]
            for place, number in enumerate(request.configs):
                if place in failures:
                    outcome = failures[place].of(configs[place])
                else:
                    outcome = Outcome(configs[place], "ok", tuple(result[place]))
                yield Answer(number, threads, outcome)

    def _turns(
        self, known: KnownKernel, forms: Mapping[int, _Form], threads: int, rounds: int
    ) -> tuple[int, Failed | dict[int, list[float]]]:
        """Times of forms, or the place of the one that failed, and how."""
        times: dict[int, list[float]] = {place: [] for place in forms}
        places = list(forms)
        place = -1
        try:
            for place in places:
                self._load(known, forms[place], str(place))
            for place in places:
                self._do(known, str(place), ["check", threads])
            for _ in range(rounds):
                for place in places:
                    times[place] += self._do(known, str(place), ["round", threads])
                # So that none is always after the same one.
                places.reverse()
            for place in places:
                self._ask(["drop", str(place)])
        except Failed as failure:
            return place, failure
        return -1, times

    def _formed(self, known: KnownKernel, configs: Sequence[Config]) -> list[_Form | Failed]:
        """Build forms, and have the default one write its output where that is missing."""
        default = known.kernel.workload.default()
        missing = not known.has_reference
        extra = missing and default not in configs
        built = self._build(known, [default, *configs] if extra else configs)
        forms = built[1:] if extra else built
        if missing:
            try:
                write = ["write", self._setup.threads]
                self._run(known, built[0 if extra else list(configs).index(default)], write)
                known.has_reference = True
            except Failed as failure:
                none = known.no_reference(failure)
                forms = [failure if config == default else none for config in configs]
        return forms

    def _build(self, known: KnownKernel, configs: Sequence[Config]) -> list[_Form | Failed]:
        """Build forms, several at a time; in their order."""
        setup = self._setup
        built: dict[int, _Form | Failed] = {}
        waiting = list(range(len(configs)))
        building: dict[Child, tuple[int, Path, float]] = {}
        while waiting or building:
            while waiting and len(building) < setup.build_jobs:
                place = waiting.pop(0)
                self._built += 1
                library = Path(self._gpu.folder, f"form{self._built}.so")
                kernel = cast(GpuKernel, known.kernel)
                task = partial(_build_form, kernel, configs[place], setup.target, library)
                child = Child(task, setup.memory_limit_bytes, setup.build_jobs, (self._tuner.fileno(),))
                building[child] = (place, library, time.monotonic() + setup.build_limit_s)
            first = min(deadline for _, _, deadline in building.values())
            files = [self._tuner.fileno(), *(child.fileno() for child in building)]
            ready = wait(files, max(0.0, first - time.monotonic()))
            if self._tuner.fileno() in ready:
                sys.exit(0)
            for child, (place, library, deadline) in list(building.items()):
                try:
                    if child.fileno() in ready:
                        built[place] = _Form(library, child.answer()["program"])
                    elif time.monotonic() >= deadline:
                        raise child.late("build", setup.build_limit_s)
                    else:
                        continue
                except Failed as failure:
                    built[place] = failure
                child.end()
                del building[child]
        return [built[place] for place in range(len(configs))]

    def _run(self, known: KnownKernel, form: _Form | Failed, command: Sequence[object]) -> list[float]:
        """Do something with a form that nobody needs afterwards."""
        if isinstance(form, Failed):
            raise form
        self._load(known, form, "form")
        seconds = self._do(known, "form", command)
        self._ask(["drop", "form"])
        return seconds

    def _load(self, known: KnownKernel, form: _Form, name: str) -> None:
        kernel = cast(GpuKernel, known.kernel)
        if self._operands_of is not known:
            arrays = kernel.inputs(kernel.workload.default(), self._setup.seed)
            np.savez(self._operands, *arrays)
            self._operands_of = known
        described = [str(form.library), form.program, str(self._operands), kernel.weights, kernel.model_bytes]
        self._ask(["load", name, *described])

    def _do(self, known: KnownKernel, name: str, command: Sequence[object]) -> list[float]:
        # The process is a child of this one, whose files it finds there.
        return self._ask(["do", name, command, f"/proc/{os.getpid()}/fd/{known.reference}"])

    def _ask(self, message: Sequence[object]) -> list[float]:
        try:
            if self._process is None:
                self._process = start_gpu_process(self._gpu, (self._tuner.fileno(),))
                self._wait_until_ready(self._process)
            answer = self._process.ask(message, "run", self._setup.run_limit_s)
        except Failed:
            # It has ended.
            self._process = None
            raise
        return [float(seconds) for seconds in answer["seconds"]]

    def _wait_until_ready(self, process: Child) -> None:
        try:
            if not wait([process.fileno()], _START_S):
                raise process.late("start", _START_S)
            process.answer()
        except Failed as failure:
            self._process = None
            raise RuntimeError(f"the process that has the GPU does not start: {failure.detail}") from None


def _build_form(kernel: GpuKernel, config: Config, target: Target, library: Path, channel: Channel) -> None:
    # What is left of a child that is killed goes with the folder.
    tempfile.tempdir = str(library.parent)
    channel.send({"program": build_program(kernel, config, target, library).to_json()})
