"""Starts the process of an engine and talks to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class EngineFailedError(Exception):
    """An engine cannot run the model; the message is its own reason."""


class EngineProcess:
    """A living worker; use it as a context, so that none stays behind."""

    def __init__(self, engine: str, log: Path) -> None:
        self.engine = engine
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "paddle_tvm.compiler.bench.worker", engine],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, "GLOG_minloglevel": "2"},
            )

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Send one command and wait for its answer.

        Raises
        ------
        EngineFailedError
            The engine says that it failed, or its process died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise EngineFailedError(self._death())
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise EngineFailedError(answer["failed"])
        result: dict[str, Any] = answer["ok"]
        return result

    def _death(self) -> str:
        status = self._process.wait()
        lines = self._log.read_text(errors="replace").strip().splitlines()
        how = f"killed by signal {-status}" if status < 0 else f"exited with {status}"
        return f"its process was {how}" + (f": {lines[-1][:300]}" if lines else "")

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    # What it did not read before it was killed.
                    continue
