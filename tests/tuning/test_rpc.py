"""Forms of kernels are timed on machines that a TVM tracker knows."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faulty_kernels import DoublingKernel, faulty
from tvm import rpc

from paddle_tvm.compiler.tuning.messages import Machines
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.rpc import RpcMeasurer, count_machines
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.x86 import x86_target

GOOD = [{"rows": rows} for rows in (1, 2, 4, 8, 16)]
KEY = "loopback"

STATUSES = {
    "raise": ("error", "ValueError: no such form"),
    "abort": ("crash", "killed by SIGABRT: so it goes"),
    "wrong": ("wrong", "error 0.00"),
    "unwritten": ("wrong", "8192 of 16384 values"),
    "crash in a run": ("crash", "the machine hung up"),
    "allocate in a run": ("memory", "bad_alloc"),
    "sleep in a run": ("timeout", "session has expired"),
    "tell the seed": ("error", "ValueError: seed 7"),
}


@contextmanager
def started(module: str, *options: str) -> Iterator[int]:
    """A program of TVM that serves others, with its process group."""
    command = [sys.executable, "-m", f"tvm.exec.{module}", "--host", "127.0.0.1", *options]
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def machine(tracker: int) -> Iterator[int]:
    port = free_port()
    options = [
        "--tracker",
        f"127.0.0.1:{tracker}",
        "--key",
        KEY,
        "--port",
        str(port),
        "--port-end",
        str(port + 1),
    ]
    with started("rpc_server", *options) as group:
        yield group


def wait_for_machines(tracker: int, count: int) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            found = count_machines(Machines("127.0.0.1", tracker, KEY, 0))
        except UsageError:
            found = 0
        if found == count:
            return
        assert time.monotonic() < deadline, f"{found} of {count} machines"
        time.sleep(0.2)


def wait_until_free(tracker: int, count: int) -> None:
    deadline = time.monotonic() + 60
    while rpc.connect_tracker("127.0.0.1", tracker).summary()["queue_info"][KEY]["free"] != count:
        assert time.monotonic() < deadline, f"there are not {count} free machines"
        time.sleep(0.2)


def new_measurer(tracker: int, threads: int = 2, run_limit_s: float = 15.0) -> RpcMeasurer:
    return RpcMeasurer(
        x86_target(),
        threads,
        "127.0.0.1",
        tracker,
        KEY,
        seed=7,
        run_limit_s=run_limit_s,
        memory_limit_bytes=1 << 30,
    )


@pytest.fixture(scope="module")
def tracker() -> Iterator[int]:
    """The port of a tracker that no machine has registered with yet."""
    port = free_port()
    with started("rpc_tracker", "--port", str(port), "--port-end", str(port + 1)):
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the tracker does not start"
                time.sleep(0.2)
        yield port


@pytest.fixture(scope="module")
def machines(tracker: int) -> Iterator[int]:
    """The port of a tracker that knows two machines."""
    with machine(tracker), machine(tracker):
        wait_for_machines(tracker, 2)
        yield tracker


@pytest.fixture(scope="module")
def measurer(machines: int) -> Iterator[RpcMeasurer]:
    with new_measurer(machines) as measurer:
        yield measurer


@pytest.fixture(scope="module")
def outcomes(measurer: RpcMeasurer) -> list[Outcome]:
    """Of good forms and of all with faults, mixed."""
    return list(measurer.measure(DoublingKernel(), [*GOOD[:2], *map(faulty, STATUSES), *GOOD[2:]]))


def test_no_tracker() -> None:
    port = free_port()
    with pytest.raises(UsageError, match=f"no TVM tracker answers at 127.0.0.1:{port}"):
        new_measurer(port)


def test_no_machine_with_the_key(tracker: int) -> None:
    with pytest.raises(UsageError, match="has no machine with the key 'another'"):
        RpcMeasurer(x86_target(), 2, "127.0.0.1", tracker, "another")


def test_good_forms_are_timed_whatever_the_others_do(outcomes: list[Outcome]) -> None:
    assert len(outcomes) == len(GOOD) + len(STATUSES)
    good = [outcome for outcome in outcomes if outcome.config in GOOD]
    assert [outcome.status for outcome in good] == ["ok"] * len(GOOD)
    assert all(min(outcome.seconds) > 0 for outcome in good)


@pytest.mark.parametrize("fault", STATUSES)
def test_the_outcome_says_what_went_wrong(outcomes: list[Outcome], fault: str) -> None:
    (outcome,) = [outcome for outcome in outcomes if outcome.config == faulty(fault)]
    status, detail = STATUSES[fault]
    assert outcome.status == status
    assert detail in outcome.detail


def test_machines_outlive_forms_that_crash(machines: int, outcomes: list[Outcome]) -> None:
    assert count_machines(Machines("127.0.0.1", machines, KEY, 0)) == 2


def test_machines_are_free_as_soon_as_the_tuner_is_gone(machines: int) -> None:
    with new_measurer(machines, run_limit_s=600) as measurer:
        outcomes = measurer.measure(DoublingKernel(), [GOOD[0], *[faulty("sleep in a run")] * 3])
        assert next(outcomes).status == "ok"
        wait_until_free(machines, 0)
        outcomes.close()
        wait_until_free(machines, 2)


def test_comparing_takes_turns_at_each_number_of_threads(measurer: RpcMeasurer) -> None:
    forms = [GOOD[0], faulty("wrong"), faulty("raise"), GOOD[1]]
    compared = measurer.compare(DoublingKernel(), forms, threads=[1, 2], rounds=4)
    assert list(compared) == [1, 2]
    for outcomes in compared.values():
        assert [outcome.config for outcome in outcomes] == forms
        assert [outcome.status for outcome in outcomes] == ["ok", "wrong", "error", "ok"]
        assert [len(outcome.seconds) for outcome in outcomes] == [4, 0, 0, 4]


@pytest.mark.parametrize(("threads", "status"), [(1, "timeout"), (2, "ok")])
def test_parallel_loops_have_the_threads_that_were_asked_for(
    tmp_path: Path, machines: int, threads: int, status: str
) -> None:
    os.mkfifo(tmp_path / "fifo")
    with new_measurer(machines, threads) as measurer:
        kernel = DoublingKernel(fifo=str(tmp_path / "fifo"))
        (outcome,) = measurer.measure(kernel, [faulty("need two threads")])
    assert outcome.status == status, outcome.detail


def test_a_machine_that_is_lost_is_made_up_for_by_another(tracker: int, machines: int) -> None:
    with machine(tracker) as group:
        wait_for_machines(tracker, 3)
        with new_measurer(tracker) as measurer:
            outcomes = measurer.measure(DoublingKernel(), GOOD * 2)
            told = [next(outcomes)]
            os.killpg(group, signal.SIGKILL)
            told += outcomes
    assert len(told) == 2 * len(GOOD)
    # What ran there at that moment is lost.
    assert sum(outcome.status == "ok" for outcome in told) >= 2 * len(GOOD) - 1
    assert all(outcome.status in ("ok", "crash", "error") for outcome in told)
    wait_for_machines(tracker, 2)
