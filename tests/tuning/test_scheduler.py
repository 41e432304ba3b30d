"""Which kernel of a model gets the next trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import cast

import pytest

from paddle_tvm.compiler.tuning.cost_model import CostModel
from paddle_tvm.compiler.tuning.kernel import TunableKernel
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.scheduler import TaskScheduler
from paddle_tvm.compiler.tuning.search import KernelSearch
from paddle_tvm.compiler.tuning.task import Task
from paddle_tvm.targets.workload import Workload
from paddle_tvm.targets.x86.amx_workloads import AmxConv2d, AmxMatMul
from paddle_tvm.targets.x86.conv2d_workload import Conv2d

WORKLOAD = Conv2d(
    batch=1,
    rows=28,
    columns=28,
    channels=512,
    outputs=128,
    kernel=(1, 1),
    strides=(1, 1),
    dilation=(1, 1),
    padding=(0, 0, 0, 0),
    groups=1,
    lanes_in=16,
    lanes=16,
)
FLOPS = 2 * 28 * 28 * 512 * 128
# A machine on which the kernel takes a millisecond at least.
PEAK = FLOPS / 1e-3 / 1e9


def task_of(share: float, *seconds: float, channels: int = 512) -> Task:
    """A task whose trials took so many seconds, the default's first; infinite for one that failed."""
    workload = replace(WORKLOAD, channels=channels)
    default = workload.default()
    configs = [default, *(config for config in workload.candidates() if config != default)]
    outcomes = [
        Outcome(config, "crash") if time == float("inf") else Outcome(config, "ok", (time,))
        for config, time in zip(configs, seconds, strict=False)
    ]
    # Nothing here is built.
    kernel = cast("TunableKernel", None)
    return Task(workload, kernel, ("kernel",), 1, share, share, outcomes)


def scheduler_of(*tasks: Task, peak: float | None = PEAK) -> TaskScheduler:
    searches = [KernelSearch(task.workload, task.outcomes, CostModel()) for task in tasks]
    return TaskScheduler(tasks, searches, peak)


def test_a_task_that_was_given_up_gets_no_trials() -> None:
    tasks = [task_of(0.6), task_of(0.1, 4e-3)]
    searches = [KernelSearch(task.workload, task.outcomes, CostModel()) for task in tasks]
    scheduler = TaskScheduler(tasks, searches, PEAK)
    assert scheduler.next() == 0
    searches[0].give_up()
    assert scheduler.next() == 1
    searches[1].give_up()
    assert scheduler.next() is None


def test_defaults_are_measured_first_those_of_the_largest_share_before_others() -> None:
    assert scheduler_of(task_of(0.6, 4e-3), task_of(0.1), task_of(0.3)).next() == 2


def test_a_task_of_a_log_without_its_default_has_that_measured() -> None:
    task = task_of(0.2, 4e-3, 3e-3)
    without = replace(task, trials=task.outcomes[1:])
    assert scheduler_of(task_of(0.6, 4e-3), without).next() == 1


def test_the_larger_share_is_next_where_all_else_is_the_same() -> None:
    assert scheduler_of(task_of(0.2, 4e-3), task_of(0.4, 4e-3)).next() == 1


def test_what_is_far_from_the_peak_comes_before_what_is_near() -> None:
    assert scheduler_of(task_of(0.5, 1.1e-3), task_of(0.4, 4e-3)).next() == 1


def test_what_is_at_the_limit_of_the_machine_is_left_alone() -> None:
    scheduler = scheduler_of(task_of(1.0, 1.04e-3))
    assert scheduler.at_limit(0)
    assert scheduler.next() is None


def test_a_form_that_needs_fewer_operations_is_not_at_the_limit_by_those_of_the_definition() -> None:
    three = replace(WORKLOAD, kernel=(3, 3), padding=(1, 1, 1, 1), channels=64)
    flops = three.flops()
    assert flops is not None
    kernel = cast("TunableKernel", None)

    def reaching(peaks: float) -> TaskScheduler:
        outcome = Outcome(three.default(), "ok", (flops / peaks / PEAK / 1e9,))
        return scheduler_of(Task(three, kernel, ("kernel",), 1, 1.0, 1.0, [outcome]))

    # Winograd's F(4x4, 3x3) needs a quarter of the multiplications.
    assert reaching(2.0).next() == 0
    assert reaching(3.9).at_limit(0)


@pytest.mark.parametrize(
    "workload",
    [AmxConv2d(**{field.name: getattr(WORKLOAD, field.name) for field in fields(WORKLOAD)}),
     AmxMatMul(1, 28 * 28, 512, 128, 16)],
)  # fmt: skip
def test_products_that_may_be_on_amx_are_not_at_the_limit_of_multiply_adds(workload: Workload) -> None:
    assert workload.flops() == FLOPS
    kernel = cast("TunableKernel", None)

    def reaching(peaks: float) -> TaskScheduler:
        outcome = Outcome(workload.default(), "ok", (1e-3 / peaks,))
        return scheduler_of(Task(workload, kernel, ("kernel",), 1, 1.0, 1.0, [outcome]))

    # In vectors they could take 256 cycles for what six instructions of 16 cycles do.
    for peaks in (0.96, 1.5, 2.4):
        assert reaching(peaks).next() == 0
    assert reaching(2.6).at_limit(0)


def test_without_a_known_peak_nothing_is_at_the_limit() -> None:
    scheduler = scheduler_of(task_of(1.0, 1.04e-3), peak=None)
    assert not scheduler.at_limit(0)
    assert scheduler.next() == 0


def test_what_gained_lately_comes_before_what_did_not() -> None:
    stuck = [4e-3] + [5e-3] * 31
    gaining = [4e-3] + [5e-3] * 30 + [3e-3]
    assert scheduler_of(task_of(0.5, *stuck), task_of(0.4, *gaining)).next() == 1


def test_what_was_tried_little_comes_before_what_was_tried_much_in_vain() -> None:
    assert scheduler_of(task_of(0.5, 4e-3, *[5e-3] * 40), task_of(0.2, 4e-3)).next() == 1


def test_a_task_whose_default_does_not_run_is_left_alone() -> None:
    assert scheduler_of(task_of(0.9, float("inf")), task_of(0.1, 4e-3)).next() == 1
    assert scheduler_of(task_of(0.9, float("inf"))).next() is None


def test_it_ends_where_searches_have_converged() -> None:
    assert scheduler_of(task_of(0.9, 4e-3, *[5e-3] * 100)).next() is None


def test_it_ends_where_what_is_left_is_too_small_a_part_of_the_model() -> None:
    assert scheduler_of(task_of(1e-4, 4e-3, *[5e-3] * 8)).next() is None


def test_a_model_without_tasks_ends_at_once() -> None:
    assert scheduler_of().next() is None


@pytest.mark.parametrize("speed", [lambda trial: 1.0, lambda trial: 1 / (1 + trial / 8)])
def test_no_task_takes_all_trials(speed: Callable[[int], float]) -> None:
    tasks = [
        task_of(share, 4e-3, channels=channels) for share, channels in ((0.5, 512), (0.3, 256), (0.2, 128))
    ]
    searches = [KernelSearch(task.workload, task.outcomes, CostModel()) for task in tasks]
    scheduler = TaskScheduler(tasks, searches)
    turns = []
    while (turn := scheduler.next()) is not None and len(turns) < 100:
        turns.append(turn)
        for config in searches[turn].propose(8):
            outcome = Outcome(config, "ok", (4e-3 * speed(len(tasks[turn].outcomes)),))
            tasks[turn].add(outcome)
            searches[turn].record([outcome])
    assert len(turns) < 100
    assert turns[0] == 0
    assert set(turns) == {0, 1, 2}
