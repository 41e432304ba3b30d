"""Times engines that are loaded and warm, in rounds that take turns."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from time import sleep
from typing import Any

from paddle_tvm.compiler.bench.model_files import Files
from paddle_tvm.compiler.bench.process import EngineFailedError, EngineProcess
from paddle_tvm.compiler.bench.result import EngineResult, compare_engines

PAUSE_SECONDS = 0.4
"""OpenMP's threads spin for 200 ms after a run, and would take the cores from the next engine."""

WARM_UP_SECONDS = 0.2
TURN_SECONDS = 0.6


def bench_warm(
    prepared: Mapping[str, Files | str],
    inputs: Path,
    folder: Path,
    threads: int,
    rounds: int,
    on_turn: Any,
) -> tuple[list[EngineResult], str | None]:
    """Load every engine, then let each run in turn for ``rounds`` rounds.

    ``on_turn(engine)`` is called before each turn: one to load each engine, and one in each round.

    Returns
    -------
    tuple
        A result for each engine of ``prepared``, and the engine whose outputs the others are compared with.
    """
    failures = {engine: files for engine, files in prepared.items() if isinstance(files, str)}
    loads: dict[str, float] = {}
    times: dict[str, list[float]] = {}
    outputs: dict[str, Path] = {}
    with ExitStack() as stack:
        processes: dict[str, EngineProcess] = {}
        for engine, files in prepared.items():
            on_turn(engine)
            if isinstance(files, str):
                continue
            process = stack.enter_context(EngineProcess(engine, folder / f"{engine}.log"))
            result_file = folder / f"{engine}.npz"
            try:
                opened = process.ask(
                    "open", files=files, threads=threads, inputs=str(inputs), outputs=str(result_file)
                )
            except EngineFailedError as error:
                failures[engine] = str(error)
                continue
            processes[engine], loads[engine], outputs[engine] = process, opened["load_seconds"], result_file
            times[engine] = []
        for number in range(rounds):
            names = list(processes)
            shift = number % max(len(names), 1)
            # Each round begins with another engine, so that none always follows the same one.
            for engine in names[shift:] + names[:shift]:
                on_turn(engine)
                sleep(PAUSE_SECONDS)
                try:
                    answer = processes[engine].ask(
                        "run", warm_up_seconds=WARM_UP_SECONDS, seconds=TURN_SECONDS
                    )
                except EngineFailedError as error:
                    failures[engine] = str(error)
                    del processes[engine]
                    continue
                times[engine] += answer["times"]
    reference, differences = compare_engines(outputs)
    results = [
        EngineResult(
            engine,
            tuple(times.get(engine, ())) if engine not in failures else (),
            loads.get(engine),
            failures.get(engine),
            differences.get(engine),
        )
        for engine in prepared
    ]
    return results, reference
