"""Starts the process of an engine and talks to it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any


class EngineFailedError(Exception):
    """An engine cannot run the model; the message is its own reason."""


class EngineProcess:
    """A living worker; use it as a context, so that none stays behind."""

    def __init__(self, engine: str, log: Path, time_limit: float) -> None:
        self.engine = engine
        self._log = log
        self._time_limit = time_limit
        self._received = b""
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "paddle_tvm.compiler.bench.worker", engine],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, "GLOG_minloglevel": "2"},
            )

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Send one command and wait for its answer.

        Raises
        ------
        EngineFailedError
            The engine says that it failed, its process died, or it gave no answer in time.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
            line = self._read_line()
        except BrokenPipeError:
            line = b""
        if not line:
            raise EngineFailedError(self._death())
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise EngineFailedError(answer["failed"])
        result: dict[str, Any] = answer["ok"]
        return result

    def _read_line(self) -> bytes:
        """One line of what it writes; empty where it has ended."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        end = monotonic() + self._time_limit
        while b"\n" not in self._received:
            if not select.select([descriptor], [], [], max(end - monotonic(), 0))[0]:
                self._process.kill()
                raise EngineFailedError(f"it gave no answer within {self._time_limit:.0f} s and was stopped")
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                return b""
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return line

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
