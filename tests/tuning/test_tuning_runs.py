"""Whole tuning runs: killed and resumed, side by side, and what compiling takes from them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import paddle
import pytest
from paddle import nn
from paddle.static import InputSpec

from paddle_tvm import compiler
from paddle_tvm.compiler.tuning.candidate import Kernel
from paddle_tvm.compiler.tuning.history import History
from paddle_tvm.compiler.tuning.log import Entry, read_log
from paddle_tvm.compiler.tuning.measure import Measurer
from paddle_tvm.compiler.tuning.options import TuneOptions
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.records import Trial, Winner
from paddle_tvm.compiler.tuning.tune import tune_model
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.workload import Config, Shapes

COMMAND = [sys.executable, "-c", "from paddle_tvm.compiler.cli.main import main; main()"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("tuned") / "model"
    layer = nn.Sequential(
        nn.Conv2D(3, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2D(32, 64, 1),
        nn.Flatten(),
        nn.Linear(64 * 196, 10),
    )
    paddle.jit.save(layer, str(prefix), [InputSpec([1, 3, 28, 28])])
    return prefix


def start(model: Path, log: Path, trials: int, seed: int = 0) -> subprocess.Popen[bytes]:
    options = ["--trials", str(trials), "--min-share", "0", "--seed", str(seed), "--threads", "1"]
    return subprocess.Popen(
        [*COMMAND, "tune", str(model), "-o", str(log), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def trials(log: Path) -> list[tuple[str, str]]:
    """Workload and form of each trial; every line but a last one that was cut has to be sound."""
    entries = list(read_log(log))
    assert all(isinstance(entry, Entry) for entry in entries), entries
    return [
        (entry.record.workload.key, json.dumps(dict(entry.record.outcome.config), sort_keys=True))
        for entry in entries
        if isinstance(entry, Entry) and isinstance(entry.record, Trial)
    ]


def kill_when(process: subprocess.Popen[bytes], log: Path, lines: int, delay: float) -> None:
    """SIGKILL, a moment after the log has so many lines."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if log.exists() and log.read_bytes().count(b"\n") >= lines:
            break
        time.sleep(0.01)
    time.sleep(delay)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


def kill_and_resume(model: Path, log: Path, times: int) -> None:
    rng = random.Random(5)
    held = 0
    for _ in range(times):
        kill_when(start(model, log, 1000), log, held + rng.randint(2, 6), rng.uniform(0, 0.3))
        lines = log.read_bytes()
        # A line that was being written is the only one that may be lost.
        assert lines.rpartition(b"\n")[0].count(b"\n") + 1 >= held
        held = lines.count(b"\n")
        assert max(Counter(trials(log)).values(), default=0) <= 1
    last = start(model, log, 6)
    _, said = last.communicate(timeout=300)
    assert last.returncode == 0, said.decode()
    done = trials(log)
    assert max(Counter(done).values()) == 1
    assert any(isinstance(entry.record, Winner) for entry in read_log(log) if isinstance(entry, Entry))


def test_a_run_that_is_killed_goes_on_from_its_log(model: Path, tmp_path: Path) -> None:
    kill_and_resume(model, tmp_path / "log.jsonl", 2)


def test_what_a_failing_default_form_leaves_unchecked_is_not_a_trial(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, history = tmp_path / "log.jsonl", History()
    options = TuneOptions(threads=1, trials=8, ops=("conv2d",), min_share=0.0)

    def measure(_: Measurer, kernel: Kernel, configs: Sequence[Config]) -> Iterator[Outcome]:
        default = kernel.workload.default()
        for config in configs:
            yield Outcome(config, "crash" if config == default else "unchecked", detail="killed by SIGKILL")

    with monkeypatch.context() as patched:
        patched.setattr(Measurer, "measure", measure)
        result = tune_model(model, log, options, history)
    # Two convolutions, whose default forms failed.
    assert result.trials == len(trials(log)) == 2
    assert sum("it is left alone in this run" in note for note in history.notes) == 2
    result = tune_model(model, log, options, History())
    assert [task.default is None for task in result.tasks] == [False, False]
    assert max(Counter(trials(log)).values()) == 2


@pytest.mark.slow
def test_ten_kills_lose_and_repeat_nothing(model: Path, tmp_path: Path) -> None:
    kill_and_resume(model, tmp_path / "log.jsonl", 10)


def test_two_runs_on_one_log(model: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    runs = [start(model, log, 8, seed) for seed in (1, 2)]
    for run in runs:
        _, said = run.communicate(timeout=300)
        assert run.returncode == 0, said.decode()
    assert len(trials(log)) == 16


def test_the_same_log_gives_the_same_artifact(model: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    run = start(model, log, 12)
    _, said = run.communicate(timeout=300)
    assert run.returncode == 0, said.decode()
    for name in ("one", "two"):
        compiler.compile(model, tmp_path / name, tuning_logs=log)
    files = sorted(
        path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()
    )
    assert files
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    origins = {record.origin for record in read_manifest(tmp_path / "one").variants[0].tuning}
    assert origins <= {"tuned", "transferred", "default"}
    assert origins


def test_kernels_for_which_there_is_no_time_are_told(model: Path, tmp_path: Path) -> None:
    history = History()
    options = TuneOptions(threads=1, seconds=0.01, min_share=0.0)
    result = tune_model(model, tmp_path / "log.jsonl", options, history)
    assert result.trials == 0
    count = len(result.tasks)
    assert count > 1
    assert f"the budget leaves no time for {count} of {count} kernels" in "\n".join(history.notes)


def test_a_dynamic_model_is_tuned_at_the_sizes_that_are_told(tmp_path: Path) -> None:
    # Sizes after the first stride are no dimension of a tensor.
    layer = nn.Sequential(
        nn.Conv2D(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2D(16, 32, 1), nn.Conv2D(32, 32, 3, 2, 1)
    )
    paddle.jit.save(layer, str(tmp_path / "model"), [InputSpec([None, 3, None, None], "float32", "x")])
    log = tmp_path / "log.jsonl"
    known: set[tuple[str, Shapes]] = set()
    for sizes in ([], [{"x": (2, 3, 37, 50)}], [{"x": (2, 3, 37, 51)}, {"x": (1, 3, 64, 64)}]):
        history = History()
        options = TuneOptions(threads=1, trials=9, min_share=0.0, sizes=sizes)
        result = tune_model(tmp_path / "model", log, options, history)
        assert result.trials == 9
        assert not result.failures
        (measured,) = (note for note in history.notes if "dynamic dimensions are measured at" in note)
        assert ("x=2,3,37,5" if sizes else "x=1,3,224,256") in measured
        assert ("--measure-shape" in measured) != bool(sizes)
        assert ("x=1,3,64,64" in measured) == (len(sizes) > 1)
        # What was tried at other sizes is no trial of this run.
        tried = {(task.workload.key, task.kernel.shapes) for task in result.tasks}
        assert not tried & known
        known |= tried
        assert result.comparisons
        for comparison in result.comparisons:
            assert comparison.task.flops
            assert comparison.task.kernel.shapes
            assert len(comparison.elsewhere) == (2, 0, 1)[len(sizes)]
            assert comparison.task.kernel.shapes not in [place.shapes for place in comparison.elsewhere]
    written = [entry.record for entry in read_log(log) if isinstance(entry, Entry)]
    assert {(one.workload.key, one.shapes) for one in written} == known


def test_sizes_to_measure_with_are_refused_where_none_is_open(model: Path, tmp_path: Path) -> None:
    options = TuneOptions(threads=1, trials=0, sizes=[{"x": (1, 3, 28, 28)}])
    with pytest.raises(UsageError, match=r"here all are fixed .*28,28.*leave it out"):
        tune_model(model, tmp_path / "log.jsonl", options, History())
    # Nothing was tried.
    assert not (tmp_path / "log.jsonl").exists()


def test_sizes_that_the_model_cannot_take_are_named(tmp_path: Path) -> None:
    paddle.jit.save(
        nn.Conv2D(3, 8, 3), str(tmp_path / "model"), [InputSpec([None, 3, None, None], "float32", "x")]
    )
    for sizes, what in (
        (
            {"x": (1, 4, 8, 8)},
            r"--measure-shape x=1,4,8,8: input 'x' is given .* open dimensions of x=x_0,3,",
        ),
        ({"y": (1, 3, 8, 8)}, r"--measure-shape y=1,3,8,8: the model has no input y"),
        ({"x": (1, 3, 8, 1)}, r"--measure-shape x=1,3,8,1: input 'x': expected at least 3"),
    ):
        options = TuneOptions(threads=1, trials=0, sizes=[{"x": (1, 3, 8, 8)}, sizes])
        with pytest.raises(UsageError, match=what):
            tune_model(tmp_path / "model", tmp_path / "log.jsonl", options, History())
        assert not (tmp_path / "log.jsonl").exists()
