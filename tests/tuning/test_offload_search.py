"""Who computes the subgraphs of an accelerator: one is tried after the other, then the rest together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import cast

import pytest
from tuning_records import header

from paddle_tvm.compiler.tuning.budget import Budget
from paddle_tvm.compiler.tuning.choices import TunedChoices
from paddle_tvm.compiler.tuning.history import History
from paddle_tvm.compiler.tuning.log import Checked, Entry, LogWriter, check_log, read_log
from paddle_tvm.compiler.tuning.merge import merge_logs
from paddle_tvm.compiler.tuning.model_run import ModelRun
from paddle_tvm.compiler.tuning.offload_search import decide_offloading, left_to_kernels
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.records import Trial
from paddle_tvm.compiler.tuning.standings_view import show_graph_trial
from paddle_tvm.compiler.tuning.task import GraphTrial
from paddle_tvm.compiler.tuning.workload_names import name_workload
from paddle_tvm.runtime.errors import UnsupportedModelError
from paddle_tvm.targets.offload import JointOffloading, Offloading
from paddle_tvm.targets.registry import targets_of
from paddle_tvm.targets.workload import Config, GraphWorkload, Shapes, Workload

TARGET = targets_of("x86", ("icelake-server",))[0]
ONE, TWO, THREE = (Offloading("a graph", "toy", name, 3) for name in ("one", "two", "three"))
PAIR = [ONE, TWO]
OURS = {"taken": 0}

Seconds = Mapping[str, float | Mapping[int, float]]
"""Seconds of a run by the subgraphs that our own kernels compute; of all numbers of threads, or by these."""


class Run:
    """Takes a model's place: its artifacts know which subgraphs our kernels compute, by log and by hand."""

    def __init__(self, folder: Path, offered: list[Offloading], seconds: Seconds) -> None:
        self.shapes: Shapes = ()
        self.compile_seconds = 0.0
        self._folder = folder
        self._offered = offered
        self._seconds = seconds
        self._ours: dict[Path, str] = {}

    def compile(self, name: str, log: Path, fixed: Mapping[GraphWorkload, Config]) -> tuple[Path, None]:
        path = self._folder / name
        path.mkdir(exist_ok=True)
        choices = TunedChoices(TARGET, (log,), (), 2, {one.key: form for one, form in fixed.items()})
        ours = [one.subgraph for one in self._offered if not choices.of(one).config["taken"]]
        self._ours[path] = " ".join(ours)
        if self._ours[path] not in self._seconds:
            raise UnsupportedModelError("our kernels have no such operator")
        return path, None

    def time(self, artifacts: Mapping[str, Path], threads: int) -> dict[str, float]:
        found = {name: self._seconds[self._ours[path]] for name, path in artifacts.items()}
        return {name: of if isinstance(of, float) else of[threads] for name, of in found.items()}


class Decision:
    """A model with subgraphs, and a log; each call is a tuning run's part that decides who computes them."""

    def __init__(self, folder: Path, offered: list[Offloading], seconds: Seconds) -> None:
        self.log = folder / "log.jsonl"
        self.history = History()
        self._run = Run(folder, offered, seconds)
        self._offered = offered

    def __call__(self, budget: Budget | None = None) -> list[GraphTrial]:
        self.history = History()
        run, writer = cast(ModelRun, self._run), LogWriter(self.log, header())
        writer.append([])
        fitting = budget or Budget(0.0, None, None)
        asked = (run, self.log, header(), self._offered, TARGET, (2, 1), writer, self.history, fitting)
        return decide_offloading(*asked)

    def moved(self, log: Path | None = None) -> list[str]:
        """The subgraphs that compile leaves with our own kernels, by the log."""
        keys = left_to_kernels(self._offered, TARGET, log or self.log, 2)
        return [one.subgraph for one in self._offered if one.key in keys]


def tried(trials: list[GraphTrial]) -> list[tuple[Workload, bool]]:
    return [(trial.workload, trial.won) for trial in trials]


TOGETHER = {"": 1.0, "one": 1.01, "two": 1.0, "one two": 0.9}


def test_subgraphs_that_gain_together_alone_are_moved_together(tmp_path: Path) -> None:
    decide = Decision(tmp_path, PAIR, TOGETHER)
    trials = decide()
    both = JointOffloading.of(PAIR)
    assert tried(trials) == [(ONE, False), (TWO, False), (both, True)]
    assert decide.history.graph_trials == trials
    assert decide.moved() == ["one", "two"]
    assert name_workload(both) == "2 remaining subgraphs of 6 Relax operators in toy"
    assert show_graph_trial(trials[-1]) == (
        f"{name_workload(both)}, computed by our own kernels: one run 1000.00 -> 900.00 ms, 1.111x"
    )


@pytest.mark.parametrize(
    ("both", "reason"),
    [
        (0.985, "it gains less than 2 %"),
        (1.1, "it is slower"),
        ({2: 0.9, 1: 1.1}, "it is slower with 1 thread: 1000 -> 1100 ms"),
    ],
)
def test_together_they_must_gain_as_much_as_one_alone(
    tmp_path: Path, both: float | dict[int, float], reason: str
) -> None:
    decide = Decision(tmp_path, PAIR, {**TOGETHER, "one two": both})
    assert decide()[-1].rejected == reason
    assert decide.moved() == []


@pytest.mark.parametrize("both", [0.9, 1.1])
def test_what_was_tried_together_is_not_tried_again(tmp_path: Path, both: float) -> None:
    decide = Decision(tmp_path, PAIR, {**TOGETHER, "one two": both})
    assert len(decide()) == 3
    before = decide.log.read_text().splitlines()
    assert decide() == []
    # The other run has a header of its own.
    assert decide.log.read_text().splitlines()[: len(before)] == before
    assert len(list(read_log(decide.log))) == len(before) - 1


def test_what_cannot_be_compiled_together_is_not_tried_again(tmp_path: Path) -> None:
    decide = Decision(tmp_path, PAIR, {name: 1.0 for name in ("", "one", "two")})
    assert len(decide()) == 2
    (failure,) = decide.history.notes
    assert failure.startswith("joint_offloading {'taken': 0}: UnsupportedModelError")
    assert decide() == []
    assert decide.history.notes == []


def test_the_rest_is_tried_beside_what_has_won(tmp_path: Path) -> None:
    seconds = {"": 1.0, "one": 0.9, "one two": 0.9, "one three": 0.9, "one two three": 0.8}
    decide = Decision(tmp_path, [ONE, TWO, THREE], seconds)
    trials = decide()
    assert tried(trials)[-1] == (JointOffloading.of([TWO, THREE]), True)
    assert trials[-1].default == {2: 0.9, 1: 0.9}
    assert decide.moved() == ["one", "two", "three"]


def test_what_was_tried_before_another_won_is_tried_beside_it(tmp_path: Path) -> None:
    seconds = {"": 1.0, "one": 1.0, "two": 0.9, "one two": 0.8}
    decide = Decision(tmp_path, PAIR, seconds)
    assert tried(decide()) == [(ONE, False), (TWO, True), (JointOffloading.of([ONE]), True)]
    assert decide.moved() == ["one", "two"]


@pytest.mark.parametrize(
    ("offered", "seconds", "first"),
    [
        # It was tried beside all others as they are.
        ([ONE], {"": 1.0, "one": 1.0}, [(ONE, False)]),
        (PAIR, {"": 1.0, "one": 0.9, "one two": 0.9}, [(ONE, True), (TWO, False)]),
        # What our kernels cannot compute would keep the rest from being compiled.
        (PAIR, {"": 1.0, "one": 1.0}, [(ONE, False)]),
        (PAIR, {"": 1.0}, []),
        # Nothing is left.
        (PAIR, {"": 1.0, "one": 0.9, "one two": 0.8}, [(ONE, True), (TWO, True)]),
    ],
)
def test_no_trial_is_made_that_could_say_nothing_new(
    tmp_path: Path, offered: list[Offloading], seconds: Seconds, first: list[tuple[Workload, bool]]
) -> None:
    assert tried(Decision(tmp_path, offered, seconds)()) == first


def test_subgraphs_that_our_kernels_cannot_compute_stay_when_the_rest_moves(tmp_path: Path) -> None:
    seconds = {"": 1.0, "one": 1.0, "three": 1.0, "one three": 0.9}
    decide = Decision(tmp_path, [ONE, TWO, THREE], seconds)
    assert tried(decide())[-1] == (JointOffloading.of([ONE, THREE]), True)
    assert decide.moved() == ["one", "three"]


def test_the_trial_of_the_rest_counts_in_the_budget(tmp_path: Path) -> None:
    decide = Decision(tmp_path, PAIR, TOGETHER)
    budget = Budget(monotonic(), None, trials=2)
    assert len(decide(budget)) == 2
    (note,) = decide.history.notes
    assert note.startswith(
        "the budget leaves no trials for 1 of 1 trial of 2 remaining subgraphs with our kernels: "
    )
    # Where the log holds all others, it is what is left to do.
    budget = Budget(monotonic(), None, trials=1)
    assert tried(decide(budget)) == [(JointOffloading.of(PAIR), True)]
    assert budget.made == 1


def test_subgraphs_wait_for_each_other_to_be_tried_alone(tmp_path: Path) -> None:
    decide = Decision(tmp_path, PAIR, TOGETHER)
    assert tried(decide(Budget(monotonic(), None, trials=1))) == [(ONE, False)]
    assert len(decide.history.notes) == 1
    assert tried(decide()) == [(TWO, False), (JointOffloading.of(PAIR), True)]


def test_logs_with_it_are_sound_and_merged_ones_say_the_same(tmp_path: Path) -> None:
    decide = Decision(tmp_path, PAIR, TOGETHER)
    decide()
    checked = list(check_log(decide.log))
    assert len(checked) == 5
    assert all(isinstance(line, Checked) and line.problem is None for line in checked)
    merged = tmp_path / "merged.jsonl"
    assert merge_logs([decide.log], merged).winners == 2
    assert decide.moved(merged) == ["one", "two"]


def test_the_choice_for_several_is_the_same_in_whatever_order_they_come(tmp_path: Path) -> None:
    both = JointOffloading.of([TWO, ONE])
    assert both == JointOffloading.of(PAIR) == Workload.from_key(both.key)
    assert both.stands_for(OURS) == {ONE: OURS, TWO: OURS}
    log = tmp_path / "log.jsonl"
    LogWriter(log, header()).append([Trial(both, Outcome(OURS, "ok", (1.0,)))])
    (entry,) = read_log(log)
    assert isinstance(entry, Entry)
    assert isinstance(entry.record, Trial)
    assert entry.record.workload == both
