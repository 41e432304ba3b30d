"""A budget divides a run's time between its kernels and trials with the whole model."""

from __future__ import annotations

import pytest

from paddle_tvm.compiler.tuning import budget as module
from paddle_tvm.compiler.tuning.budget import Budget


class Clock:
    """Stands until a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


def test_a_trial_is_counted_where_it_fits(clock: Clock) -> None:
    budget = Budget(90.0, 60.0, None)
    assert budget.elapsed == 10
    assert not budget.take(51.0)
    assert budget.take(50.0)
    assert budget.made == 1
    counted = Budget(90.0, None, 2)
    assert [counted.take(1e9) for _ in range(3)] == [True, True, False]
    assert counted.batch(16) == 0
    assert Budget(90.0, None, 5).batch(16) == 5


def test_what_is_left_to_later_trials_ends_the_kernels_turn_sooner(clock: Clock) -> None:
    budget = Budget(90.0, 110.0, None)
    # They would take 80 of the 100 seconds that are left.
    budget.reserve(4, 20.0, 0.3)
    clock.now = 169.0
    assert budget.batch(16) == 16
    clock.now = 170.0
    assert budget.batch(16) == 0
    # The last batch ends late, and the comparison takes no time of the budget.
    clock.now = 175.0
    budget.release()
    with budget.stopped():
        clock.now += 40
    assert budget.take(20.0)
    clock.now += 20
    assert not budget.take(20.0)
    assert budget.left_out(3, "4 choices").startswith("the budget leaves no time for 3 of 4 choices: ")


@pytest.mark.parametrize("seconds", [30.0, 5.0])
def test_nothing_is_left_to_trials_of_which_none_fits(clock: Clock, seconds: float) -> None:
    budget = Budget(90.0, seconds, None)
    budget.reserve(4, 16.0, 0.3)
    clock.now = 119.0
    assert budget.batch(16) == (16 if seconds == 30 else 0)
    budget.release()
    assert not budget.fits(16.0)


def test_without_an_end_nothing_is_left_out(clock: Clock) -> None:
    budget = Budget(90.0, None, None)
    budget.reserve(100, 20.0, 0.3)
    clock.now = 1e6
    assert budget.batch(16) == 16
    budget.release()
    assert budget.fits(20.0)
