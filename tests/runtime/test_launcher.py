"""The pool of threads: every task runs once, and runs at the same time get no more threads than CPUs."""

from __future__ import annotations

import ctypes
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from paddle_tvm.runtime import Config, create_predictor, ffi, launcher
from paddle_tvm.runtime.ffi import raised

# FTVMParallelLambda of tvm/runtime/c_backend_api.h; its environment is a pointer and the number of tasks.
LAMBDA = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int32), ctypes.c_void_p)
LAUNCH = ctypes.CFUNCTYPE(ctypes.c_int, LAMBDA, ctypes.c_void_p, ctypes.c_int)
# When this file is read, no test has run.
AVAILABLE = os.sched_getaffinity(0)
CPUS = len(AVAILABLE)

Body = Callable[[int, int], int]
Launch = Callable[["int | None", Body], int]


@pytest.fixture
def launch(parallel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Launch]:
    """Launch a Python function, which gets its task and the number of tasks, on up to so many threads.

    None for the threads is a launch within another. The pool is that of a copy of the library, which nothing
    else in this process has used, on all CPUs: TVM binds the threads that call its own pool to one.
    """
    create_predictor(Config(str(parallel)))
    copy = tmp_path / "copy.so"
    shutil.copy(next(parallel.glob("model*.so")), copy)
    pool = launcher._Pool(ctypes.PyDLL(str(copy)))
    native = LAUNCH(pool.launch or 0)
    bound = os.sched_getaffinity(0)
    os.sched_setaffinity(0, AVAILABLE)

    def launch(threads: int | None, body: Body) -> int:
        function = LAMBDA(lambda task, environment, _: body(task, environment[2]))
        call = partial(native, function, None, 0)
        return int(call() if threads is None else pool.call(threads, call))

    launch.pool = pool  # type: ignore[attr-defined]  # For runs that are no loops.
    yield launch
    os.sched_setaffinity(0, bound)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_task_runs_once(launch: Launch, threads: int) -> None:
    for _ in range(200):
        done: list[tuple[int, int]] = []
        assert launch(threads, lambda task, count, done=done: done.append((task, count)) or 0) == 0
        count = min(threads, CPUS)
        assert sorted(done) == [(task, count) for task in range(count)]


def test_tasks_run_at_the_same_time_where_there_are_cpus(launch: Launch) -> None:
    together = threading.Barrier(CPUS)
    seen = set()

    def body(task: int, count: int) -> int:
        seen.add(threading.get_native_id())
        together.wait(30)
        return 0

    assert launch(CPUS, body) == 0
    assert len(seen) == CPUS


def test_one_thread_is_the_callers(launch: Launch) -> None:
    seen = []
    launch(1, lambda task, count: seen.append((threading.get_native_id(), count)) or 0)
    assert seen == [(threading.get_native_id(), 1)]


def test_a_loop_inside_a_task_is_complete_as_well(launch: Launch) -> None:
    inner: list[tuple[int, int, int]] = []

    def body(outer: int, _: int) -> int:
        return launch(None, lambda task, count: inner.append((outer, task, count)) or 0)

    assert launch(CPUS, body) == 0
    for outer in range(CPUS):
        counts = {count for task, _, count in inner if task == outer}
        assert len(counts) == 1
        tasks = sorted(task for number, task, _ in inner if number == outer)
        assert tasks == list(range(counts.pop()))


def test_runs_at_the_same_time_share_the_cpus(launch: Launch) -> None:
    inside, leave = threading.Barrier(CPUS), threading.Event()
    callers = [
        threading.Thread(target=launch.pool.call, args=(1, lambda: (inside.wait(30), leave.wait(30))))
        for _ in range(CPUS - 1)
    ]
    for caller in callers:
        caller.start()
    inside.wait(30)
    counts: list[int] = []
    launch(CPUS, lambda task, count: counts.append(count) or 0)
    leave.set()
    for caller in callers:
        caller.join()
    launch(CPUS, lambda task, count: counts.append(count) or 0)
    assert counts == [1] + [CPUS] * CPUS


def test_an_error_in_a_task_reaches_the_caller(launch: Launch) -> None:
    def fail(task: int, count: int) -> int:
        ffi._library.TVMFFIErrorSetRaisedFromCStr(b"ValueError", b"task %d failed" % task)
        return -1

    for failing in range(CPUS):
        assert (
            launch(CPUS, lambda task, count, failing=failing: fail(task, count) if task == failing else 0)
            == -1
        )
        assert str(raised()) == f"task {failing} failed"
    # Of several errors one is kept, and nothing is left behind.
    assert launch(CPUS, fail) == -1
    assert "failed" in str(raised())
    assert str(raised()) == "native code failed without an error"


def test_callers_come_and_go(launch: Launch) -> None:
    totals: list[int] = []

    def serve() -> None:
        for _ in range(100):
            done: list[int] = []
            launch(CPUS, lambda task, count, done=done: done.append(task) or 0)
            totals.append(len(done) - max(done) - 1)

    callers = [threading.Thread(target=serve) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert totals == [0] * 600
