"""Times whole processes: from their start to the first result, with the model's files in the page cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.resources import files as package_files
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter, process_time
from typing import Any, NamedTuple

from paddle_tvm.compiler.bench.disturbance import Others
from paddle_tvm.compiler.bench.model_files import Files
from paddle_tvm.compiler.bench.result import EngineResult


def bare_command(engine: str, threads: int, inputs: Path, files: Files) -> list[str]:
    """The command line of a process that has an engine in it and nothing else; see ``engines.run_once``."""
    # Given as text: run as a module of ours, it would import more than the engine.
    source = package_files(__package__).joinpath("engines.py").read_text(encoding="utf-8")
    return [sys.executable, "-c", source, engine, str(threads), str(inputs), json.dumps(files)]


def bench_cold(
    prepared: Mapping[str, Files | str],
    inputs: Path,
    folder: Path,
    threads: int,
    rounds: int,
    on_turn: Any,
) -> list[EngineResult]:
    """Start every engine's process once for each round, in turns, after one that is not counted."""
    failures = {engine: files for engine, files in prepared.items() if isinstance(files, str)}
    starts: dict[str, list[_Start]] = {engine: [] for engine in prepared}
    for number in range(rounds + 1):
        for engine, files in prepared.items():
            on_turn(engine)
            if engine in failures or isinstance(files, str):
                continue
            command = bare_command(engine, threads, inputs, files)
            start, failure = _time_first_result(command, folder / f"{engine}.log")
            if failure is not None:
                failures[engine] = failure
            elif number:
                starts[engine].append(start)
    return [
        EngineResult(engine, failure=failures[engine])
        if engine in failures
        else EngineResult(
            engine,
            tuple((start.seconds,) for start in starts[engine]),
            # One start is too short for the hundredths of a second that the system counts in.
            disturbance=max(
                sum(start.others for start in starts[engine]) / sum(start.wall for start in starts[engine]),
                0.0,
            ),
        )
        for engine in prepared
    ]


class _Start(NamedTuple):
    """Seconds to the first result; CPU time of other processes, and wall time, until the process was gone."""

    seconds: float
    others: float
    wall: float


def _time_first_result(command: list[str], log: Path) -> tuple[_Start, str | None]:
    others = Others(_own_seconds)
    seconds = 0.0
    with log.open("wb") as stderr:
        started = perf_counter()
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, "GLOG_minloglevel": "2"},
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("first result"):
                    seconds = perf_counter() - started
                    process.kill()
                    break
    start = _Start(seconds, *others.seconds())
    if seconds:
        return start, None
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return start, lines[-1][:300] if lines else f"its process exited with {process.returncode}"


def _own_seconds() -> float:
    """CPU time of this process, and of those that it started and that have ended."""
    children = getrusage(RUSAGE_CHILDREN)
    return process_time() + children.ru_utime + children.ru_stime
