"""Times forms of kernels on this machine, in children."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import ceil
from multiprocessing.connection import Connection, wait

from paddle_tvm.compiler.tuning.builder import Builder, Form
from paddle_tvm.compiler.tuning.child import Child, Failed
from paddle_tvm.compiler.tuning.known_kernels import KnownKernel, KnownKernels
from paddle_tvm.compiler.tuning.launcher_library import LoopLauncher
from paddle_tvm.compiler.tuning.local_tasks import serve_forms
from paddle_tvm.compiler.tuning.messages import Answer, CompareRequest, MeasureRequest, Setup
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.targets.workload import Config

# So many candidates are built before they are timed, one after the other.
BATCH = 16
# Most that a child builds at once: a module costs LLVM nearly as much as a form in it.
_TOGETHER = 4


class LocalTrials:
    """Forks children that build forms, several at once, and then has one form after the other timed.

    A form that fails in a child that had others, or lost its child to another, is tried again in one of its
    own: what its outcome says is its own doing.

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
        threads = self._setup.threads
        waiting, again = list(request.configs), list[int]()
        while waiting or again:
            together, queue = (_TOGETHER, waiting) if waiting else (1, again)
            batch, queue[:BATCH] = queue[:BATCH], []
            configs = [request.configs[number] for number in batch]
            with self._built(known, configs, together) as forms:
                for number, config, form in zip(batch, configs, forms, strict=True):
                    try:
                        seconds = self._run(form, ["measure", threads, known.best])
                        outcome = Outcome(config, "ok", tuple(seconds))
                        known.best = min(known.best, outcome.median)
                    except Failed as failure:
                        if failure.status != "error" and isinstance(form, Form) and not form.builder.is_alone:
                            again.append(number)
                            continue
                        outcome = failure.of(config)
                    yield Answer(number, threads, outcome)

    def compare(self, request: CompareRequest) -> Iterator[Answer]:
        """Time forms in turns."""
        known = self._kernels[request.kernel]
        configs = list(request.configs.values())
        with self._built(known, configs, 1) as forms:
            failures = dict[int, Failed]()

            def run(place: int, command: Sequence[object]) -> list[float]:
                if place not in failures:
                    try:
                        return self._run(forms[place], command)
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
                        outcome = failures[place].of(configs[place])
                    yield Answer(number, threads, outcome)

    @contextmanager
    def _built(
        self, known: KnownKernel, configs: Sequence[Config], together: int
    ) -> Iterator[Sequence[Form | Failed]]:
        """Build forms, and have the default one write its output where that is missing.

        Gives them in their order, or why there is none; ends the children in the end.
        """
        default = known.kernel.workload.default()
        extra = not known.has_reference and default not in configs
        wanted = [default, *configs] if extra else list(configs)
        # In a child of its own, for all others depend on it.
        own = None if known.has_reference else wanted.index(default)
        builders: list[Builder] = []
        try:
            forms = self._build(known, wanted, own, together, builders)
            asked: Sequence[Form | Failed] = forms[1:] if extra else forms
            if own is not None:
                try:
                    self._run(forms[own], ["write", self._setup.threads])
                    known.has_reference = True
                except Failed as failure:
                    none = known.no_reference(failure)
                    asked = [failure if config == default else none for config in configs]
            yield asked
        finally:
            # All at once, because it takes the system a while to take a process apart.
            for builder in builders:
                builder.child.kill()
            for builder in builders:
                builder.child.end()

    def _build(
        self,
        known: KnownKernel,
        configs: list[Config],
        own: int | None,
        together: int,
        builders: list[Builder],
    ) -> list[Form]:
        """Build forms, several at a time; adds the children to ``builders``.

        Parameters
        ----------
        known, configs
            The kernel and its forms.
        own
            The place of one that is to have a child of its own, if any is.
        together
            How many forms a child builds at once, at most; 1: every form has a child of its own.
        """
        # Before any is forked: memory that children have is copied when it is written.
        for config in configs:
            self._kernels.prepare(known.kernel, config, copies=True)
        jobs = self._setup.build_jobs
        waiting = [place for place in range(len(configs)) if place != own]
        forms: dict[int, Form] = {}
        building, idle = list[Builder](), list[Builder]()

        def begin(builder: Builder, group: list[int]) -> None:
            builder.begin(group)
            building.append(builder)
            forms.update((place, Form(builder, place)) for place in group)

        def new_builder() -> Builder:
            builders.append(self._start(known, configs))
            return builders[-1]

        if own is not None:
            begin(new_builder(), [own])
        while waiting or building:
            while waiting and len(building) < jobs:
                # Fewer and fewer, so that no child has much to do when the others have nothing left.
                size = min(together, ceil(len(waiting) / (2 * jobs)))
                group, waiting = waiting[:size], waiting[size:]
                begin(idle.pop() if idle else new_builder(), group)
            files = [self._tuner.fileno(), *(one.child.fileno() for one in building if not one.has_ended)]
            ready = wait(files, min(0.0 if one.has_ended else one.left_s for one in building))
            if self._tuner.fileno() in ready:
                sys.exit(0)
            for builder in list(building):
                if builder.has_ended or builder.finish(builder.child.fileno() in ready):
                    building.remove(builder)
                    shared = together > 1 and not (own is not None and forms[own].builder is builder)
                    if shared and not builder.has_ended:
                        idle.append(builder)
        return [forms[place] for place in range(len(configs))]

    def _start(self, known: KnownKernel, configs: list[Config]) -> Builder:
        setup = self._setup
        task = partial(serve_forms, setup, self._launcher, known, configs)
        child = Child(task, setup.memory_limit_bytes, setup.threads, (self._tuner.fileno(),))
        return Builder(child, setup.build_limit_s)

    def _run(self, form: Form | Failed, command: Sequence[object]) -> list[float]:
        if isinstance(form, Failed):
            raise form
        return form.run(command, self._setup.run_limit_s)
