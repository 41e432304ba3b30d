"""The whole suite: one workload after the other, each kept as soon as it is measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from paddle_tvm.compiler.array_files import replacing
from paddle_tvm.compiler.bench.suite.machine import describe_machine
from paddle_tvm.compiler.bench.suite.measure import SuiteSettings, Watcher, measure_workload, planned_seconds
from paddle_tvm.compiler.bench.suite.result import SuiteResult, WorkloadResult
from paddle_tvm.compiler.bench.suite.saved_models import recipe
from paddle_tvm.compiler.bench.suite.workloads import Workload
from paddle_tvm.compiler.staging import scratch_directory


class SuiteWatcher(Watcher, Protocol):
    """Told what happens, and what is done."""

    def plan(self, seconds: float) -> None:
        """About how long it will take."""

    def finished(self, workload: Workload, result: WorkloadResult, kept: bool) -> None:
        """A workload is done, or an earlier run's result was kept."""


def run_suite(
    workloads: Sequence[Workload], settings: SuiteSettings, output: Path, resume: bool, watcher: SuiteWatcher
) -> SuiteResult:
    """Measure workloads, and keep each in ``output/models`` as it is done.

    Parameters
    ----------
    workloads, settings
        What and how.
    output
        A folder, which is made.
    resume
        Whether to take results that are there already, of the same settings on the same machine: those in
        which all of ours ran and nothing was disturbed.
    watcher
        Told of the progress.

    Returns
    -------
    SuiteResult
        With what was measured so far where a KeyboardInterrupt ended it.
    """
    kept_in = output / "models"
    kept_in.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    # The date and the load differ from run to run.
    lasting = {name: value for name, value in machine.items() if name not in ("date", "load before")}
    identity = {"settings": settings.as_json(), "machine": lasting, "models": recipe()}
    kept = {
        workload.name: result
        for workload in workloads
        if resume and (result := _read(kept_in / f"{workload.name}.json", identity)) is not None
    }
    watcher.plan(planned_seconds(settings) * (len(workloads) - len(kept)))
    results: list[WorkloadResult] = []
    interrupted = False
    for workload in workloads:
        if workload.name in kept:
            results.append(kept[workload.name])
            watcher.finished(workload, kept[workload.name], kept=True)
            continue
        result = WorkloadResult(workload.name, workload.title, workload.shapes)
        results.append(result)
        try:
            with scratch_directory("paddle-tvm-suite") as folder:
                measure_workload(workload, settings, folder, result, watcher)
        except KeyboardInterrupt:
            interrupted = True
            break
        if result.complete:
            _write(kept_in / f"{workload.name}.json", {"identity": identity, "result": result.as_json()})
        watcher.finished(workload, result, kept=False)
    return SuiteResult(results, settings.as_json(), machine, len(workloads), interrupted)


def _read(path: Path, identity: dict[str, Any]) -> WorkloadResult | None:
    try:
        content = json.loads(path.read_text())
        if content["identity"] != identity:
            return None
        result = WorkloadResult.from_json(content["result"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        # Something else, or half of it: then it is measured anew.
        return None
    # What failed of ours may have been repaired since, and the machine may be quieter.
    return None if result.failures_of_ours() or result.disturbed else result


def _write(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as file:
        file.write((json.dumps(content) + "\n").encode())
