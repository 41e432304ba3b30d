"""What the comparison at the end of a search writes down, and what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from scripted_tuning import CONV, MODEL_SECONDS, PEAK_GFLOPS, default_of, failure, outcome, tasks
from tuning_records import header, winner

from paddle_tvm.compiler.tuning.choices import TunedChoices
from paddle_tvm.compiler.tuning.finalists import compare_with_defaults
from paddle_tvm.compiler.tuning.history import History
from paddle_tvm.compiler.tuning.kernel import TunableKernel
from paddle_tvm.compiler.tuning.log import Entry, LogWriter, read_log
from paddle_tvm.compiler.tuning.measure import Measurer
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.records import Winner
from paddle_tvm.compiler.tuning.report.content import Content
from paddle_tvm.compiler.tuning.report.winners import winners_table
from paddle_tvm.compiler.tuning.standings import Standings
from paddle_tvm.compiler.tuning.task import Comparison, Start, Task
from paddle_tvm.targets.workload import Config, Shapes
from paddle_tvm.targets.x86 import x86_target

THREADS = (2, 1)


class Machine:
    """Takes a measurer's place: the default takes a millisecond, a form what is said of it."""

    def __init__(self, default: Config, seconds: dict[int, float], default_seconds: float = 1e-3) -> None:
        self._default = dict(default)
        self._seconds = seconds
        self._default_seconds = default_seconds
        self.compared: list[int] = []

    def compare(
        self, kernel: TunableKernel, configs: Sequence[Config], threads: Sequence[int], rounds: int
    ) -> dict[int, list[Outcome]]:
        self.compared.append(len(configs))
        return {count: [self._outcome(config, count) for config in configs] for count in threads}

    def _outcome(self, config: Config, threads: int) -> Outcome:
        seconds = self._default_seconds if dict(config) == self._default else self._seconds[threads]
        return Outcome(config, "crash") if seconds == inf else Outcome(config, "ok", (seconds,))


def compared(
    task: Task, machine: Machine, log: Path, history: History | None = None
) -> tuple[list[Comparison], list[Winner]]:
    """What the comparison of a task gives, and the winners that it writes."""
    writer = LogWriter(log, header())
    writer.append([])
    measurer = cast(Measurer, machine)
    found = list(compare_with_defaults([task], measurer, THREADS, writer, history or History()))
    records = [entry.record for entry in read_log(log) if isinstance(entry, Entry)]
    return found, [record for record in records if isinstance(record, Winner)]


def searched(*outcomes: float) -> Task:
    """A task whose default was timed, and other forms with these gains; 0 for one that failed."""
    task = tasks()[0]
    task.add(default_of(task))
    for number, gain in enumerate(outcomes):
        task.add(outcome(task, gain, number) if gain else failure(task, "crash", "SIGSEGV", number))
    return task


def test_a_form_that_is_faster_wins(tmp_path: Path) -> None:
    task = searched(1.5)
    machine = Machine(task.workload.default(), {2: 0.5e-3, 1: 0.9e-3})
    (comparison,), (won,) = compared(task, machine, tmp_path / "log.jsonl")
    assert comparison.is_better
    assert dict(won.config) == dict(task.outcomes[1].config)
    assert (won.seconds, won.default) == ({2: 0.5e-3, 1: 0.9e-3}, {2: 1e-3, 1: 1e-3})


def test_one_that_is_slower_with_one_thread_does_not(tmp_path: Path) -> None:
    task = searched(1.5)
    machine = Machine(task.workload.default(), {2: 0.5e-3, 1: 1.1e-3})
    (comparison,), (won,) = compared(task, machine, tmp_path / "log.jsonl")
    assert not comparison.is_better
    assert won.config == won.default_config
    assert comparison.rejected is not None
    assert comparison.rejected.endswith("is 2.00x with 2 threads, but 0.91x with 1 thread")


def test_the_default_wins_where_a_search_found_nothing_faster(tmp_path: Path) -> None:
    task = searched(0.8, 0)
    machine = Machine(task.workload.default(), {})
    (comparison,), (won,) = compared(task, machine, tmp_path / "log.jsonl")
    # Nothing else is worth the time.
    assert machine.compared == [1]
    assert not comparison.is_better
    assert won.config == won.default_config == task.workload.default()
    assert won.seconds == won.default == {2: 1e-3, 1: 1e-3}


def test_no_neighbour_lends_its_form_to_a_task_whose_default_won(tmp_path: Path) -> None:
    task, log, target = searched(0.8), tmp_path / "log.jsonl", x86_target("icelake-server")
    lent = next(form for form in CONV.candidates() if form != CONV.default() and CONV.agrees(form))
    LogWriter(log, header()).append([winner(replace(CONV, rows=50), lent)])
    assert TunedChoices(target, [log]).of(CONV).origin == "transferred"
    compared(task, Machine(CONV.default(), {}), log)
    assert TunedChoices(target, [log]).of(CONV).origin == "default"


def test_nothing_is_known_of_a_task_whose_default_alone_could_be_timed(tmp_path: Path) -> None:
    for task in (searched(), searched(0)):
        machine = Machine(task.workload.default(), {})
        assert compared(task, machine, tmp_path / "log.jsonl") == ([], [])
        assert not machine.compared


def test_nothing_wins_where_the_default_does_not_run_again(tmp_path: Path) -> None:
    task, history = searched(1.5), History()
    machine = Machine(task.workload.default(), {2: 1e-3, 1: 1e-3}, default_seconds=inf)
    assert compared(task, machine, tmp_path / "log.jsonl", history) == ([], [])
    assert "the default form failed when the best were compared (crash)" in history.notes[0]


@pytest.mark.parametrize("gains", [(1.5,), (1.5, 1.4)])
def test_the_default_does_not_win_over_a_form_that_was_killed(
    tmp_path: Path, gains: tuple[float, ...]
) -> None:
    task, history = searched(*gains), History()
    machine = Machine(task.workload.default(), {2: inf, 1: inf})
    assert compared(task, machine, tmp_path / "log.jsonl", history) == ([], [])
    assert "nothing is written down" in history.notes[0]


def test_a_default_that_won_is_shown_as_such(tmp_path: Path) -> None:
    task, history = searched(0.8), History()
    start = Start([task], MODEL_SECONDS, PEAK_GFLOPS)
    standings = Standings(start)
    history.begin(start)
    machine = Machine(task.workload.default(), {})
    (comparison,), _ = compared(task, machine, tmp_path / "log.jsonl", history)
    standings.compared(comparison)
    assert standings.tasks[0].state == "default"
    table = winners_table(Content("model", "", 2, history, None, {}))
    assert "won in <b>0</b> of 1 task." in table
    assert "the default, " in table


class Places(Machine):
    """A machine on which forms are as fast as said of each place, with any number of threads."""

    def __init__(self, default: Config, gains: dict[Shapes, list[float]]) -> None:
        super().__init__(default, {})
        self._gains = gains

    def compare(
        self, kernel: TunableKernel, configs: Sequence[Config], threads: Sequence[int], rounds: int
    ) -> dict[int, list[Outcome]]:
        gains = [1.0, *self._gains[kernel.shapes]]
        timed = [Outcome(config, "ok", (1e-3 / gain,)) for config, gain in zip(configs, gains, strict=True)]
        return {count: timed for count in threads}


@pytest.mark.parametrize(
    ("gains", "won"),
    [
        # Slower at one of the sizes, slower by no more than noise, and faster everywhere.
        (([1.5, 1.2], [0.9, 1.1]), 1),
        (([1.5, 1.2], [0.99, 1.0]), 0),
        (([1.5, 1.4], [1.1, 1.5]), 1),
        (([1.5, 1.4], [0.9, 0.9]), None),
    ],
)
def test_what_is_slower_at_other_sizes_does_not_win(
    tmp_path: Path, gains: tuple[list[float], list[float]], won: int | None
) -> None:
    task = searched(1.5, 1.2)
    here, there = ((10, 8),), ((100, 8),)
    task.kernel, other = (cast(TunableKernel, SimpleNamespace(shapes=shapes)) for shapes in (here, there))
    task.elsewhere = (other,)
    machine = Places(task.workload.default(), dict(zip((here, there), gains, strict=True)))
    (comparison,), (winner,) = compared(task, machine, tmp_path / "log.jsonl")
    assert (comparison.rejected is not None) == (won is None)
    if comparison.rejected is not None:
        assert comparison.rejected.endswith(
            "is 1.50x with 2 threads, but 0.90x with 2 threads at other size 1"
        )
    forms = [task.outcomes[1].config, task.outcomes[2].config]
    assert winner.config == (task.workload.default() if won is None else forms[won])
    assert winner.shapes == here
    (place,) = winner.elsewhere
    assert comparison.elsewhere == winner.elsewhere
    assert place.shapes == there
    assert place.default == {2: 1e-3, 1: 1e-3}
    assert place.seconds == pytest.approx(
        {2: 1e-3, 1: 1e-3} if won is None else {n: 1e-3 / gains[1][won] for n in (2, 1)}
    )
