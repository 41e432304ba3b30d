"""What children do that have forms of kernels timed on other machines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from paddle_tvm.compiler.tuning.candidate import perform, unwritten
from paddle_tvm.compiler.tuning.child import Channel, Failed, describe
from paddle_tvm.compiler.tuning.known_kernels import KnownKernel
from paddle_tvm.compiler.tuning.messages import Machines, Setup
from paddle_tvm.compiler.tuning.remote_candidate import RemoteCandidate, link_form, on_machine
from paddle_tvm.targets.workload import Config


def time_form(setup: Setup, machines: Machines, known: KnownKernel, config: Config, channel: Channel) -> None:
    """Build a form, say so, and do on a machine what it is then told; says when it has the machine."""
    load = _build(setup, known, config)
    channel.send({"reached": "built"})
    command = channel.receive()
    with on_machine(machines, setup.run_limit_s, partial(load, name="form")) as candidate:
        channel.send({"reached": "run"})
        seconds = perform(candidate, command, known.reference)
    channel.send({"seconds": seconds})


def compare_forms(
    setup: Setup,
    machines: Machines,
    known: KnownKernel,
    configs: list[Config],
    threads: tuple[int, ...],
    rounds: int,
    channel: Channel,
) -> None:
    """Build forms, say so, and when told so time them in turns on one machine.

    Answers with (status, seconds, detail) of each form, for each number of threads.
    """
    failures = dict[int, Failed]()

    def act(place: int, action: Callable[[], Any]) -> Any:
        if place not in failures:
            try:
                return action()
            except Failed as failure:
                failures[place] = failure
            except Exception as error:
                failures[place] = Failed("error", describe(error))
        return None

    built = [act(place, partial(_build, setup, known, config)) for place, config in enumerate(configs)]
    channel.send({"reached": "built"})
    channel.receive()

    def load_all(session: Any) -> dict[int, RemoteCandidate]:
        return {place: load(session, f"form{place}") for place, load in enumerate(built) if load is not None}

    limit_s = setup.run_limit_s * len(configs) * len(threads)
    with on_machine(machines, limit_s, load_all) as candidates:
        channel.send({"reached": "run"})
        compared = []
        for count in threads:
            times: list[list[float]] = [[] for _ in configs]
            places = list(candidates)
            for place in places:
                act(place, partial(perform, candidates[place], ["check", count], known.reference))
            for _ in range(rounds):
                for place in places:
                    time = act(place, partial(candidates[place].round, count))
                    times[place] += [] if time is None else [time]
                # So that none is always after the same one.
                places.reverse()
            compared.append(
                [
                    (failures[place].status, [], failures[place].detail)
                    if place in failures
                    else ("ok", times[place], "")
                    for place in range(len(configs))
                ]
            )
    channel.send({"compared": compared})


def _build(setup: Setup, known: KnownKernel, config: Config) -> Callable[..., RemoteCandidate]:
    """Build a form; a function that loads it in a session under a name."""
    library = link_form(known.kernel, config, setup.target)
    inputs = known.kernel.inputs(config, setup.seed)

    def load(session: Any, name: str) -> RemoteCandidate:
        output = unwritten(known.kernel)
        sizes = list(known.kernel.sizes.values())
        return RemoteCandidate(session, name, library, inputs, output, sizes, setup.memory_limit_bytes)

    return load
