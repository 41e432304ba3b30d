"""``paddle-tvm tune``: what it asks the tuner for, what it prints, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import paddle
import pytest
from cli_outcome import Run
from paddle import nn
from paddle.static import InputSpec
from saved_layers import save
from scripted_tuning import CONV, DYNAMIC, Script, tasks

from paddle_tvm.compiler.cli import tune_run
from paddle_tvm.compiler.cli.tune_values import parse_duration, parse_share
from paddle_tvm.compiler.tuning import tune as tuning
from paddle_tvm.compiler.tuning.history import History
from paddle_tvm.compiler.tuning.log import Entry, LogWriter, Skipped, read_log
from paddle_tvm.compiler.tuning.options import TuneOptions
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.records import Header, Trial, Winner
from paddle_tvm.compiler.tuning.task import GraphTrial, Start, TuningListener
from paddle_tvm.compiler.tuning.tune import TuneResult
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.x86.graph_workloads import BlockWidth

HEADER = Header(
    "x86-avx512", "Some CPU", "znver4", ("avx512f",), 2, "2026-11-22T10:00:00+00:00", "0.1.0", "0.27.0"
)


class Tuner:
    """Takes the tuner's place: plays the script, and remembers what it was asked for."""

    model: Path
    log: Path
    options: TuneOptions

    def __init__(self) -> None:
        self.play: Callable[[Script], object] = Script.whole
        self.graph: tuple[GraphTrial, ...] = ()
        self.tuned_seconds = {2: 0.016, 1: 0.032}
        self.taken_back = 0

    def __call__(self, model: Path, log: Path, options: TuneOptions, listener: TuningListener) -> TuneResult:
        self.model, self.log, self.options = model, log, options
        seen = History()
        script = Script(listener, tasks(), options.threads)
        compared = self.play(script)
        seen.begin(Start(script.tasks, 0.02, 200.0))
        return TuneResult(
            log=log,
            tasks=tuple(script.tasks),
            comparisons=tuple(compared) if isinstance(compared, list) else (),
            graph=self.graph,
            default_seconds={2: 0.020, 1: 0.040},
            tuned_seconds=self.tuned_seconds,
            trials=8,
            failures={"crash": 1, "wrong": 1},
            elapsed=65.0,
            skipped=(Skipped(log, 7, "not JSON: no end", False),),
            taken_back=self.taken_back,
        )


@pytest.fixture
def tuner(monkeypatch: pytest.MonkeyPatch) -> Tuner:
    tuner = Tuner()
    monkeypatch.setattr(tuning, "tune_model", tuner)
    return tuner


def _winner(gain: float = 2.0) -> Winner:
    form = next(form for form in CONV.candidates() if form != CONV.default())
    return Winner(CONV, form, {2: 1e-3 / gain, 1: 2e-3 / gain}, CONV.default(), {2: 1e-3, 1: 2e-3})


def test_options_reach_the_tuner(run: Run, tuner: Tuner, saved_model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    LogWriter(other, HEADER).append([])
    result = run(
        *("tune", saved_model, "-o", tmp_path / "log.jsonl", "--trials", 50, "--time-budget", "1h30m"),
        *("--ops", "conv2d, matmul", "--min-share", "2.5%", "--threads", 3, "--seed", 7),
        *("--shape", "x=1,3,-1,-1", "--measure-shape", "x=1,3,32,32; x=1,3,64,64"),
        *("--mcpu", "haswell"),
        *("--tuning-log", other, "--no-tuning-logs", "--rpc", "tracker:9190", "--key", "zen"),
    )
    assert result.code == 0, result.err
    options = tuner.options
    assert (tuner.model, tuner.log) == (saved_model, tmp_path / "log.jsonl")
    assert (options.trials, options.seconds, options.ops) == (50, 5400.0, ("conv2d", "matmul"))
    assert (options.min_share, options.threads, options.seed) == (0.025, 3, 7)
    assert options.rpc == ("tracker", 9190, "zen")
    assert options.compile.mcpus() == ("haswell",)
    assert options.compile.shapes == {"x": (1, 3, -1, -1)}
    assert options.sizes == [{"x": (1, 3, 32, 32)}, {"x": (1, 3, 64, 64)}]
    assert (options.compile.tuning_logs, options.compile.shipped_logs) == ((other,), False)


def test_without_options_there_is_no_limit(run: Run, tuner: Tuner, saved_model: Path, tmp_path: Path) -> None:
    assert run("tune", saved_model, "-o", tmp_path / "log.jsonl").code == 0
    options = tuner.options
    assert (options.trials, options.seconds, options.ops, options.rpc) == (None, None, (), None)
    assert options.min_share == 0.01
    assert options.threads >= 1
    assert options.compile.shipped_logs


def test_a_directory_gets_a_log_named_like_the_model(
    run: Run, tuner: Tuner, saved_model: Path, tmp_path: Path
) -> None:
    assert run("tune", saved_model, "-o", tmp_path).code == 0
    assert tuner.log == tmp_path / f"{saved_model.name}.jsonl"


def test_by_default_the_log_lies_under_its_target_class(
    run: Run, tuner: Tuner, saved_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("tune", saved_model.resolve(), "--mcpu", "haswell").code == 0
    assert tuner.log == Path("tuning_logs/x86-avx2") / f"{saved_model.name}.jsonl"
    assert (tmp_path / tuner.log.parent).is_dir()


def test_a_log_among_those_of_the_package_is_told(
    run: Run, tuner: Tuner, saved_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tune_run, "shipped_folder", lambda target: tmp_path / "tuning_logs" / "x86-avx2")
    tune = ("tune", saved_model.resolve(), "--mcpu", "haswell")
    said = run(*tune).err
    assert f"note: {tuner.log} lies among the logs that the package brings" in said
    assert "name another place with -o" in said
    assert "lies among" not in run(*tune, "-o", tmp_path / "log.jsonl").err


def test_onednn_says_when_it_takes_nothing(run: Run, saved_model: Path, tmp_path: Path) -> None:
    tune = ("tune", saved_model, "-o", tmp_path / "log.jsonl", "--target", "onednn", "--trials", 0)
    result = run(*tune)
    assert result.code == 0, result.err
    (note,) = [line for line in result.err.splitlines() if line.startswith("note: onednn computes nothing")]
    assert "stay with our kernels" in note
    assert "because: " in note
    assert note.endswith("So our own kernels are all that is tuned")
    assert "onednn computes nothing" not in run(*tune, "--shape", "x=1,3,16,16").err


def test_the_result_says_what_became_faster_and_what_to_do_next(
    run: Run, tuner: Tuner, saved_model: Path, tmp_path: Path
) -> None:
    log, report = tmp_path / "log.jsonl", tmp_path / "report.html"
    result = run("tune", saved_model, "-o", log, "--threads", 2, "--report", report)
    assert result.code == 0
    lines = [" ".join(line.split()) for line in result.out.splitlines()]
    (row,) = (line for line in lines if line.startswith("conv2d"))
    assert row.startswith("conv2d 3x3 64->64 56x56 50.0 % 5 2.00 -> 1.00 2.00x 2.00x")
    (summary,) = (line for line in lines if line.startswith("1 of 4 tasks, together 90 % of a run"))
    assert summary.endswith("became faster; 8 trials, 2 failed (1 crash, 1 wrong), in 1:05")
    assert "one run, 2 threads: 20.00 -> 16.00 ms, 1.25x" in lines
    assert f"next: paddle-tvm compile {saved_model} -o OUTPUT.pdtvm --tuning-log {log}" in lines
    assert "latency 20.00 -> 15.00 ms expected" in result.err
    assert "Tuning of" in report.read_text()


@pytest.mark.parametrize(("after", "slower"), [({2: 0.016, 1: 0.044}, [1]), ({2: 0.0202, 1: 0.0401}, [])])
def test_a_log_that_makes_the_model_slower_is_not_recommended(
    run: Run, tuner: Tuner, saved_model: Path, tmp_path: Path, after: dict[int, float], slower: list[int]
) -> None:
    tuner.tuned_seconds = after
    tune = ("tune", saved_model, "-o", tmp_path / "log.jsonl", "--threads", 2)
    result = run(*tune)
    lines = result.out.splitlines()
    assert not [line for line in lines if line.startswith("next:")]
    assert lines[-1].startswith("the model as a whole ")
    assert lines[-1].endswith("or compile without the log")
    assert ("slower with the log (1 thread)" in lines[-1]) == bool(slower)
    assert ("one run, 1 thread: 40.00 -> 44.00 ms, 0.91x: slower with the log" in lines) == bool(slower)
    assert json.loads(run(*tune, "--json").out)["slower_with"] == slower
    tuner.taken_back = 3 if slower else 0
    assert ("What has won is taken back" in run(*tune).out) == bool(slower)
    assert json.loads(run(*tune, "--json").out)["taken_back"] == tuner.taken_back


def test_choices_above_kernels_that_won_are_named(
    run: Run, tuner: Tuner, saved_model: Path, tmp_path: Path
) -> None:
    form, before = {"lanes": 8}, {2: 0.02, 1: 0.04}
    tuner.graph = (
        GraphTrial(BlockWidth("a graph", 24, 16), form, {2: 0.016, 1: 0.032}, before),
        GraphTrial(BlockWidth("a graph", 40, 16), form, {2: 0.0198}, before, "it gains less than 2 %"),
    )
    tuner.play = lambda script: (script.begin(), script.defaults())
    tune = ("tune", saved_model, "-o", tmp_path / "log.jsonl", "--threads", 2)
    out = run(*tune).out
    assert "layout of 24 channels, lanes=8: one run 20.00 -> 16.00 ms, 1.250x\n" in out
    assert "40 channels" not in out
    assert "0 of 4 tasks, together 90 % of a run, became faster; 1 choice above kernels won; 8 trials" in out
    assert "next: paddle-tvm compile" in out
    rejected = [trial["rejected"] for trial in json.loads(run(*tune, "--json").out)["graph"]]
    assert rejected == [None, "it gains less than 2 %"]


def test_the_page_names_the_target_that_was_asked_for(
    run: Run, tuner: Tuner, saved_model: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    arguments = ("-o", tmp_path / "log.jsonl", "--target", "onednn", "--mcpu", "haswell", "--report", report)
    assert run("tune", saved_model, *arguments).code == 0
    assert '<p class="subtitle">onednn haswell ' in report.read_text()


def test_the_next_command_compiles_as_the_model_was_tuned(
    run: Run, tuner: Tuner, saved_model: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    tuned_as = ["--mcpu", "haswell", "--shape", "x=1,3,32,32"]
    lines = run("tune", saved_model, "-o", log, "--threads", 2, *tuned_as).out.splitlines()
    command = " ".join(["paddle-tvm compile", str(saved_model), "-o OUTPUT.pdtvm", *tuned_as])
    assert f"next: {command} --tuning-log {log}" in lines


def test_json_and_nothing_else_on_stdout(run: Run, tuner: Tuner, saved_model: Path, tmp_path: Path) -> None:
    log, report = tmp_path / "log.jsonl", tmp_path / "report.html"
    content = json.loads(
        run("tune", saved_model, "-o", log, "--json", "--threads", 2, "--report", report).out
    )
    assert content["log"] == str(log)
    assert content["report"] == str(report)
    assert content["tuned_ms"] == {"2": 16.0, "1": 32.0}
    assert content["failures"] == {"crash": 1, "wrong": 1}
    assert content["tasks"][0]["workload"]["operator"] == "conv2d"
    assert content["tasks"][0]["gain"] == 2.0
    assert content["comparisons"][0]["ms"] == {"2": 1.0, "1": 2.0}
    assert content["skipped_records"] == [{"log": str(log), "line": 7, "reason": "not JSON: no end"}]


def _interrupt_after(script: Script, compared: bool) -> None:
    if compared:
        script.whole()
    else:
        script.begin()
        script.defaults()
    raise KeyboardInterrupt


@pytest.mark.parametrize(("compared", "trials"), [(False, 4), (True, 8)])
def test_an_interruption_says_what_is_kept_and_how_to_go_on(
    run: Run, tuner: Tuner, saved_model: Path, tmp_path: Path, compared: bool, trials: int
) -> None:
    tuner.play = lambda script: _interrupt_after(script, compared)
    log, report = tmp_path / "log.jsonl", tmp_path / "report.html"
    result = run("tune", saved_model, "-o", log, "--report", report)
    assert result.code == 130
    assert f"interrupted; {trials} trials" in result.err
    assert f"of this run are in {log}, from where the same command goes on" in result.err
    assert ("--trials 0" in result.err) != compared
    assert "Interrupted before" in report.read_text()
    assert result.out == ""


def test_an_interruption_before_the_search(run: Run, tuner: Tuner, saved_model: Path, tmp_path: Path) -> None:
    def play(script: Script) -> None:
        script.listener.stage("import")
        raise KeyboardInterrupt

    tuner.play = play
    result = run("tune", saved_model, "-o", tmp_path / "log.jsonl", "--report", tmp_path / "report.html")
    assert (result.code, result.err.strip()) == (130, "interrupted before anything was tried")
    assert not (tmp_path / "report.html").exists()


def test_an_error_of_the_tuner_is_one_message(
    run: Run, tuner: Tuner, saved_model: Path, tmp_path: Path
) -> None:
    def play(script: Script) -> None:
        script.begin()
        raise UsageError("the disk is full")

    tuner.play = play
    result = run("tune", saved_model, "-o", tmp_path / "log.jsonl")
    assert result.code == 2
    assert result.err.splitlines()[-1] == "error: the disk is full"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected one MODEL to tune, got none"),
        (["{model}", "{model}"], "expected one MODEL to tune"),
        (["{model}", "--trials", "-1"], "--trials"),
        (["{model}", "--time-budget", "0s"], "expected a time with its unit, such as 90s, 30m"),
        (["{model}", "--time-budget", "10"], "expected a time with its unit, such as 90s, 30m"),
        (["{model}", "--min-share", "1"], "such as 1% or 0.01"),
        (["{model}", "--ops", " ,"], "--ops names no operator"),
        (
            ["{model}", "--ops", "conv2d,abacus", "-o", "{new}"],
            "--ops abacus: no operator that can be tuned; known",
        ),
        # It comes with `offloading`.
        (["{model}", "--ops", "joint_offloading", "-o", "{new}"], "no operator that can be tuned; known"),
        (["{model}", "--rpc", "host:1"], "with --key"),
        (["{model}", "--key", "zen"], "say which with --rpc HOST:PORT"),
        (["{model}", "--rpc", "host", "--key", "zen"], "expected HOST:PORT"),
        (["{model}", "--rpc", "host:99999", "--key", "zen"], "expected HOST:PORT"),
        (["{model}", "--shape", "x=1,3,8,8;x=2,3,8,8"], "tune them one after the other"),
        (
            ["{model}", "--measure-shape", "x=0,3,8,8"],
            "--measure-shape x=0,3,8,8: a dimension of 0 leaves nothing to measure",
        ),
        (
            ["{model}", "--measure-shape", "x=1,3,-1,8"],
            "--measure-shape x=1,3,-1,8: every dimension must be a number",
        ),
        (["{model}", "-o", "{new}", "--report", "{new}"], "that is the log; name another file"),
        (["{model}", "--force"], "--force is for --merge"),
        (["--check"], "name at least one LOG"),
        (["--check", "--merge", "a"], "two commands"),
        (["--check", "a", "--trials", "3", "-o", "b"], "-o, --trials are not for --check"),
        (["--merge", "a"], "name the log to write with -o"),
        (["--merge", "a", "-o", "b", "--report", "c"], "--report is not for --merge"),
        (["--check", "nowhere.jsonl"], "no such tuning log: nowhere.jsonl"),
    ],
)
def test_wrong_usage(
    run: Run, tuner: Tuner, saved_model: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    places = {"model": saved_model, "new": tmp_path / "new.jsonl"}
    result = run("tune", *(argument.format(**places) for argument in arguments))
    assert result.code == 2
    assert message in result.err
    assert not hasattr(tuner, "options")


def test_times_and_shares() -> None:
    times = ("90s", "1.5m", "30m", "2h", "1h30m", "1h2m3s")
    assert [parse_duration(time) for time in times] == [90, 90, 1800, 7200, 5400, 3723]
    assert [parse_share(share) for share in ("1%", "2.5 %", "0.01", "0")] == [0.01, 0.025, 0.01, 0.0]
    for value in ("", "m", "1", "1h30", "-1s", "1d", "30m1h", "1e3", "\N{ARABIC-INDIC DIGIT FIVE}m"):
        with pytest.raises(UsageError):
            parse_duration(value)
    for value in ("", "%", "100%", "-1%", "nan"):
        with pytest.raises(UsageError):
            parse_share(value)


def test_check_tells_what_can_be_applied_from_what_cannot(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    trial = Trial(CONV, Outcome(CONV.default(), "ok", (1e-3,)))
    no_form = Trial(DYNAMIC, Outcome({"points": 99}, "ok", (1e-3,)))
    kept = Winner(DYNAMIC, DYNAMIC.default(), {2: 1e-3}, DYNAMIC.default(), {2: 1e-3})
    LogWriter(log, HEADER).append([_winner(), kept, trial, no_form])
    with log.open("ab") as file:
        file.write(b'{"record":"trial"\n{"record":"tri')
    result = run("tune", "--check", log)
    assert result.code == 5
    lines = result.out.splitlines()
    assert lines[0] == f"{log}: 1 winner, 1 kept default, 1 trial that can be applied"
    assert (
        "1 winner, 1 kept default, 1 trial for x86-avx512: Some CPU (znver4), 2 threads, 2026-11-22"
        in lines[1]
    )
    assert lines[2].startswith("  line 5 is stale: this version has no such form")
    assert lines[3].startswith("  line 6 is damaged: not JSON from column 18 on: ")
    assert lines[4:] == ["  line 7 is damaged: not JSON from column 11 on: Unterminated string"]
    assert all(line.count("line") == 1 for line in lines[2:])
    assert "3 lines cannot be applied" in result.err
    (content,) = json.loads(run("tune", "--check", log, "--json").out)
    assert (content["winners"], content["defaults"], content["trials"]) == (1, 1, 1)
    assert [entry["line"] for entry in content["stale"] + content["bad"]] == [5, 6, 7]
    assert content["measured"][0]["cpu"] == "Some CPU"
    assert content["measured"][0]["microarchitecture"] == "znver4"


def test_check_of_sound_logs(run: Run, tmp_path: Path) -> None:
    logs = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for log in logs:
        LogWriter(log, HEADER).append([_winner()])
    result = run("tune", "--check", *logs)
    assert (result.code, result.err) == (0, "")
    assert result.out.count("1 winner, 0 kept defaults, 0 trials that can be applied") == 2


def test_check_joins_what_was_measured_alike_and_names_bad_lines_in_their_order(
    run: Run, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    no_form = Trial(DYNAMIC, Outcome({"points": 99}, "ok", (1e-3,)))
    for day in (24, 22, 23):
        LogWriter(log, replace(HEADER, date=f"2026-11-{day}T10:00:00+00:00")).append([_winner()])
    LogWriter(log, replace(HEADER, threads=1)).append([])
    with log.open("ab") as file:
        file.write(b"half a l\n")
    LogWriter(log, HEADER).append([no_form, _winner()])
    result = run("tune", "--check", log)
    assert result.out.splitlines()[1:] == [
        "  4 winners, 0 kept defaults, 0 trials for x86-avx512: Some CPU (znver4), 2 threads, "
        "2026-11-22T10:00:00+00:00 to 2026-11-24T10:00:00+00:00, paddle-tvm 0.1.0, TVM 0.27.0",
        "  line 8 is damaged: not JSON from column 1 on: Expecting value",
        *[line for line in result.out.splitlines() if line.startswith("  line 10 is stale")],
    ]
    assert "line 10 is stale" in result.out
    # Each of them stands for itself where programs read them.
    assert len(json.loads(run("tune", "--check", log, "--json").out)[0]["measured"]) == 3


def test_merge_keeps_the_best(run: Run, tmp_path: Path) -> None:
    for name, gain in (("one", 1.5), ("two", 3.0)):
        LogWriter(tmp_path / f"{name}.jsonl", HEADER).append([_winner(gain)])
    with (tmp_path / "two.jsonl").open("ab") as file:
        file.write(b"half a l")
    output = tmp_path / "both.jsonl"
    merge = ("tune", "--merge", tmp_path / "one.jsonl", tmp_path / "two.jsonl", "-o", output)
    result = run(*merge)
    assert result.code == 0, result.err
    assert result.out.strip() == f"{output}: 1 winner and 0 kept defaults of 2 logs"
    assert "two.jsonl:3 was left out: not JSON" in result.err
    assert json.loads(output.read_text().splitlines()[1])["seconds"]["2"] == pytest.approx(1e-3 / 3)
    refused = run(*merge)
    assert refused.code == 2
    assert "--force" in refused.err
    assert json.loads(run(*merge, "--force", "--json").out)["winners"] == 1


def test_what_is_no_log_is_neither_checked_nor_merged_nor_replaced(run: Run, tmp_path: Path) -> None:
    log, picture, empty = (tmp_path / name for name in ("log.jsonl", "picture.png", "empty.jsonl"))
    LogWriter(log, HEADER).append([_winner()])
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" * 9)
    empty.touch()
    merge_over = ("tune", "--merge", log, "-o", picture, "--force")
    for arguments in (("tune", "--check", picture), ("tune", "--merge", picture, "-o", empty), merge_over):
        result = run(*arguments)
        assert (result.code, result.out) == (2, "")
        assert f"{picture} " in result.err
        assert "is no tuning log" in result.err
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert run("tune", "--check", empty).code == 0
    assert run("tune", "--merge", log, "-o", empty, "--force").code == 0


class _OneConvolution(nn.Layer):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2D(16, 32, 5, padding=2)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return nn.functional.relu(self.convolution(x))


def _trials(log: Path) -> list[str]:
    found = (entry.record for entry in read_log(log) if isinstance(entry, Entry))
    return [json.dumps(dict(record.outcome.config)) for record in found if isinstance(record, Trial)]


def test_a_model_is_tuned_and_compiled_with_what_won(run: Run, tmp_path: Path) -> None:
    paddle.seed(2)
    spec = InputSpec([1, 16, 9, 9], "float32", "x")
    model = save(_OneConvolution(), tmp_path / "model", spec)
    log, report = tmp_path / "log.jsonl", tmp_path / "report.html"
    tune = ("tune", model, "-o", log, "--threads", 1, "--min-share", 0, "--json")
    first = run(*tune, "--trials", 4, "--report", report)
    assert first.code == 0, first.err
    content = json.loads(first.out)
    # Fewer where the default is at the machine's limit.
    assert 1 <= content["trials"] <= 4
    (task,) = content["tasks"]
    assert task["workload"]["operator"] == "conv2d"
    assert content["failures"] == {}
    assert "conv2d 5x5 16-&gt;32 9x9" in report.read_text()
    again = run(*tune, "--trials", 3)
    assert again.code == 0, again.err
    # What the first run has tried is not tried again.
    assert len(set(_trials(log))) == len(_trials(log)) == content["trials"] + json.loads(again.out)["trials"]
    checked = run("tune", "--check", log)
    assert (checked.code, checked.err) == (0, "")
    compiled = run(
        *("compile", model, "-o", tmp_path / "model.pdtvm", "--tuning-log", log, "--no-tuning-logs"),
        *("--verify", "--json"),
    )
    assert compiled.code == 0, compiled.err
    winners = [
        entry.record
        for entry in read_log(log)
        if isinstance(entry, Entry) and isinstance(entry.record, Winner)
    ]
    tuned = any(winner.config != winner.default_config and winner.gain(1) >= 1.02 for winner in winners)
    assert json.loads(compiled.out)["variants"][0]["forms"]["tuned"] == tuned
