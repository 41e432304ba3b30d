"""What a person sees of a tuning run: a table that fits the terminal, or lines."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console
from scripted_tuning import (
    CONV,
    DEPTHWISE,
    DYNAMIC,
    STRIDED,
    Script,
    default_of,
    failure,
    outcome,
    task,
    tasks,
)

from paddle_tvm.compiler.tuning.progress import LineProgress, LiveProgress, tuning_progress
from paddle_tvm.compiler.tuning.standings import Standings
from paddle_tvm.compiler.tuning.standings_view import StandingsView, Steps, show_ms, show_time
from paddle_tvm.compiler.tuning.workload_names import name_form, name_workload
from paddle_tvm.targets.x86.conv2d_workload import Conv2d


def _console(terminal: bool, width: int = 80, height: int = 24) -> Console:
    return Console(file=StringIO(), force_terminal=terminal, width=width, height=height, highlight=False)


def _text(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def _frame(
    standings: Standings | None,
    stage: str = "search",
    width: int = 80,
    height: int = 24,
    steps: Steps | None = None,
) -> list[str]:
    assert standings is not None
    console = _console(False, width, height)
    console.print(StandingsView(standings, stage, steps))
    return _text(console).splitlines()


def _cells(frame: list[str], name: str) -> list[str]:
    (row,) = (line for line in frame if line.startswith(name))
    return row.removeprefix(name).split()


def _many(count: int) -> list[Conv2d]:
    return [
        Conv2d(1, 14, 14, 1024, 16 * n, (1, 1), (1, 1), (1, 1), (0,) * 4, 1, 16, 16) for n in range(1, count)
    ]


@pytest.mark.parametrize(
    ("workload", "name"),
    [
        (CONV, "conv2d 3x3 64->64 56x56"),
        (STRIDED, "conv2d 1x1 /2 256->512 56x56"),
        (DEPTHWISE, "depthwise 3x3 32 112x112"),
        (DYNAMIC, "matmul ?x768x3072"),
    ],
)
def test_workloads_have_short_names(workload: Conv2d, name: str) -> None:
    assert name_workload(workload) == name


def test_a_form_names_its_algorithm_where_there_is_a_choice() -> None:
    assert name_form({"winograd": 4, "rows": 2}) == "Winograd F(4x4) rows=2"
    assert name_form({"winograd": 0, "points": 14}) == "direct points=14"
    assert name_form({"widest": 14, "unit": 2}) == "widest=14 unit=2"
    assert name_form({"amx": 1, "row_units": 8}) == "AMX row_units=8"
    assert name_form({"amx": 1, "row_units": 0}) == "AMX columns divided among threads"


def test_a_row_has_rate_share_of_peak_gain_trials_and_state() -> None:
    progress = LiveProgress(_console(True))
    script = Script(progress, tasks())
    with progress:
        script.begin()
        script.defaults()
        first = script.tasks[0]
        script.trial(first, failure(first, "crash", "SIGSEGV", 1))
        script.trial(first, outcome(first, 2.0))
        frame = _frame(progress.standings)
    # The task took 10 of 20 ms and now takes 5 of 15: 2 * 56 * 56 * 64 * 64 * 9 operations in a ms.
    assert _cells(frame, "conv2d 3x3 64->64 56x56") == [
        *("33.3", "%", "231.2", "116", "%", "2.00x", "3", "1", "searching")
    ]
    assert _cells(frame, "matmul ?x768x3072") == ["20.0", "%", "-", "-", "1.00x", "1", "-", "searched"]
    assert "latency 20.00 -> 15.00 ms expected, 1.33x" in frame
    assert "6 trials, 1 failed, 10.0 a second" in frame
    assert frame[-1].endswith("11 %  0:10 elapsed, 1:29 left")


def test_the_task_that_takes_most_of_the_run_now_comes_first() -> None:
    progress = LiveProgress(_console(True))
    script = Script(progress, tasks())
    with progress:
        script.begin()
        script.defaults()
        script.trial(script.tasks[0], outcome(script.tasks[0], 10.0))
        frame = _frame(progress.standings)
    # 10 ms have become 1, as those of the last task; the others still take 4 and 3.
    assert [line.split()[0] for line in frame[1:4]] == ["conv2d", "matmul", "conv2d"]
    assert frame[1].startswith("conv2d 1x1 /2")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 8), (80, 5), (40, 24), (200, 60)])
def test_the_table_fits_the_terminal(width: int, height: int) -> None:
    progress = LiveProgress(_console(True, width, height))
    script = Script(progress, [task(workload, 0.01) for workload in _many(40)])
    with progress:
        script.begin(trials=50)
        script.defaults()
        frame = _frame(progress.standings, width=width, height=height)
    assert len(frame) < height
    assert max(map(len, frame)) <= width
    shown = sum(line.startswith("conv2d") for line in frame)
    left_out = [int(line.split()[1]) for line in frame if line.startswith("and ")]
    assert shown + sum(left_out) == 39
    assert (shown == 39) == (height == 60)


def test_nothing_is_drawn_more_often_than_four_times_a_second_nor_by_a_thread() -> None:
    console = _console(True)
    progress = LiveProgress(console)
    script = Script(progress, tasks())
    with progress:
        assert not progress._live.auto_refresh
        script.begin()
        script.defaults()
        first = script.tasks[0]
        slower, drawn = outcome(first, 0.9), 0
        for _ in range(500):
            before = len(_text(console))
            script.trial(first, slower, after=0.02)
            drawn += len(_text(console)) > before
    assert 0 < drawn <= 10 * 4


def test_the_table_says_what_won() -> None:
    progress = LiveProgress(_console(True))
    script = Script(progress, tasks())
    with progress:
        script.whole()
        frame = _frame(progress.standings, "compare")
    assert _cells(frame, "conv2d 3x3 64->64 56x56")[-1] == "tuned"
    assert _cells(frame, "depthwise 3x3 32 112x112")[-1] == "default"
    assert frame[-1] == "compare ..."


@pytest.mark.parametrize(
    ("steps", "foot"),
    [
        (Steps(0, 4, 0.5), "compare: 0 of 4  0:00 elapsed"),
        (Steps(1, 4, 20.0), "compare: 1 of 4  0:20 elapsed, 1:00 left"),
    ],
)
def test_a_stage_of_known_length_has_a_bar_and_time_left(steps: Steps, foot: str) -> None:
    progress = LiveProgress(_console(True))
    script = Script(progress, tasks())
    with progress:
        script.whole()
        frame = _frame(progress.standings, "compare", steps=steps)
    assert frame[-1].lstrip("━╸╺ ") == foot
    assert ("━" in frame[-1]) == (steps.done > 0)


def test_comparisons_and_trials_of_choices_above_kernels_are_steps_of_their_stage() -> None:
    console = _console(True)
    progress = LiveProgress(console)
    with progress:
        Script(progress, tasks()).whole()
    drawn = _text(console)
    assert "compare: 3 of 4" in drawn
    assert "try other layouts and fusions: 1 of 2" in drawn


def test_a_choice_that_cannot_be_tried_is_a_step_too() -> None:
    console = _console(True)
    progress = LiveProgress(console)
    with progress:
        Script(progress, tasks()).begin()
        progress.stage("try other layouts and fusions", 2)
        progress.graph_failure("no such form")
        progress.stage("compile with the log")
    drawn = _text(console)
    assert "no such form" in drawn
    assert "try other layouts and fusions: 1 of 2" in drawn


def test_time_left_follows_from_the_trials_where_they_end_first() -> None:
    progress = LiveProgress(_console(True))
    script = Script(progress, tasks())
    with progress:
        script.begin(seconds=1000.0, trials=24)
        script.defaults()
        assert progress.standings is not None
        assert progress.standings.left == pytest.approx(20 / 10)
        assert progress.standings.done == pytest.approx(4 / 24)


@pytest.mark.parametrize("terminal", [True, False])
def test_what_came_before_the_search_counts_in_its_time(terminal: bool) -> None:
    progress = tuning_progress(_console(terminal, 200))
    script = Script(progress, tasks())
    script.elapsed = 45.0
    with progress:
        script.begin(seconds=60.0)
        frame = _frame(progress.standings)
        progress.stage("compare")
    assert frame[-1].endswith("75 %  0:45 elapsed, 0:15 left")
    assert ("0:45  0 trials" in _text(progress.console)) != terminal
    assert "0:15 left" in _text(progress.console)


def test_after_the_comparison_gains_are_those_of_what_has_won() -> None:
    progress = LiveProgress(_console(True))
    script = Script(progress, tasks())
    with progress:
        script.begin()
        script.defaults()
        first, second, third, _ = script.tasks
        for one, gain in ((first, 2.0), (second, 1.12), (third, 1.5)):
            script.trial(one, outcome(one, gain))
        progress.stage("compare", 3)
        script.compare(first, 1.6)
        script.compare(second, 1)
        # The others keep what was expected of them: 10 ms become 6.25, and 3 become 2.
        assert "latency 20.00 -> 15.25 ms expected, 1.31x" in _frame(progress.standings, "compare")
        progress.stage("try other layouts and fusions")
        frame = _frame(progress.standings, "other")
    # Nothing is known of the third: it keeps its default, as does the last, which had no other form.
    assert "latency 20.00 -> 16.25 ms expected, 1.23x" in frame
    assert "1.60x" in _cells(frame, "conv2d 3x3 64->64 56x56")
    assert _cells(frame, "conv2d 1x1 /2 256->512 56x56")[-4:] == ["1.00x", "2", "-", "default"]
    assert _cells(frame, "matmul ?x768x3072")[-4:] == ["1.00x", "2", "-", "searched"]


def test_without_a_budget_there_is_no_time_left() -> None:
    progress = LiveProgress(_console(True))
    script = Script(progress, tasks())
    with progress:
        script.begin(seconds=None)
        script.defaults()
        frame = _frame(progress.standings)
    assert frame[-1] == "0:10 elapsed"


def test_lines_where_there_is_no_terminal() -> None:
    console = _console(False, 200)
    progress = tuning_progress(console)
    assert isinstance(progress, LineProgress)
    with progress:
        Script(progress, tasks()).whole()
    lines = _text(console).splitlines()
    assert lines[1].strip().startswith("profile")
    assert lines[2].strip() == "4 tasks, 90 % of a run of 20.00 ms"
    # The first ten seconds are over at the last trial.
    begin, end = (number for number, line in enumerate(lines) if "latency" in line)
    assert (
        "8 trials, 2 failed, 0.3 a second; latency 20.00 -> 15.00 ms expected, 1.33x; 1:09 left"
        in lines[begin]
    )
    names = [re.split("  +", line.strip())[0] for line in lines]
    assert names[begin + 1 : end] == [
        "conv2d 3x3 64->64 56x56",
        "note: the process that measures was started again",
    ]
    # Then, as the search ends, all of them.
    assert names[end + 1 : end + 5] == [
        *("conv2d 3x3 64->64 56x56", "conv2d 1x1 /2 256->512 56x56", "matmul ?x768x3072"),
        "depthwise 3x3 32 112x112",
    ]
    assert [re.sub(r"\s+[\d.]+ s$", "", line.strip()) for line in lines[-6:]] == [
        *("search", "compare"),
        "layout of 24 channels, lanes=8: one run 20.00 -> 16.00 ms, 1.250x, kept",
        "what follows conv2d 3x3 64->64 56x56, fused=0: one run 20.00 -> 22.00 ms, 0.909x, "
        "not kept, because it is slower",
        *("try other layouts and fusions", "compile with the log"),
    ]


def test_a_resumed_run_counts_what_the_log_holds() -> None:
    script = Script(LineProgress(_console(False, 200)), tasks())
    first = script.tasks[0]
    for trial in (default_of(first), outcome(first, 2.0), failure(first, "timeout", "", 1)):
        first.add(trial)
    progress = script.listener
    assert isinstance(progress, LineProgress)
    with progress:
        script.begin()
        assert progress.standings is not None
        assert (len(first.outcomes), first.failed) == (3, 1)
        assert progress.standings.trials == 0
        assert progress.standings.expected == pytest.approx(15e-3)
    assert "the log holds 3 trials of theirs" in _text(progress.console)


def test_an_interrupted_stage_has_no_time() -> None:
    console = _console(False)
    progress = tuning_progress(console)

    def interrupted() -> None:
        with progress:
            progress.stage("import")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert _text(console) == ""


def test_times_have_hours_where_there_are_some() -> None:
    assert [show_time(seconds) for seconds in (5.9, 65, 3605)] == ["0:05", "1:05", "1:00:05"]


def test_latencies_keep_the_digits_that_count() -> None:
    assert [show_ms(ms / 1e3) for ms in (1234.5, 80.446, 0.7654, 0.07654, 0.0012)] == [
        *("1234.50", "80.45", "0.765", "0.0765", "0.00120")
    ]
