"""The report of a tuning run: a page that stands alone and shows what happened."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from scripted_tuning import Script, default_of, failure, outcome, task, tasks

from paddle_tvm.compiler.tuning.history import History
from paddle_tvm.compiler.tuning.records import Elsewhere
from paddle_tvm.compiler.tuning.report import Content, write_tuning_report
from paddle_tvm.compiler.tuning.report.plot import ticks, time_ticks
from paddle_tvm.compiler.tuning.task import GraphTrial
from paddle_tvm.compiler.tuning.tune import TuneResult
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.offload import JointOffloading, Offloading
from paddle_tvm.targets.x86.matmul_workload import MatMul

_TABLES = ("winners", "choices")


class _Page(HTMLParser):
    """Rows of tables as lists of cells, and what the page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in ("src", "href") and value]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def _result(history: History) -> TuneResult:
    return TuneResult(
        log=Path("small.jsonl"),
        tasks=tuple(history.tasks),
        comparisons=tuple(history.comparisons),
        graph=tuple(history.graph_trials),
        default_seconds={2: 0.020, 1: 0.040},
        tuned_seconds={2: 0.016, 1: 0.032},
        trials=history.trials,
        failures={"crash": 1, "wrong": 1},
        elapsed=65.0,
        skipped=(),
    )


def _write(history: History, folder: Path, result: TuneResult | None) -> str:
    content = Content("small <model>", "x86 znver4 · 2 threads", 2, history, result, {"cpu": "Some & CPU"})
    write_tuning_report(content, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    history = History()
    Script(history, tasks()).whole()
    return _write(history, tmp_path_factory.mktemp("report"), _result(history))


def test_the_page_needs_no_other_file(page: str) -> None:
    assert all(link.startswith("#") for link in _Page(page).links)
    assert "http" not in page
    assert "<!--" not in page
    assert "<h1>Tuning of small &lt;model&gt;</h1>" in page


def test_what_won_comes_first_with_its_gain(page: str) -> None:
    rows = [row for row in _Page(page).rows if len(row) == 8]
    head, first, *others = rows
    assert head[:5] == ["operator", "gain, 2 threads", "gain, 1 thread", "saves in a run", "calls"]
    # Five calls of 2 ms, which take 1 ms now.
    assert first[1:] == ["2.00x", "2.00x", "5.000 ms", "5", "2.00 → 1.00", "231", "116 %"]
    # Both forms stand below the operator, where they can take as many lines as they need.
    name, default, winner = re.split("default |winner ", first[0])
    assert name == "conv2d 3x3 64->64 56x56"
    assert default != winner
    assert ["winner the default, " in row[0] for row in others] == [True] * 3
    assert "won in <b>1</b> of 4 tasks." in page


def test_gains_at_other_sizes_have_a_column_of_their_own(page: str, tmp_path: Path) -> None:
    assert "gain at other sizes" not in page
    history = History()
    Script(history, tasks()).whole()
    elsewhere = [
        Elsewhere(((1, 4, rows, 56, 16),), {2: 1e-3, 1: 2e-3}, {2: gain * 1e-3, 1: 2e-3})
        for rows, gain in ((28, 1.25), (112, 1.04))
    ]
    history.comparisons[0] = replace(history.comparisons[0], elsewhere=tuple(elsewhere))
    head, first, *others = (row for row in _Page(_write(history, tmp_path, None)).rows if len(row) == 9)
    assert head[3] == "gain at other sizes, 2 threads"
    assert first[1:5] == ["2.00x", "2.00x", "1.25x 1.04x", "5.000 ms"]
    assert [row[3] for row in others] == ["-"] * 3


def test_the_latency_of_the_model_over_time(page: str) -> None:
    found = re.search(r"const moments = (\[.*?\]), before", page)
    assert found is not None
    moments = json.loads(found.group(1))
    # From the first trial on; only the ends of a level stretch are kept.
    assert [moment[2] for moment in moments] == ["20.00", "20.00", "20.00", "15.00", "15.00"]
    assert moments[0][1] == "0:00"
    assert (moments[-1][0], moments[-1][1]) == (1.0, "0:20")


def test_measured_latencies_stand_apart_from_expected_ones(page: str) -> None:
    text = re.sub(r"<[^>]+>", " ", page)
    assert "16.00 ms" in text
    assert "1.25x; 20.00 ms in default forms, timed in turns" in text
    assert "a run of 15.00 ms" in text


def test_each_task_has_its_curve_with_failures_marked(page: str) -> None:
    cards = page.split('<div class="card">')[1:]
    assert len(cards) == 4
    first = cards[0]
    assert "<b>conv2d 3x3 64-&gt;64 56x56</b><em>2.00x</em>" in first
    assert "50.0 % of a run in default forms, 5 calls" in first
    assert len(re.findall(r"M[\d.]+ [\d.]+h0", first)) == 3
    assert first.count('class="failed"') == 1
    assert 'class="failed"' not in cards[3]


def test_failures_are_counted_by_kind_with_what_was_said(page: str) -> None:
    assert "<b>1</b> wrong" in page
    assert "<b>1</b> crash" in page
    assert "largest error &lt;0.5&gt;" in page
    assert "timeout" not in page


def test_choices_above_kernels_have_a_section_of_their_own(page: str) -> None:
    winners, choices = (page.split(f'<section id="{name}">')[1].split("</section>")[0] for name in _TABLES)
    assert "layout of 24 channels" in choices
    assert "layout of 24 channels" not in winners
    assert ["layout of 24 channels", "lanes=8", "1.25x", "20.00 → 16.00", "kept"] in _Page(page).rows
    rows = [row[0] for row in _Page(page).rows]
    assert "what follows conv2d 3x3 64->64 56x56" in rows


def test_a_run_that_chose_above_kernels_alone_does_not_speak_of_kernels(tmp_path: Path) -> None:
    history = History()
    Script(history, []).begin()
    times = {2: 0.016}, {2: 0.020}
    one = Offloading("a graph", "onednn", "a subgraph", 28)
    history.graph_trial(GraphTrial(one, {"taken": 0}, *times))
    history.graph_trial(GraphTrial(JointOffloading.of([one]), {"taken": 0}, *times, "it is slower"))
    page = _write(history, tmp_path, _result(history))
    assert "Choices above kernels" in page
    ours = "computed by our own kernels", "1.25x", "20.00 → 16.00"
    assert _Page(page).rows[1:3] == [
        ["subgraph of 28 Relax operators in onednn", *ours, "kept"],
        ["1 remaining subgraph of 28 Relax operators in onednn", *ours, "not kept: it is slower"],
    ]
    assert "What won" not in page
    assert "Nothing was tried" not in page
    assert "<h2>Tasks</h2>" not in page
    links = [link.removeprefix("#") for link in _Page(page).links]
    assert links == re.findall(r'<section id="(\w+)">', page)


def test_notes_stand_above_the_numbers(page: str) -> None:
    assert ["cpu", "Some & CPU"] in _Page(page).rows
    note = page.index("the process that measures was started again")
    assert note < page.index('class="facts"')


def test_a_model_that_became_slower_says_so_beside_its_time(tmp_path: Path) -> None:
    history = History()
    one = task(MatMul(1, 128, 768, 3072, 16), 0.5)
    script = Script(history, [one])
    script.begin()
    script.trial(one, default_of(one))
    script.trial(one, outcome(one, 1.5))
    script.compare(one, 1)
    result = replace(_result(history), tuned_seconds={2: 0.022, 1: 0.032})
    page = re.sub(r"<[^>]+>", " ", _write(history, tmp_path, result))
    assert "0.91x, slower; 20.00 ms in default forms, timed in turns" in page
    assert "1.25x; 40.00 ms in default forms" in page
    # The search had hoped for more, and the comparison has found nothing.
    assert "expected by the search" not in page


def test_an_interrupted_run_says_so(tmp_path: Path) -> None:
    history = History()
    script = Script(history, tasks())
    script.begin()
    script.defaults()
    page = _write(history, tmp_path, None)
    assert "Interrupted before the best forms were compared" in page
    assert "No form was compared with the default." in page


def test_trials_of_an_earlier_run_are_told_apart(tmp_path: Path) -> None:
    history = History()
    one = task(MatMul(1, 128, 768, 3072, 16), 0.5)
    for trial in (default_of(one), failure(one, "memory", "more than 4 GB")):
        one.add(trial)
    script = Script(history, [one])
    script.begin()
    script.trial(one, outcome(one, 1.5, 1))
    page = _write(history, tmp_path, None)
    assert page.count('<rect class="kept"') == 1
    assert "of an earlier run" in page
    assert ["earlier runs", "2 trials"] in _Page(page).rows
    assert re.search(r"<span>trials</span><b>1</b>", page)


def test_a_run_that_tried_nothing(tmp_path: Path) -> None:
    history = History()
    Script(history, []).begin()
    page = _write(history, tmp_path, None)
    assert "Nothing was tried." in page
    assert "Nothing failed." in page
    # A key would explain what is not there.
    assert "best forms so far" not in page


def test_a_run_that_only_compared_names_the_trials_before_it(tmp_path: Path) -> None:
    history = History()
    one = task(MatMul(1, 128, 768, 3072, 16), 0.5)
    for trial in (default_of(one), outcome(one, 1.5)):
        one.add(trial)
    Script(history, [one]).begin()
    page = _write(history, tmp_path, _result(history))
    assert "Nothing was tried in this run; the log holds 2 trials of earlier ones." in page
    assert page.count('<div class="card">') == 1


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no directory"):
        _write(History(), tmp_path / "missing", None)


def test_ticks_are_round_and_within() -> None:
    assert ticks(17.2, 24.9, 5) == [18.0, 20.0, 22.0, 24.0]
    assert ticks(0.0, 1.0, 5) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert time_ticks(100.0, 8) == [0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0]
