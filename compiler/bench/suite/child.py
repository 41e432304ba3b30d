"""Runs one step of the suite in a process of its own, which may crash or hang without ending the suite."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

_GRACE_SECONDS = 5.0


class StepFailedError(Exception):
    """A step ended badly or not in time; the message is its reason."""


class Finished(NamedTuple):
    """What a step wrote to standard output, and its wall time."""

    output: str
    seconds: float


def run_step(command: Sequence[str], log: Path, time_limit: float) -> Finished:
    """Run a command; what it writes to standard error goes to ``log``.

    Raises
    ------
    StepFailedError
        It exits with something else than 0, or takes longer than ``time_limit`` seconds.
    """
    started = perf_counter()
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            errors="replace",
            env={**os.environ, "GLOG_minloglevel": "2"},
            # A group of its own, so that what it starts ends with it.
            start_new_session=True,
        ) as process,
    ):
        try:
            output, _ = process.communicate(timeout=time_limit)
        except subprocess.TimeoutExpired:
            _end(process)
            raise StepFailedError(f"not finished within {time_limit:.0f} s, and stopped") from None
        except BaseException:
            _end(process)
            raise
        seconds = perf_counter() - started
    if process.returncode != 0:
        raise StepFailedError(_reason(process.returncode, log))
    return Finished(output, seconds)


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        # Politely first: it may have temporary files to remove.
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)


def _reason(status: int, log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith("error:") or "Error:" in line]
    said = (telling or lines or ["it says nothing"])[-1].removeprefix("error: ")[:400]
    return said if status > 0 else f"killed by {signal.Signals(-status).name}: {said}"
