"""Engines sleep before the next one's turn, and one that hangs or crashes does not end a bench."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

from paddle_tvm.compiler.bench.idle import cpu_seconds, wait_until_asleep
from paddle_tvm.compiler.bench.process import EngineFailedError, EngineProcess
from paddle_tvm.compiler.bench.suite.child import StepFailedError, run_step

# As a library's worker does after a run: it spins in a thread of its own, and then sleeps.
SPIN = """
import threading, time
def spin():
    while time.process_time() < {seconds}:
        pass
thread = threading.Thread(target=spin)
thread.start()
print("spins", flush=True)
thread.join()
time.sleep(600)
"""


@contextmanager
def _spinning(seconds: float) -> Iterator[int]:
    command = [sys.executable, "-c", SPIN.format(seconds=seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"spins\n"
            yield process.pid
        finally:
            process.kill()


def test_a_thread_that_spins_is_waited_for() -> None:
    with _spinning(0.5) as pid:
        assert wait_until_asleep([pid], 60) == []
        assert cpu_seconds(pid) >= 0.4


def test_a_thread_that_never_sleeps_is_named() -> None:
    with _spinning(600) as pid:
        assert wait_until_asleep([pid], 1) == [pid]


def test_a_process_that_has_ended_takes_no_time() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert cpu_seconds(process.pid) == 0
    assert wait_until_asleep([process.pid], 60) == []


def test_an_engine_that_hangs_is_stopped(tmp_path: Path) -> None:
    with EngineProcess("ours", tmp_path / "log", time_limit=1) as process:
        process._process.send_signal(signal.SIGSTOP)
        with pytest.raises(EngineFailedError, match="no answer within 1 s"):
            process.ask("run", warm_up_seconds=0, seconds=0)


def test_an_engine_that_is_killed_is_named_with_its_signal(tmp_path: Path) -> None:
    with EngineProcess("ours", tmp_path / "log", time_limit=60) as process:
        process._process.kill()
        process._process.wait()
        with pytest.raises(EngineFailedError, match="killed by signal 9"):
            process.ask("run", warm_up_seconds=0, seconds=0)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import time; time.sleep(600)", "not finished within 1 s"),
        ("import os; os.abort()", "killed by SIGABRT"),
        ("raise ValueError('no such model')", "ValueError: no such model"),
    ],
)
def test_a_step_that_fails_has_a_reason(tmp_path: Path, source: str, reason: str) -> None:
    limit = 1 if "sleep" in source else 60
    with pytest.raises(StepFailedError, match=reason):
        run_step([sys.executable, "-c", source], tmp_path / "log", limit)


def test_what_a_step_started_ends_with_it(tmp_path: Path) -> None:
    source = (
        "import subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    with pytest.raises(StepFailedError):
        run_step([sys.executable, "-c", source], tmp_path / "log", 3)
    status = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    # Its parent is gone, so that it may stay a while as a zombie; and on a busy machine as one that has not
    # been given a core to die on yet.
    end = monotonic() + 30
    while _is_alive(status) and monotonic() < end:
        sleep(0.02)
    assert not _is_alive(status)


def _is_alive(status: Path) -> bool:
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
