"""Threads: as many as asked for, wherever the call comes from, and none left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_tvm.runtime import Config, Predictor, PredictorPool, UsageError, create_predictor
from paddle_tvm.runtime.ffi import get_function

ROWS = np.ones((8, 128), "float32")


def predictor_of(path: Path, threads: int) -> Predictor:
    config = Config(str(path))
    config.set_cpu_math_library_num_threads(threads)
    return create_predictor(config)


def check(outputs: list[np.ndarray[Any, Any]] | None) -> None:
    assert outputs is not None
    np.testing.assert_array_equal(outputs[0], np.full((8, 128), 128.0, "float32"))


def os_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def settles(condition: Callable[[], bool]) -> bool:
    """Whether it comes true soon; native threads end a little after Python's."""
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def in_new_process(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


WORKERS = """
import os, sys
import numpy as np
from paddle_tvm.runtime import Config, create_predictor
config = Config(sys.argv[1])
config.set_cpu_math_library_num_threads(int(sys.argv[2]))
predictor = create_predictor(config)
for _ in range(3):
    predictor.run([np.ones((8, 128), "float32")])
tasks = os.listdir("/proc/self/task")
print(sum(open(f"/proc/self/task/{task}/comm").read() == "paddle-tvm\\n" for task in tasks))
"""


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_run_has_the_threads_asked_for_as_far_as_there_are_cpus(parallel: Path, threads: int) -> None:
    workers = int(in_new_process(WORKERS, parallel, threads))
    assert workers == min(threads, len(os.sched_getaffinity(0))) - 1


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_library_of_format_1_runs_on_pools_of_tvm(parallel_on_tvm_pools: Path, threads: int) -> None:
    predictor = predictor_of(parallel_on_tvm_pools, threads)
    count = get_function("runtime.NumThreads")
    used = []

    check(predictor.run([ROWS]))
    native = predictor._state.call

    def call() -> Any:
        used.append(count())
        return native()

    predictor._state.call = call
    check(predictor.run([ROWS]))
    assert used == [threads]


def test_thread_counts_may_change_between_predictors(parallel: Path) -> None:
    for threads in (1, 3, 2, 1):
        check(predictor_of(parallel, threads).run([ROWS]))


def test_the_callers_cpu_affinity_stays(parallel: Path) -> None:
    before = os.sched_getaffinity(0)
    for threads in (1, 2):
        check(predictor_of(parallel, threads).run([ROWS]))
        assert os.sched_getaffinity(0) == before


def test_fewer_than_one_thread_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 thread, got 0"):
        Config().set_cpu_math_library_num_threads(0)


@pytest.mark.parametrize("threads", [1, 2])
def test_short_lived_threads_leave_nothing(parallel: Path, threads: int) -> None:
    predictor = predictor_of(parallel, threads)
    check(predictor.run([ROWS]))
    before = os_threads()
    for _ in range(20):
        thread = threading.Thread(target=lambda: check(predictor.run([ROWS])))
        thread.start()
        thread.join()
    assert settles(lambda: os_threads() <= before)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shared", [True, False])
def test_predictors_in_several_threads(parallel: Path, threads: int, shared: bool) -> None:
    config = Config(str(parallel))
    config.set_cpu_math_library_num_threads(threads)
    pool = PredictorPool(config, 4)
    failures: list[BaseException] = []

    def serve(index: int) -> None:
        predictor = pool.retrieve(0 if shared else index)
        try:
            for n in range(1, 15):
                rows = np.full((n + index, 128), index + 1.0, "float32")
                outputs = predictor.run([rows])
                assert outputs is not None
                np.testing.assert_array_equal(outputs[0], rows * 128)
                if n % 5 == 0:
                    predictor.try_shrink_memory()
        except BaseException as failure:
            failures.append(failure)

    workers = [threading.Thread(target=serve, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


def test_other_threads_go_on_during_a_run(parallel: Path) -> None:
    predictor = predictor_of(parallel, 1)
    rows = np.ones((4000, 128), "float32")
    ended = threading.Event()
    beats: list[float] = []

    def beat() -> None:
        while not ended.is_set():
            beats.append(time.monotonic())
            time.sleep(0.001)

    heart = threading.Thread(target=beat)
    heart.start()
    begin = time.monotonic()
    predictor.run([rows])
    end = time.monotonic()
    ended.set()
    heart.join()
    assert sum(begin < moment < end for moment in beats) > 1


FORK = """
import os, sys, threading
import numpy as np
from paddle_tvm.runtime import Config, create_predictor
config = Config(sys.argv[1])
config.set_cpu_math_library_num_threads(int(sys.argv[2]))
predictor = create_predictor(config)
rows = np.ones((8, 128), "float32")
predictor.run([rows])
child = os.fork()
total = float(predictor.run([rows])[0].sum())
os.write(1, f"{total}\\n".encode())
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_parent_and_child_run_after_a_fork(parallel: Path, parallel_on_tvm_pools: Path, threads: int) -> None:
    for artifact in (parallel, parallel_on_tvm_pools):
        assert in_new_process(FORK, artifact, threads).split() == [str(8 * 128 * 128.0)] * 2


FORK_WHILE_RUNNING = """
import os, sys, threading
import numpy as np
from paddle_tvm.runtime import Config, PaddleTvmError, create_predictor
predictor = create_predictor(Config(sys.argv[1]))
rows = np.ones((8, 128), "float32")
predictor.run([rows])
running, go_on = threading.Event(), threading.Event()
call = predictor._state.call
def slow():
    running.set()
    go_on.wait()
    return call()
predictor._state.call = slow
thread = threading.Thread(target=predictor.run)
thread.start()
running.wait()
child = os.fork()
if not child:
    try:
        predictor.run([rows])
    except PaddleTvmError as error:
        print(error, flush=True)
        os._exit(0)
    os._exit(1)
go_on.set()
thread.join()
assert os.waitpid(child, 0)[1] == 0
"""


def test_a_child_forked_during_a_run_is_told(parallel: Path) -> None:
    assert "forked while the predictor ran" in in_new_process(FORK_WHILE_RUNNING, parallel)


INTERRUPTED = """
import os, signal, sys, threading
# Shells have what they start in the background ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np
from paddle_tvm.runtime import Config, create_predictor
config = Config(sys.argv[1])
config.set_cpu_math_library_num_threads(2)
predictor = create_predictor(config)
rows = np.ones((8, 128), "float32")
predictor.run([rows])
predictor.get_input_handle("x").copy_from_cpu(np.ones((40000, 128), "float32"))
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    while True:
        predictor.run()
except KeyboardInterrupt:
    pass
print(float(predictor.run([rows])[0].sum()))
"""


def test_ctrl_c_waits_for_the_call_and_leaves_the_predictor_usable(
    parallel: Path, parallel_on_tvm_pools: Path
) -> None:
    for artifact in (parallel, parallel_on_tvm_pools):
        assert in_new_process(INTERRUPTED, artifact).split() == [str(8 * 128 * 128.0)]
