"""What kernels find when they are timed: operands that were just made, weights that were not just read."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from paddle_tvm.compiler.tuning.aligned import AlignedCopies, aligned
from paddle_tvm.compiler.tuning.launcher_library import LoopLauncher, compile_launcher


@pytest.fixture(scope="module")
def library() -> Iterator[int]:
    file = compile_launcher()
    yield file
    os.close(file)


@pytest.mark.parametrize("shape", [(), (5,), (3, 7), (2, 3, 4), (0, 4), (1, 3, 8, 9), (1, 2, 7, 5, 16)])
def test_passing_over_rows_changes_nothing(library: int, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).standard_normal(shape).astype("float32")
    array = aligned(np.asarray(values))
    launcher = LoopLauncher(library)
    rows = launcher.rows(array)
    with launcher.threads(2):
        rows.write()
        rows.read()
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


def test_memory_with_room_is_used_for_larger_arrays() -> None:
    small, large = np.ones(16, np.float32), np.ones(48, np.float32)
    copies = AlignedCopies(1)
    first = copies.get("small", small, 4, room=1024)
    second = copies.get("large", large, 5, room=1024)
    assert second[0].ctypes.data == first[0].ctypes.data
    assert [copy.tolist() for copy in second] == [large.tolist()] * 5
