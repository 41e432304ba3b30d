"""What kernels find when they are timed: threads with CPUs of their own, operands that were just made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from paddle_tvm.compiler.tuning.aligned import AlignedCopies, aligned
from paddle_tvm.compiler.tuning.child import Channel, Child
from paddle_tvm.compiler.tuning.launcher_library import LoopLauncher, compile_launcher


@pytest.fixture(scope="module")
def library() -> Iterator[int]:
    file = compile_launcher()
    yield file
    os.close(file)


def _in_child(library: int, threads: int) -> dict[str, list[int]]:
    """The CPUs that the threads of a process may run on, during a trial and after it."""

    def task(channel: Channel) -> None:
        before = os.sched_getaffinity(0)
        launcher = LoopLauncher(library)
        with launcher.threads(threads):
            mine = sorted(os.sched_getaffinity(0))
            others = [int(task) for task in os.listdir("/proc/self/task") if int(task) != os.getpid()]
            helpers = [
                cpu
                for task in others
                if Path(f"/proc/self/task/{task}/comm").read_text().strip() == "paddle-tvm"
                for cpu in sorted(os.sched_getaffinity(task))
            ]
        after = os.sched_getaffinity(0)
        channel.send({"mine": mine, "helpers": helpers, "same": [int(before == after)]})

    child = Child(task, 1 << 30, threads)
    try:
        answer: dict[str, list[int]] = child.answer()
        return answer
    finally:
        child.end()


@pytest.mark.parametrize("threads", [1, 2])
def test_each_thread_has_a_cpu(library: int, threads: int) -> None:
    cpus = sorted(os.sched_getaffinity(0))[:threads]
    bound = _in_child(library, threads)
    assert bound["mine"] == cpus[:1]
    assert bound["helpers"] == cpus[1:]
    assert bound["same"] == [1]


@pytest.mark.parametrize("shape", [(), (5,), (3, 7), (2, 3, 4), (1, 3, 8, 9), (1, 2, 7, 5, 16)])
def test_producing_and_consuming_change_nothing(library: int, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).standard_normal(shape).astype("float32")
    array = aligned(np.asarray(values))
    launcher = LoopLauncher(library)
    with launcher.threads(1):
        launcher.produce(array)
        launcher.consume(array)
    np.testing.assert_array_equal(array, values)


def test_copies_are_kept_while_they_are_asked_for() -> None:
    arrays = [np.full((3, 5), value, np.float32) for value in range(4)]
    copies = AlignedCopies(2)
    first = copies.get("first", arrays[0], 3)
    assert [copy.tolist() for copy in first] == [arrays[0].tolist()] * 3
    assert all(copy.ctypes.data % 64 == 0 for copy in first)
    assert len({copy.ctypes.data for copy in first}) == 3
    second = copies.get("second", arrays[1], 2)
    assert copies.get("first", arrays[0], 3) is first
    # The memory of those that were asked for longest ago is used again.
    third = copies.get("third", arrays[2], 2)
    assert {copy.ctypes.data for copy in third} <= {copy.ctypes.data for copy in second}
    assert [copy.tolist() for copy in first + third] == [arrays[0].tolist()] * 3 + [arrays[2].tolist()] * 2
    assert copies.get("second", arrays[1], 2) is not second
