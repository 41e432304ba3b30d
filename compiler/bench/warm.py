"""Times engines that are loaded and warm, in rounds that take turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from paddle_tvm.compiler.bench.disturbance import Others
from paddle_tvm.compiler.bench.idle import cpu_seconds, wait_until_asleep
from paddle_tvm.compiler.bench.model_files import Files
from paddle_tvm.compiler.bench.process import EngineFailedError, EngineProcess
from paddle_tvm.compiler.bench.result import EngineResult, compare_engines

SLEEP_LIMIT_SECONDS = 5.0
"""An engine whose threads still run after this is reported, and no longer waited for."""

WARM_UP_SECONDS = 0.2
TURN_SECONDS = 0.6


def bench_warm(
    prepared: Mapping[str, Files | str],
    inputs: Path,
    folder: Path,
    threads: int,
    rounds: int,
    time_limit: float,
    on_turn: Callable[[str], None],
) -> tuple[list[EngineResult], str | None]:
    """Load every engine, then let each run in turn for ``rounds`` rounds.

    Parameters
    ----------
    prepared
        Files of each engine, or why it has none. ``ours:dynamic`` and the like are ours in another form.
    inputs, folder
        The .npz file that all are fed, and where logs and outputs are written.
    time_limit
        Seconds within which an engine must have loaded the model, or finished a turn.
    on_turn
        Called with the engine before each turn: one to load each engine, and one in each round.

    Returns
    -------
    tuple
        A result for each engine of ``prepared``, and the engine whose outputs the others are compared with.
    """
    failures = {engine: files for engine, files in prepared.items() if isinstance(files, str)}
    loads: dict[str, float] = {}
    times: dict[str, list[tuple[float, ...]]] = {}
    disturbances: dict[str, list[float]] = {}
    restless: set[str] = set()
    outputs: dict[str, Path] = {}
    with ExitStack() as stack:
        processes: dict[str, EngineProcess] = {}
        for engine, files in prepared.items():
            on_turn(engine)
            if isinstance(files, str):
                continue
            stem = engine.replace(":", "-")
            kind = engine.partition(":")[0]
            process = stack.enter_context(EngineProcess(kind, folder / f"{stem}.log", time_limit))
            result_file = folder / f"{stem}.npz"
            try:
                opened = process.ask(
                    "open", files=files, threads=threads, inputs=str(inputs), outputs=str(result_file)
                )
            except EngineFailedError as error:
                failures[engine] = str(error)
                continue
            processes[engine], loads[engine], outputs[engine] = process, opened["load_seconds"], result_file
            times[engine], disturbances[engine] = [], []
        for number in range(rounds):
            names = list(processes)
            shift = number % max(len(names), 1)
            # Each round begins with another engine, so that none always follows the same one.
            for engine in names[shift:] + names[:shift]:
                on_turn(engine)
                names_by_pid = {process.pid: name for name, process in processes.items()}
                restless |= {
                    names_by_pid[pid] for pid in wait_until_asleep(names_by_pid, SLEEP_LIMIT_SECONDS)
                }
                try:
                    counted, disturbance = _turn(processes[engine])
                except EngineFailedError as error:
                    failures[engine] = str(error)
                    del processes[engine]
                    continue
                times[engine].append(counted)
                disturbances[engine].append(disturbance)
    reference, differences = compare_engines(
        {engine: path for engine, path in outputs.items() if engine not in failures}
    )
    results = [
        EngineResult(engine, failure=failures[engine])
        if engine in failures
        else EngineResult(
            engine,
            tuple(times[engine]),
            loads[engine],
            difference=differences.get(engine),
            disturbance=median(disturbances[engine]),
            restless=engine in restless,
        )
        for engine in prepared
    ]
    return results, reference


def _turn(process: EngineProcess) -> tuple[tuple[float, ...], float]:
    """The times of one turn, and how many cores other processes kept busy meanwhile."""
    others = Others(partial(cpu_seconds, process.pid))
    answer = process.ask("run", warm_up_seconds=WARM_UP_SECONDS, seconds=TURN_SECONDS)
    return tuple(answer["times"]), others.cores()
