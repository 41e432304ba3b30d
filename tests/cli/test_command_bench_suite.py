"""``paddle-tvm bench --suite``: tables, plot and samples; kept results; interruptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_outcome import Run

from paddle_tvm.compiler.bench.suite import measure, workloads
from paddle_tvm.compiler.bench.suite.workloads import Input, Workload


@pytest.fixture
def suite(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite of one small model, at two sizes."""
    sizes = [
        Workload(f"small{size}", f"Small {size}", "small", {"x": Input((1, 3, size, size))})
        for size in (16, 24)
    ]
    monkeypatch.setattr(workloads, "SUITE", tuple(sizes))
    monkeypatch.setattr(measure, "saved_model", lambda *arguments: model)


def _options(output: Path) -> list[object]:
    return ["bench", "--suite", "--output", output, "--rounds", "1", "--threads", "1"]


def test_a_suite_is_measured_written_and_kept(run: Run, suite: None, tmp_path: Path) -> None:
    output = tmp_path / "out"
    options = [*_options(output), "--against", "paddle,onnxruntime", "--dynamic", "--untuned"]
    options += ["--mcpu", "x86-64"]
    result = run(*options, "--models", "small16", "--json")
    assert result.code == 0, result.err
    content = json.loads(result.out)
    assert [row["model"] for row in content["summary"]] == ["small16"]
    assert sorted(content["summary"][0]["median_ms"]) == [
        *("onnxruntime", "ours", "ours:dynamic", "ours:untuned", "ours:x86-64", "paddle"),
    ]
    workload = content["workloads"][0]
    assert all(form["kernels"] > 0 and form["failure"] is None for form in workload["forms"].values())
    assert all(memory["peak"] > memory["anonymous"] > 0 for memory in workload["memory"].values())
    for engine in workload["rows"][0]["engines"].values():
        assert engine["failure"] is None
        assert len(engine["rounds"]) == 1
        assert engine["difference"] is None or engine["difference"] < 1e-4
    for name in ("suite.md", "suite.json", "suite.png", "suite.svg", "models/small16.json"):
        assert (output / name).stat().st_size > 0
    assert json.loads((output / "suite.json").read_text()) == content

    refused = run(*options)
    assert refused.code == 2
    assert "--resume goes on from them, --force replaces them" in refused.err
    # Whatever else ran on this machine meanwhile.
    kept = output / "models" / "small16.json"
    _set_disturbance(kept, 0.0)
    again = run(*options, "--resume")
    assert again.code == 0, again.err
    assert "[1/2] Small 16:" in again.err
    assert "(kept)" in again.err
    assert "[2/2] Small 24: compile ours" in again.err
    page = (output / "suite.md").read_text()
    assert "| Small 16 |" in page
    assert "| Small 24 |" in page
    assert "Other forms of ours" in again.out


def _set_disturbance(kept: Path, cores: float) -> None:
    content = json.loads(kept.read_text())
    for row in content["result"]["rows"]:
        for engine in row["engines"].values():
            engine["disturbance"] = cores
    kept.write_text(json.dumps(content))


def test_what_was_disturbed_is_measured_again(run: Run, suite: None, tmp_path: Path) -> None:
    output = tmp_path / "out"
    options = [*_options(output), "--against", "onnxruntime", "--models", "small16"]
    assert run(*options).code == 0
    _set_disturbance(output / "models" / "small16.json", 0.0)
    assert "(kept)" in run(*options, "--resume").err
    _set_disturbance(output / "models" / "small16.json", 0.7)
    again = run(*options, "--resume")
    assert "(kept)" not in again.err
    assert "Small 16: compile ours" in again.err


def test_an_interruption_leaves_what_was_measured(
    run: Run, suite: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = measure.bench_warm, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(measure, "bench_warm", interrupted)
    result = run(*_options(tmp_path / "out"), "--against", "onnxruntime")
    assert result.code == 130
    assert "--resume goes on" in result.err
    assert "Interrupted: 1 of 2 models is complete." in result.out
    assert "Small 16" in result.out
    assert [path.name for path in (tmp_path / "out" / "models").iterdir()] == ["small16.json"]


def test_a_form_that_cannot_be_compiled_is_shown_and_the_others_are_timed(
    run: Run, suite: None, tmp_path: Path
) -> None:
    options = ["--against", "onnxruntime", "--models", "small16", "--mcpu", "abacus"]
    result = run(*_options(tmp_path / "out"), *options)
    assert result.code == 1
    assert "could not be timed: Small 16" in result.err
    assert "Small 16: ours abacus does not run it: " in result.out
    row = json.loads((tmp_path / "out" / "suite.json").read_text())["summary"][0]
    assert row["median_ms"]["ours"] > 0
    assert row["median_ms"]["ours:abacus"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "ARTIFACT"),
        (["a.pdtvm", "--suite"], "ARTIFACT"),
        (["a.pdtvm", "--dynamic"], "--dynamic is for --suite"),
        (["--suite", "--cold"], "--cold is for an ARTIFACT"),
        (["--suite", "--models", "abacus"], "abacus is not in the suite; it has resnet50"),
        (["--suite", "--models", ""], "--models names no model"),
        (
            ["--suite", "--output", "/dev/null/suite"],
            "--output /dev/null/suite: that directory cannot be made",
        ),
        (["--suite", "--cache", "/dev/null/models"], "--cache /dev/null/models: that directory cannot be"),
        (["--suite", "--threads", "0"], "--threads 0"),
        (["a.pdtvm", "--threads", "1,2"], "one number of threads"),
        (["--suite", "--against", "abacus"], "abacus is not known"),
    ],
)
def test_bad_options(run: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    result = run("bench", *arguments)
    assert result.code == 2
    assert message in result.err
