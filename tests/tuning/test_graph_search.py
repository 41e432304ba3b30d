"""Choices above kernels: they change nothing but the time, and the whole model decides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any, cast

import paddle
import pytest
from paddle import nn
from paddle.static import InputSpec
from tuning_records import header

from paddle_tvm import compiler
from paddle_tvm.compiler.driver import compile_model
from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.compiler.tuning.budget import Budget
from paddle_tvm.compiler.tuning.graph_search import alternatives, search_graph
from paddle_tvm.compiler.tuning.history import History
from paddle_tvm.compiler.tuning.log import Entry, LogWriter, read_log
from paddle_tvm.compiler.tuning.model_run import ModelRun
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.records import Winner
from paddle_tvm.compiler.tuning.task import Task
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.errors import UnsupportedModelError
from paddle_tvm.targets.workload import Choice, Config, GraphWorkload, Shapes
from paddle_tvm.targets.x86.conv2d_workload import Conv2d
from paddle_tvm.targets.x86.graph_workloads import BlockWidth, Epilogue

KERNEL = Conv2d(1, 28, 28, 24, 24, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, 16, 16)
NARROW = BlockWidth("a graph", 24, 16), {"lanes": 8}
ALONE = Epilogue("a graph", KERNEL.key), {"fused": 0}


class Net(nn.Layer):
    """Has 24 and 40 channels, joins and splits them, adds, gates and resizes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2D(3, 24, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2D(24, 24, 3, padding=1, groups=24)
        self.wide = nn.Conv2D(24, 40, 3, padding=1)
        self.back = nn.Conv2D(40, 24, 1)
        self.gate = nn.Conv2D(64, 64, 1)
        self.last = nn.Conv2D(64, 10, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = nn.functional.relu(self.first(x))
        x = x + nn.functional.hardswish(self.depthwise(x))
        wide = nn.functional.relu(self.wide(x))
        joined = paddle.concat([x + self.back(wide), wide], 1)
        gate = nn.functional.sigmoid(self.gate(joined.mean([2, 3], keepdim=True)))
        return self.last(nn.functional.interpolate(joined * gate, scale_factor=2))


@pytest.fixture(scope="module", params=[[1, 3, 20, 28], [None, 3, None, None]], ids=["fixed", "dynamic"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    paddle.seed(0)
    prefix = tmp_path_factory.mktemp("graph") / "model"
    paddle.jit.save(Net(), str(prefix), [InputSpec(request.param, "float32", "x")])
    return prefix


def graph_choices(model: Path, output: Path) -> Mapping[GraphWorkload, Choice]:
    options = CompileOptions(mcpu="skylake-avx512", force=True)
    return compile_model(model, output, options).variants[0].graph_choices


def test_every_form_of_every_choice_gives_the_same_model(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.pdtvm"
    # What this machine runs; its verification compares with Paddle.
    made = compile_model(model, output, CompileOptions()).variants[0].graph_choices
    forms = {
        workload.key: form
        for workload in made
        for form in workload.candidates()
        if form != workload.default()
    }
    assert {type(workload) for workload in made} == {BlockWidth, Epilogue}
    result = compile_model(model, tmp_path / "other.pdtvm", CompileOptions(verify=True, fixed_forms=forms))
    assert result.variants[0].kernels > read_table_size(output)
    verification = result.variants[0].verification
    assert verification is not None
    assert verification.passed


def read_table_size(artifact: Path) -> int:
    return len({record.kernel for record in read_manifest(artifact).variants[0].tuning})


def test_narrower_blocks_are_a_choice_where_they_leave_fewer_lanes_empty() -> None:
    assert [len(BlockWidth("g", channels, 16).candidates()) for channels in (16, 24, 32, 40, 41, 64)] == [
        *(1, 2, 1, 2, 1, 1)
    ]
    assert BlockWidth("g", 24, 16).default() == {"lanes": 16}
    assert BlockWidth("g", 24, 8).candidates() == [{"lanes": 8}]


def test_a_record_holds_for_its_own_graph_alone(model: Path, tmp_path: Path) -> None:
    made = graph_choices(model, tmp_path / "a.pdtvm")
    width = next(one for one in made if isinstance(one, BlockWidth) and one.channels == 24)
    log = tmp_path / "log.jsonl"
    other = BlockWidth("another", 40, 16)
    LogWriter(log, header()).append(
        [
            Winner(width, {"lanes": 8}, {2: 1.0, 1: 2.0}, width.default(), {2: 1.5, 1: 2.5}),
            Winner(other, {"lanes": 8}, {2: 1.0, 1: 2.0}, other.default(), {2: 1.5, 1: 2.5}),
        ]
    )
    output = tmp_path / "b.pdtvm"
    compiler.compile(model, output, mcpu="skylake-avx512", tuning_logs=log)
    tuned = {
        record.kernel: record.record
        for record in read_manifest(output).variants[0].tuning
        if record.origin == "tuned"
    }
    assert tuned == {"layout of 24 channels": "log.jsonl:2"}


def test_what_takes_little_and_what_was_tried_is_left_out() -> None:
    def task(share: float) -> Task:
        return Task(KERNEL, cast(Any, None), ("kernel",), 1, share, share)

    workloads = [ALONE[0], NARROW[0], BlockWidth("a graph", 32, 16)]
    assert alternatives(workloads, [task(0.1)], {}, ()) == [NARROW, ALONE]
    assert alternatives(workloads, [task(0.01)], {}, ()) == [NARROW]
    tried = [Outcome(NARROW[1], "ok", (1.0,))]
    assert alternatives(workloads, [task(0.1)], {(NARROW[0], ()): tried}, ()) == [ALONE]
    # At other sizes it is another question.
    small, large = ((1, 3, 32, 32),), ((1, 3, 640, 640),)
    assert alternatives(workloads, [task(0.1)], {(NARROW[0], small): tried}, large) == [NARROW, ALONE]


class Run:
    """Takes a model's place: seconds of a run, by the choices that are fixed and the number of threads."""

    def __init__(self, folder: Path, seconds: Mapping[frozenset[str], Mapping[int, float]]) -> None:
        self.compile_seconds = 0.0
        self.shapes: Shapes = ()
        self._folder = folder
        self._seconds = seconds
        self._of: dict[Path, frozenset[str]] = {}

    def compile(
        self, name: str, log: Path | None, fixed: Mapping[GraphWorkload, Config]
    ) -> tuple[Path, None]:
        path = self._folder / name
        path.mkdir()
        self._of[path] = frozenset(workload.operator for workload in fixed)
        if self._of[path] not in self._seconds:
            raise UnsupportedModelError("no such form")
        return path, None

    def time(self, artifacts: Mapping[str, Path], threads: int) -> dict[str, float]:
        return {name: self._seconds[self._of[path]][threads] for name, path in artifacts.items()}


NEITHER, BOTH = frozenset[str](), frozenset({"block_width", "epilogue"})
FIRST, SECOND = frozenset({"block_width"}), frozenset({"epilogue"})
BEFORE = {2: 1.0, 1: 2.0}
UNLIMITED = Budget(0.0, None, None)


@pytest.mark.parametrize(
    ("seconds", "won"),
    [
        # The second is compared with the first, which was kept.
        ({NEITHER: BEFORE, FIRST: {2: 0.9, 1: 1.9}, BOTH: {2: 0.8, 1: 1.8}}, [True, True]),
        ({NEITHER: BEFORE, FIRST: {2: 0.9, 1: 1.9}, BOTH: {2: 0.89, 1: 1.8}}, [True, False]),
        # Slower with one thread.
        ({NEITHER: BEFORE, FIRST: {2: 0.9, 1: 2.1}, SECOND: {2: 0.9, 1: 2.0}}, [False, True]),
        # What cannot be compiled is passed over.
        ({NEITHER: BEFORE, SECOND: {2: 0.9, 1: 2.0}}, [True]),
    ],
)
def test_what_makes_the_whole_model_faster_is_kept(
    tmp_path: Path, seconds: dict[frozenset[str], dict[int, float]], won: list[bool]
) -> None:
    log, history = tmp_path / "log.jsonl", History()
    run = cast(ModelRun, Run(tmp_path, seconds))
    writer = LogWriter(log, header())
    trials = search_graph(run, log, [NARROW, ALONE], (2, 1), writer, history, UNLIMITED, "2 choices")
    assert [trial.won for trial in trials] == won
    assert history.graph_trials == trials
    records = [entry.record for entry in read_log(log) if isinstance(entry, Entry)]
    assert sum(isinstance(record, Winner) for record in records) == sum(won)
    assert len(records) == 2 + sum(won)
    assert len(history.notes) == 2 - len(won)


@pytest.mark.parametrize(
    ("after", "threads", "reason"),
    [
        ({2: 0.985, 1: 2.0}, (2, 1), "it gains less than 2 %"),
        ({2: 1.1, 1: 2.0}, (2, 1), "it is slower"),
        ({2: 0.9, 1: 2.1}, (2, 1), "it is slower with 1 thread: 2000 -> 2100 ms"),
        # Where one thread is all that there is, it has to gain as much.
        ({1: 1.97}, (1,), "it gains less than 2 %"),
        ({1: 1.9}, (1,), None),
    ],
)
def test_what_is_not_kept_has_a_reason(
    tmp_path: Path, after: dict[int, float], threads: tuple[int, ...], reason: str | None
) -> None:
    run = cast(ModelRun, Run(tmp_path, {NEITHER: BEFORE, FIRST: after}))
    log = tmp_path / "log.jsonl"
    writer = LogWriter(log, header(threads=threads[0]))
    (trial,) = search_graph(run, log, [NARROW], threads, writer, History(), UNLIMITED, "1 choice")
    assert (trial.rejected, trial.won) == (reason, reason is None)


def test_what_the_budget_leaves_out_is_told(tmp_path: Path) -> None:
    run = cast(ModelRun, Run(tmp_path, {NEITHER: BEFORE, FIRST: BEFORE}))
    log, history = tmp_path / "log.jsonl", History()
    writer = LogWriter(log, header())
    tried = [NARROW, ALONE]
    budget = Budget(monotonic(), None, trials=1)
    assert len(search_graph(run, log, tried, (2, 1), writer, history, budget, "2 choices")) == 1
    assert "no trials for 1 of 2 choices" in history.notes[-1]


def test_no_trial_is_begun_that_would_end_after_the_budget(tmp_path: Path) -> None:
    run = Run(tmp_path, {})
    run.compile_seconds = 30.0
    log, history = tmp_path / "log.jsonl", History()
    writer = LogWriter(log, header())
    # Two compilations take longer than that; nothing is compiled, which this run could not.
    budget = Budget(monotonic(), 60.0, None)
    arguments = (log, [NARROW, ALONE], (2, 1), writer, history, budget, "2 choices")
    assert search_graph(cast(ModelRun, run), *arguments) == []
    assert history.notes == [
        "the budget leaves no time for 2 of 2 choices: nothing changes there; the same command with a larger "
        "budget goes on"
    ]
    assert budget.made == 0
