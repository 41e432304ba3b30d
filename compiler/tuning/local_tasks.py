"""What children do that build forms of kernels and time them on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from paddle_tvm.compiler.tuning.candidate import Candidate, build_together, perform
from paddle_tvm.compiler.tuning.child import Channel, Failed, failure_of
from paddle_tvm.compiler.tuning.known_kernels import KnownKernel
from paddle_tvm.compiler.tuning.launcher_library import LoopLauncher
from paddle_tvm.compiler.tuning.messages import Setup
from paddle_tvm.targets.workload import Config


def serve_forms(
    setup: Setup, launcher: LoopLauncher, known: KnownKernel, configs: list[Config], channel: Channel
) -> None:
    """Build forms of a kernel, known by their places in a list, and do with them what it is told.

    ``["build", places]`` is answered by the place, status and detail of those that failed;
    ``[command, place, ...]``, for ``candidate.perform``, by the times of rounds. What fails there ends it.
    """
    candidates: dict[int, Candidate] = {}
    while (message := channel.receive()) is not None:
        match message:
            case ["build", places]:
                failures = []
                forms = {place: configs[place] for place in places}
                for place, call in _build(known, forms, setup):
                    try:
                        if isinstance(call, Failed):
                            raise call
                        candidates[place] = Candidate(
                            call, known.kernel, configs[place], setup.seed, launcher
                        )
                    except Exception as error:
                        failure = failure_of(error)
                        failures.append([place, failure.status, failure.detail])
                channel.send({"failures": failures})
            case [command, place, *rest]:
                seconds = perform(candidates[place], [command, *rest], known.reference)
                channel.send({"seconds": seconds})


def _build(
    known: KnownKernel, forms: Mapping[int, Config], setup: Setup
) -> Iterator[tuple[int, Callable[..., Any] | Failed]]:
    """The function of each form, or why there is none; all in one module, which takes LLVM less time."""
    functions = {}
    for place, config in forms.items():
        try:
            functions[place] = known.kernel.primfunc(config, setup.target)
        except Exception as error:
            yield place, failure_of(error)
    try:
        yield from _load(functions, setup)
        return
    except Exception as error:
        if len(functions) == 1:
            yield from ((place, failure_of(error)) for place in functions)
            return
    # One of them cannot be built.
    for place, function in functions.items():
        try:
            yield from _load({place: function}, setup)
        except Exception as error:
            yield place, failure_of(error)


def _load(functions: Mapping[int, Any], setup: Setup) -> list[tuple[int, Callable[..., Any]]]:
    if not functions:
        return []
    names = {place: f"form{place}" for place in functions}
    module = build_together({names[place]: function for place, function in functions.items()}, setup.target)
    # The machine code is made here.
    return [(place, module[name]) for place, name in names.items()]
