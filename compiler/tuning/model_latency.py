"""Times a whole model in its default forms and in those of a log, in turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from paddle_tvm.compiler.bench.model_files import Files
from paddle_tvm.compiler.bench.warm import bench_warm

DEFAULT, TUNED = "ours:default", "ours:tuned"
_ROUNDS = 5
_TIME_LIMIT = 300.0


def compare_artifacts(
    default: Path, tuned: Path, inputs: Path, folder: Path, threads: Sequence[int]
) -> tuple[Mapping[int, float], Mapping[int, float]]:
    """Latencies of two artifacts of a model.

    Parameters
    ----------
    default, tuned
        The artifacts.
    inputs
        What they run on: a .npz file.
    folder
        For logs and outputs.
    threads
        The numbers of threads to run with.

    Returns
    -------
    tuple
        Median seconds of a run by number of threads, of the first and of the second.

    Raises
    ------
    RuntimeError
        One of them does not run.
    """
    prepared: dict[str, Files | str] = {
        DEFAULT: {"artifact": str(default)},
        TUNED: {"artifact": str(tuned)},
    }
    seconds: dict[str, dict[int, float]] = {DEFAULT: {}, TUNED: {}}
    for count in threads:
        results, _ = bench_warm(prepared, inputs, folder, count, _ROUNDS, _TIME_LIMIT, lambda _: None)
        for result in results:
            if result.failure is not None or result.median is None:
                raise RuntimeError(f"the compiled model does not run: {result.failure}")
            seconds[result.engine][count] = result.median
    return seconds[DEFAULT], seconds[TUNED]
