"""A log does not make a model slower: what has won is taken back where it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from scripted_tuning import outcome, tasks
from tuning_records import header

from paddle_tvm.compiler.tuning.choices import TunedChoices
from paddle_tvm.compiler.tuning.history import History
from paddle_tvm.compiler.tuning.log import Entry, LogWriter, read_log
from paddle_tvm.compiler.tuning.model_run import ModelRun
from paddle_tvm.compiler.tuning.records import Winner
from paddle_tvm.compiler.tuning.task import Comparison, GraphTrial
from paddle_tvm.compiler.tuning.whole_model import WholeModel, time_whole_model
from paddle_tvm.targets.workload import Config, GraphWorkload, Shapes
from paddle_tvm.targets.x86 import x86_target
from paddle_tvm.targets.x86.graph_workloads import BlockWidth

DEFAULT = {2: 1.0, 1: 2.0}
FASTER, NOISE, SLOWER, SLOWER_ALONE = {2: 0.9, 1: 1.8}, {2: 1.01, 1: 2.0}, {2: 1.1, 1: 1.9}, {2: 0.9, 1: 2.1}


class Run:
    """Takes a model's place: what it takes with the log, time after time, by the number of threads."""

    shapes: Shapes = ()

    def __init__(self, tuned: Sequence[Mapping[int, float]]) -> None:
        self._tuned = {threads: [seconds[threads] for seconds in tuned] for threads in DEFAULT}

    def compile(
        self, name: str, log: Path | None, fixed: Mapping[GraphWorkload, Config]
    ) -> tuple[Path, None]:
        return Path(name), None

    def time(self, artifacts: Mapping[str, Path], threads: int) -> dict[str, float]:
        assert set(artifacts) == {"default", "tuned"}
        return {"default": DEFAULT[threads], "tuned": self._tuned[threads].pop(0)}


@pytest.mark.parametrize(
    ("tuned", "taken_back"),
    [
        ([FASTER], 0),
        ([NOISE], 0),
        # The second time it was not.
        ([SLOWER, FASTER], 0),
        ([SLOWER, SLOWER], 2),
        ([SLOWER_ALONE, SLOWER_ALONE], 2),
    ],
)
def test_what_makes_the_model_slower_is_taken_back(
    tmp_path: Path, tuned: list[dict[int, float]], taken_back: int
) -> None:
    log, history = tmp_path / "log.jsonl", History()
    first, second, *_ = tasks()
    form = outcome(first, 1.5)
    won = Comparison(first, form, {2: 1.0, 1: 2.0}, {2: 1.5, 1: 3.0})
    kept = Comparison(second, replace(form, config=second.workload.default()), {2: 1.0}, {2: 1.0})
    width = BlockWidth("a graph", 24, 16)
    above = GraphTrial(width, {"lanes": 8}, {2: 0.9, 1: 1.9}, DEFAULT)
    rejected = GraphTrial(BlockWidth("a graph", 40, 16), {"lanes": 8}, DEFAULT, DEFAULT, "it is slower")
    writer = LogWriter(log, header())
    writer.append(
        [
            Winner(first.workload, form.config, won.seconds, first.workload.default(), won.default),
            Winner(width, above.config, above.seconds, width.default(), above.default),
        ]
    )
    whole = time_whole_model(
        cast(ModelRun, Run(tuned)),
        tmp_path / "default",
        log,
        (2, 1),
        "with {} threads".format,
        [won, kept],
        [above, rejected],
        writer,
        history,
    )
    assert whole == WholeModel(DEFAULT, tuned[-1], taken_back)
    records = [entry.record for entry in read_log(log) if isinstance(entry, Entry)]
    assert len(records) == 2 + taken_back
    choices = TunedChoices(x86_target("icelake-server"), [log])
    for workload, config in ((first.workload, form.config), (width, above.config)):
        assert choices.of(workload).config == (workload.default() if taken_back else config)
    if taken_back:
        (note,) = history.notes
        assert f"with {1 if tuned[0] is SLOWER_ALONE else 2} threads the model is slower with the log" in note
    else:
        assert not history.notes
