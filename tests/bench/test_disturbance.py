"""How much other processes took of the machine while something was measured."""

from __future__ import annotations

import pytest

from paddle_tvm.compiler.bench import disturbance
from paddle_tvm.compiler.bench.disturbance import Others, is_disturbed, marked


@pytest.mark.parametrize(
    ("machine", "own", "cores"),
    [
        (8.0, 8.0, 0.0),
        (8.0, 4.0, 1.0),
        # The system counts in hundredths of a second, and a process to the nanosecond.
        (7.99, 8.0, 0.0),
    ],
)
def test_others_are_the_machine_without_the_measurement(
    monkeypatch: pytest.MonkeyPatch, machine: float, own: float, cores: float
) -> None:
    times = {"machine": 100.0, "own": 10.0, "clock": 0.0}
    monkeypatch.setattr(disturbance, "machine_busy_seconds", lambda: times["machine"])
    monkeypatch.setattr(disturbance, "perf_counter", lambda: times["clock"])
    others = Others(lambda: times["own"])
    times["machine"] += machine
    times["own"] += own
    times["clock"] += 4.0
    assert others.cores() == pytest.approx(cores)


def test_a_tenth_of_a_core_is_marked() -> None:
    assert is_disturbed(0.11)
    assert not is_disturbed(0.09)
    assert not is_disturbed(None)
    assert marked("1.5 ms", True) == "1.5 ms ~"
    assert marked("1.5 ms", False) == "1.5 ms"
