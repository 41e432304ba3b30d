"""How outputs are compared, and how often a form is timed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from paddle_tvm.compiler.tuning.aligned import aligned, as_tensor
from paddle_tvm.compiler.tuning.candidate import difference, steady

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        ([1.0, 100.0], [1.0, 100.0]),
        # The allowed error is relative to the largest value.
        ([1.009, 100.0], [1.0, 100.0]),
        ([NAN, INF, -INF, 2.0], [NAN, INF, -INF, 2.0]),
        ([NAN, NAN], [NAN, NAN]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([], []),
    ],
)
def test_same_outputs(output: Sequence[float], wanted: Sequence[float]) -> None:
    assert difference(np.array(output, np.float32), np.array(wanted, np.float32)) is None


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        ([1.02, 100.0], [1.0, 100.0]),
        ([NAN, 2.0], [1.0, 2.0]),
        ([1.0, 2.0], [NAN, 2.0]),
        ([INF, 2.0], [-INF, 2.0]),
        ([NAN, 2.0], [INF, 2.0]),
        ([3.0, INF], [2.0, INF]),
        ([1e-20, 0.0], [0.0, 0.0]),
    ],
)
def test_other_outputs(output: Sequence[float], wanted: Sequence[float]) -> None:
    assert difference(np.array(output, np.float32), np.array(wanted, np.float32)) is not None


def test_integers_are_equal_or_not() -> None:
    wanted = np.array([1, 2, 1 << 40])
    assert difference(wanted.copy(), wanted) is None
    assert difference(np.array([1, 3, 1 << 40]), wanted) == "1 of 3 values differs from the default form's"


@pytest.mark.parametrize(
    ("rounds", "best", "kept"),
    [
        # Three that agree are enough.
        ([1.0, 1.05, 1.02], INF, [1.0, 1.02, 1.05]),
        # Rounds that something disturbed are repeated, and not counted.
        ([1.0, 1.5, 1.01, 1.3, 1.02], INF, [1.0, 1.01, 1.02]),
        # Up to a limit.
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], INF, [1.0, 2.0, 3.0]),
        # A form that is much slower than another needs no exact time.
        ([1.6, 1.7], 1.0, [1.6, 1.7]),
        ([1.6, 1.4, 1.45, 1.42], 1.0, [1.4, 1.42, 1.45]),
    ],
)
def test_rounds_are_timed_until_they_agree(rounds: list[float], best: float, kept: list[float]) -> None:
    timed = iter(rounds)
    assert steady(lambda: next(timed), best) == kept
    assert list(timed) == []


def test_aligned_arrays_are_not_copied() -> None:
    array = aligned(np.arange(12, dtype=np.float32).reshape(3, 4))
    assert array.ctypes.data % 64 == 0
    tensor = as_tensor(array)
    array[1, 2] = 99
    np.testing.assert_array_equal(tensor.numpy(), array)


def test_other_arrays_become_aligned_copies() -> None:
    memory = aligned(np.arange(13, dtype=np.float32))
    for array in (memory[1:], memory[:12].reshape(3, 4).T):
        tensor = as_tensor(array)
        np.testing.assert_array_equal(tensor.numpy(), array)
        before = array.copy()
        array[...] = 0
        np.testing.assert_array_equal(tensor.numpy(), before)
        array[...] = before
