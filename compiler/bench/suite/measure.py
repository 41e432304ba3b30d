"""Everything that is measured of one workload, step by step."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from paddle_tvm.compiler.array_files import save_arrays
from paddle_tvm.compiler.bench.cold import bare_command
from paddle_tvm.compiler.bench.model_files import Files, prepare_files
from paddle_tvm.compiler.bench.suite.child import StepFailedError, run_step
from paddle_tvm.compiler.bench.suite.result import OURS, TITLES, Form, Memory, Row, WorkloadResult
from paddle_tvm.compiler.bench.suite.saved_models import model_to_convert, saved_model
from paddle_tvm.compiler.bench.suite.workloads import Workload
from paddle_tvm.compiler.bench.warm import bench_warm
from paddle_tvm.runtime.wording import counted

DYNAMIC = f"{OURS}:dynamic"
UNTUNED = f"{OURS}:untuned"

_COMMAND = "from paddle_tvm.compiler.cli.main import main; main()"

# Seconds that a step takes, more or less: what the progress bar counts in.
_SAVE, _COMPILE, _CONVERT, _TURN, _MEMORY = 5.0, 25.0, 5.0, 1.3, 4.0


@dataclass(frozen=True)
class SuiteSettings:
    """How to measure.

    Attributes
    ----------
    threads
        Numbers of threads, each of which gives a row.
    rounds
        Turns of each engine in a row.
    peers
        The other engines.
    dynamic
        Whether to time ours with the model's dynamic dimensions left dynamic as well.
    untuned
        Whether to time ours without tuning records as well.
    mcpus
        CPUs that further forms of ours are compiled for.
    seed
        Of the random input.
    time_limit
        Seconds that any one step may take.
    cache
        Where saved models are kept.
    """

    threads: tuple[int, ...]
    rounds: int
    peers: tuple[str, ...]
    dynamic: bool
    untuned: bool
    mcpus: tuple[str, ...]
    seed: int
    time_limit: float
    cache: Path

    @property
    def forms(self) -> tuple[str, ...]:
        """Ours, by the names that they have in results."""
        return (
            OURS,
            *([DYNAMIC] if self.dynamic else []),
            *([UNTUNED] if self.untuned else []),
            *(f"{OURS}:{mcpu}" for mcpu in self.mcpus),
        )

    def as_json(self) -> dict[str, Any]:
        """What decides the numbers."""
        return {
            "threads": list(self.threads),
            "rounds": self.rounds,
            "engines": [*self.forms, *self.peers],
            "seed": self.seed,
        }


class Watcher(Protocol):
    """Told what happens."""

    def phase(self, workload: Workload, what: str) -> None:
        """Something begins."""

    def advance(self, seconds: float) -> None:
        """A part is done that was planned with so many seconds."""


def planned_seconds(settings: SuiteSettings) -> float:
    """About what one workload takes; the sum of what ``measure_workload`` advances by."""
    engines = len(settings.forms) + len(settings.peers)
    turns = len(settings.threads) * engines * (settings.rounds + 1)
    memory = 1 + len(settings.peers)
    return _SAVE + _COMPILE * len(settings.forms) + _CONVERT + _TURN * turns + _MEMORY * memory


def measure_workload(
    workload: Workload, settings: SuiteSettings, folder: Path, result: WorkloadResult, watcher: Watcher
) -> None:
    """Build, compile, convert, time and weigh one workload.

    Parameters
    ----------
    workload, settings
        What and how.
    folder
        An empty folder for files that are not kept.
    result
        Filled bit by bit, so that an interruption leaves what was measured; ``complete`` at the end.
    """
    watcher.phase(workload, "model")
    try:
        model = saved_model(workload.model, settings.cache, folder / "save.log", settings.time_limit)
    except StepFailedError as error:
        result.failure = str(error)
        watcher.advance(planned_seconds(settings))
        return
    watcher.advance(_SAVE)
    prepared: dict[str, Files | str] = {}
    for form in settings.forms:
        watcher.phase(workload, f"compile {form}")
        result.forms[form] = _compile(form, model, workload, folder, settings.time_limit)
        failure = result.forms[form].failure
        prepared[form] = {"artifact": str(_artifact(folder, form))} if failure is None else failure
        watcher.advance(_COMPILE)
    if settings.peers:
        watcher.phase(workload, "convert")
        prepared |= prepare_files(model, settings.peers, folder, workload.shapes, model_to_convert(model))
    watcher.advance(_CONVERT)
    inputs = folder / "inputs.npz"
    save_arrays(inputs, workload.random_inputs(settings.seed))
    for threads in settings.threads:
        count = counted(threads, "thread")

        def on_turn(engine: str, count: str = count) -> None:
            watcher.phase(workload, f"{count}, {TITLES.get(engine, engine)}")
            watcher.advance(_TURN)

        engines, reference = bench_warm(
            prepared, inputs, folder, threads, settings.rounds, settings.time_limit, on_turn
        )
        result.rows.append(Row(threads, {engine.engine: engine for engine in engines}, reference))
    for engine in (OURS, *settings.peers):
        watcher.phase(workload, f"memory of {TITLES.get(engine, engine)}")
        result.memory[engine] = _memory(engine, prepared, inputs, folder, settings)
        watcher.advance(_MEMORY)
    result.complete = True


def _artifact(folder: Path, form: str) -> Path:
    return folder / f"{form.replace(':', '-')}.pdtvm"


def _compile(form: str, model: Path, workload: Workload, folder: Path, time_limit: float) -> Form:
    arguments = ["compile", str(model), "-o", str(_artifact(folder, form)), "--json"]
    if form != DYNAMIC:
        for name, shape in workload.shapes.items():
            arguments += ["--shape", f"{name}={','.join(map(str, shape))}"]
    if form == UNTUNED:
        arguments.append("--no-tuning-logs")
    elif form not in (OURS, DYNAMIC):
        arguments += ["--mcpu", form.partition(":")[2]]
    try:
        finished = run_step([sys.executable, "-c", _COMMAND, *arguments], folder / "compile.log", time_limit)
    except StepFailedError as error:
        return Form(failure=str(error))
    # Paddle may have written something of its own first.
    content = json.loads(finished.output[finished.output.index("{") :])
    return Form(finished.seconds, content["artifact_bytes"], content["variants"][0]["kernels"])


def _memory(
    engine: str,
    prepared: Mapping[str, Files | str],
    inputs: Path,
    folder: Path,
    settings: SuiteSettings,
) -> Memory:
    files = prepared[engine]
    if isinstance(files, str):
        return Memory(failure=files)
    command = bare_command(engine, max(settings.threads), inputs, files)
    try:
        finished = run_step(command, folder / "memory.log", settings.time_limit)
    except StepFailedError as error:
        return Memory(failure=str(error))
    line = next(line for line in finished.output.splitlines() if line.startswith("memory: "))
    kilobytes = json.loads(line.removeprefix("memory: "))
    return Memory(kilobytes["VmHWM"] * 1024, kilobytes["VmRSS"] * 1024, kilobytes["RssAnon"] * 1024)
