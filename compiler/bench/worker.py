"""The process of one engine: reads commands as JSON lines, and answers each with one.

Commands are ``open``, ``run`` and ``stop``; an answer is ``{"ok": ...}`` or ``{"failed": reason}``.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from paddle_tvm.compiler.array_files import save_arrays
from paddle_tvm.compiler.bench.engines import ENGINES, Run


class _Engine:
    def __init__(self, name: str) -> None:
        self._name = name
        self._arrays: dict[str, Any] = {}
        self._run: Run

    def open(self, files: Mapping[str, str], threads: int, inputs: str, outputs: str) -> dict[str, Any]:
        """Load the model, run it once, and keep what came out."""
        with np.load(inputs, allow_pickle=False) as loaded:
            self._arrays = {name: loaded[name] for name in loaded.files}
        started = perf_counter()
        self._run = ENGINES[self._name](files, threads)
        load_seconds = perf_counter() - started
        results = self._run(self._arrays)
        save_arrays(Path(outputs), {str(index): np.asarray(array) for index, array in enumerate(results)})
        return {"load_seconds": load_seconds}

    def run(self, warm_up_seconds: float, seconds: float) -> dict[str, Any]:
        """Run for about ``seconds`` after a warm-up; at least three runs."""
        _repeat(self._run, self._arrays, warm_up_seconds, at_least=1)
        return {"times": _repeat(self._run, self._arrays, seconds, at_least=3)}


def _repeat(run: Run, arrays: Mapping[str, Any], seconds: float, at_least: int) -> list[float]:
    times: list[float] = []
    end = perf_counter() + seconds
    while len(times) < at_least or perf_counter() < end:
        started = perf_counter()
        run(arrays)
        times.append(perf_counter() - started)
    return times


def serve(name: str) -> None:
    """Answer commands until ``stop`` or the end of the input."""
    # What engines print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    engine = _Engine(name)
    for line in sys.stdin:
        command = json.loads(line)
        action = command.pop("command")
        if action == "stop":
            return
        try:
            answer = {"ok": getattr(engine, action)(**command)}
        except Exception as error:
            traceback.print_exc()
            answer = {"failed": _reason(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" -")]
    telling = [line for line in lines if "Error:" in line or line.startswith("(")]
    return f"{type(error).__name__}: {(telling or lines or ['no message'])[0][:300]}"


if __name__ == "__main__":
    serve(sys.argv[1])
