"""Forms of kernels are timed whatever they do, and what they do is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from faulty_kernels import FAULTS, Doubling, DoublingKernel, faulty

from paddle_tvm.compiler.tuning.measure import Measurer, _Died, _Server
from paddle_tvm.compiler.tuning.messages import Answer
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.targets.x86 import x86_target

GOOD = [{"rows": rows} for rows in (1, 2, 4, 8, 16)]

STATUSES = {
    "abort": ("crash", "killed by SIGABRT: so it goes"),
    "read nothing": ("crash", "killed by SIGSEGV"),
    "exit": ("crash", "ended with code 3"),
    "sleep": ("timeout", "took longer than 20 s to build"),
    "allocate": ("memory", "MemoryError: Unable to allocate 64.0 GiB"),
    "raise": ("error", "ValueError: no such form"),
    "print without end": ("error", "File too large"),
    "end the server": ("crash", "ends who measures it"),
    "other inputs": ("wrong", "error 2 against the default form; 0.000"),
    "wrong": ("wrong", "error 0.00"),
    "zero for NaN": ("wrong", "1 of 16384 values is not NaN or infinite as the default form's are"),
    "unwritten": ("wrong", "8192 of 16384 values are not NaN or infinite as the default form's are"),
    "crash in a run": ("crash", "killed by SIGSEGV"),
    "sleep in a run": ("timeout", "took longer than 20 s to run"),
    "allocate in a run": ("memory", "bad_alloc"),
    "tell the seed": ("error", "ValueError: seed 7"),
}


def new_measurer(threads: int = 2, run_limit_s: float = 20.0) -> Measurer:
    return Measurer(
        x86_target(), threads, seed=7, build_limit_s=20, run_limit_s=run_limit_s, memory_limit_bytes=1 << 30
    )


@pytest.fixture(scope="module")
def measurer() -> Iterator[Measurer]:
    with new_measurer() as measurer:
        yield measurer


@pytest.fixture(scope="module")
def outcomes(measurer: Measurer) -> list[Outcome]:
    """Of good forms and of all with faults, mixed."""
    forms = [faulty(fault) for fault in STATUSES]
    return list(measurer.measure(DoublingKernel(), [*GOOD[:2], *forms, *GOOD[2:]]))


def test_every_form_has_one_outcome(outcomes: list[Outcome]) -> None:
    told = [outcome.config for outcome in outcomes]
    assert len(told) == len(STATUSES) + len(GOOD)
    assert all(config in told for config in [*GOOD, *map(faulty, STATUSES)])


def test_good_forms_are_timed_whatever_the_others_do(outcomes: list[Outcome]) -> None:
    good = [outcome for outcome in outcomes if outcome.config in GOOD]
    assert {outcome.status for outcome in good} == {"ok"}
    assert all(2 <= len(outcome.seconds) <= 3 and min(outcome.seconds) > 0 for outcome in good)


@pytest.mark.parametrize("fault", STATUSES)
def test_the_outcome_says_what_went_wrong(outcomes: list[Outcome], fault: str) -> None:
    (outcome,) = [outcome for outcome in outcomes if outcome.config == faulty(fault)]
    status, detail = STATUSES[fault]
    assert outcome.status == status
    assert detail in outcome.detail
    assert outcome.seconds == ()


def test_the_same_form_twice_has_two_outcomes(measurer: Measurer) -> None:
    outcomes = list(measurer.measure(DoublingKernel(), [GOOD[0], GOOD[0], faulty("wrong"), GOOD[0]]))
    assert sorted((outcome.status, outcome.config == GOOD[0]) for outcome in outcomes) == [
        ("ok", True),
        ("ok", True),
        ("ok", True),
        ("wrong", False),
    ]


def test_nothing_to_measure(measurer: Measurer) -> None:
    assert list(measurer.measure(DoublingKernel(), [])) == []


def test_a_default_form_that_fails_leaves_nothing_to_compare_with(measurer: Measurer) -> None:
    kernel = DoublingKernel(Doubling("abort"))
    for outcome in measurer.measure(kernel, GOOD[:2]):
        assert outcome.status == "unchecked"
        assert (
            outcome.detail
            == "the default form, to compare with, failed (crash): killed by SIGABRT: so it goes"
        )


def test_comparing_takes_turns_at_each_number_of_threads(measurer: Measurer) -> None:
    forms = [GOOD[0], faulty("wrong"), faulty("raise"), GOOD[1]]
    compared = measurer.compare(DoublingKernel(), forms, threads=[1, 2], rounds=4)
    assert list(compared) == [1, 2]
    for outcomes in compared.values():
        assert [outcome.config for outcome in outcomes] == forms
        assert [outcome.status for outcome in outcomes] == ["ok", "wrong", "error", "ok"]
        assert [len(outcome.seconds) for outcome in outcomes] == [4, 0, 0, 4]


@pytest.mark.parametrize(("threads", "status"), [(1, "timeout"), (2, "ok")])
def test_parallel_loops_have_the_threads_that_were_asked_for(
    tmp_path: Path, threads: int, status: str
) -> None:
    os.mkfifo(tmp_path / "fifo")
    with new_measurer(threads, run_limit_s=10) as measurer:
        kernel = DoublingKernel(fifo=str(tmp_path / "fifo"))
        (outcome,) = measurer.measure(kernel, [faulty("need two threads")])
    assert outcome.status == status, outcome.detail


def test_what_is_not_waited_for_is_ended(measurer: Measurer) -> None:
    outcomes = measurer.measure(DoublingKernel(), [*GOOD * 10, *[faulty("sleep")] * 10])
    assert next(outcomes).status == "ok"
    before = descendants(os.getpid())
    outcomes.close()
    wait_until(lambda: not any(map(is_alive, before)))
    assert [outcome.status for outcome in measurer.measure(DoublingKernel(), GOOD[:1])] == ["ok"]


def test_no_measurement_is_lost_when_the_server_is_killed() -> None:
    forms = GOOD * 2
    with new_measurer() as measurer:
        outcomes = measurer.measure(DoublingKernel(), forms)
        told = [next(outcomes)]
        for child in direct_children(os.getpid()):
            if is_server(child):
                os.kill(child, signal.SIGKILL)
        told += outcomes
    assert len(told) == len(forms)
    assert {outcome.status for outcome in told} == {"ok"}


def test_two_measure_at_once(measurer: Measurer) -> None:
    with new_measurer() as other, ThreadPoolExecutor(2) as executor:
        runs = [
            executor.submit(lambda one: list(one.measure(DoublingKernel(), GOOD)), one)
            for one in (measurer, other)
        ]
        for run in runs:
            assert [outcome.status for outcome in run.result()] == ["ok"] * len(GOOD)


TUNER = """
from faulty_kernels import DoublingKernel, faulty
from paddle_tvm.compiler.tuning.measure import Measurer
from paddle_tvm.targets.x86 import x86_target

with Measurer(x86_target(), 2) as measurer:
    for outcome in measurer.measure(DoublingKernel(), [{"rows": 1}, *[faulty("%s")] * 3]):
        print(outcome.status, flush=True)
"""


@pytest.mark.parametrize("fault", ["sleep", "sleep in a run"])
def test_a_killed_tuner_leaves_neither_processes_nor_files(tmp_path: Path, fault: str) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": path}
    tuner = subprocess.Popen(
        [sys.executable, "-c", TUNER % fault], cwd=tmp_path, env=environment, stdout=subprocess.PIPE
    )
    try:
        # The server and the children that it builds with.
        wait_until(lambda: len(descendants(tuner.pid)) >= 2)
        if fault == "sleep in a run":
            assert tuner.stdout is not None
            assert tuner.stdout.readline() == b"ok\n"
        started = descendants(tuner.pid)
    finally:
        tuner.kill()
        tuner.communicate()
    wait_until(lambda: not any(map(is_alive, started)))
    assert list(tmp_path.iterdir()) == []


def test_a_comparison_whose_server_is_killed_twice_has_no_times(
    measurer: Measurer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(_: _Server, request: object) -> Iterator[Answer]:
        raise _Died("it ended with code -9")

    with monkeypatch.context() as patched:
        patched.setattr(_Server, "ask", ask)
        compared = measurer.compare(DoublingKernel(), GOOD[:2], threads=[2, 1], rounds=1)
    assert [[outcome.status for outcome in compared[count]] for count in (2, 1)] == [["crash"] * 2] * 2
    assert "died twice" in compared[1][0].detail
    assert measurer.compare(DoublingKernel(), GOOD[:1], threads=[1], rounds=1)[1][0].status == "ok"


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    with new_measurer() as measurer, pytest.raises(RuntimeError, match=r"does not start[^$]*No module named"):
        list(measurer.measure(DoublingKernel(), GOOD))


def parents() -> dict[int, int]:
    """The parent of each process that is alive."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and is_alive(int(entry.name)):
            try:
                found[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    return found


def direct_children(pid: int) -> list[int]:
    return [child for child, parent in parents().items() if parent == pid]


def descendants(pid: int) -> list[int]:
    children = direct_children(pid)
    return [*children, *(one for child in children for one in descendants(child))]


def is_alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def is_server(pid: int) -> bool:
    return b"fork_server" in Path(f"/proc/{pid}/cmdline").read_bytes()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.05)


def test_every_fault_is_tried() -> None:
    assert {*STATUSES, "need two threads"} == set(FAULTS)
