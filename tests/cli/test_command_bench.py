"""``paddle-tvm bench``: engines side by side, with their reasons where they cannot run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from cli_outcome import Run
from paddle.static import InputSpec
from saved_layers import SmallNetwork, save

from paddle_tvm.compiler.array_files import save_arrays
from paddle_tvm.compiler.bench import disturbance
from paddle_tvm.compiler.bench.engines import __file__ as engines_file
from paddle_tvm.compiler.bench.result import BenchResult, EngineResult, compare_engines


def test_engines_take_turns_and_agree(run: Run, artifact: Path, model: Path) -> None:
    against = ["--model", model, "--against", "paddle,onnxruntime", "--rounds", "2"]
    result = run("bench", artifact, *against, "--shape", "x=1,3,16,16", "--json")
    assert result.code == 0, result.err
    content = json.loads(result.out)
    assert [engine["engine"] for engine in content["engines"]] == ["ours", "paddle", "onnxruntime"]
    assert content["reference"] == "paddle"
    for engine in content["engines"]:
        assert engine["failure"] is None
        assert engine["runs"] >= 6
        assert engine["median_ms"] > 0
        assert engine["difference"] is None or engine["difference"] < 1e-4


def test_an_engine_that_cannot_run_the_model_is_shown_with_its_reason(
    run: Run, artifact: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    against = ["--model", tmp_path / "bad.onnx", "--against", "paddle,onnxruntime", "--rounds", "1"]
    result = run("bench", artifact, *against)
    assert result.code == 0, result.err
    assert "paddle cannot run this model: Paddle Inference does not read .onnx" in result.out
    assert "onnxruntime cannot run this model: " in result.out


def test_cold_starts(run: Run, artifact: Path) -> None:
    content = json.loads(run("bench", artifact, "--cold", "--rounds", "1", "--json").out)
    assert content["cold"] is True
    assert content["engines"][0]["runs"] == 1
    assert content["engines"][0]["disturbance"] >= 0


def _of_others(monkeypatch: pytest.MonkeyPatch, cores: float) -> None:
    """Make other processes keep so many cores busy."""
    begin, busy = perf_counter(), disturbance.machine_busy_seconds
    monkeypatch.setattr(
        disturbance, "machine_busy_seconds", lambda: busy() + cores * (perf_counter() - begin)
    )


@pytest.mark.parametrize("cold", [[], ["--cold"]])
def test_what_other_processes_disturb_is_marked(
    run: Run, artifact: Path, monkeypatch: pytest.MonkeyPatch, cold: list[str]
) -> None:
    _of_others(monkeypatch, 3.0)
    result = run("bench", artifact, "--rounds", "1", *cold)
    assert result.code == 0, result.err
    assert re.search(r"ours +│ +[\d.]+ ~ │ +[\d.]+ │ +1\.00 ~", result.out)
    assert re.search(r"warning: other processes kept up to \d\.\d cores busy meanwhile", result.out)
    content = json.loads(run("bench", artifact, "--rounds", "1", "--json", *cold).out)
    assert content["engines"][0]["disturbed"] is True
    assert content["engines"][0]["disturbance"] > 2


def test_what_nothing_disturbs_is_not_marked() -> None:
    quiet = EngineResult("ours", ((1.0,),), disturbance=0.05)
    loud = EngineResult("paddle", ((2.0,),), disturbance=0.5)
    result = BenchResult((quiet, loud), None, 1, 1, {}, False)
    assert not result.ratio_disturbed(quiet)
    assert result.ratio_disturbed(loud)


def test_another_model_than_the_artifacts_is_said(run: Run, artifact: Path, model: Path) -> None:
    program = model / "inference.json"
    program.write_bytes(program.read_bytes() + b"\n")
    result = run("bench", artifact, "--model", model, "--against", "paddle", "--rounds", "1")
    assert result.code == 0, result.err
    assert f"warning: {program} is not the model that {artifact} was compiled from" in result.out


def test_a_cold_start_of_ours_imports_the_runtime_alone(artifact: Path, tmp_path: Path) -> None:
    save_arrays(tmp_path / "in.npz", {"x": np.zeros((1, 3, 8, 8), "float32")})
    source = (
        Path(engines_file).read_text()
        + "\n    print(sorted(m for m in sys.modules if 'paddle' in m or m == 'tvm'))"
    )
    command = [sys.executable, "-c", source, "ours", "1", str(tmp_path / "in.npz")]
    command.append(json.dumps({"artifact": str(artifact)}))
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = result.stdout.splitlines()[-1]
    assert "paddle_tvm.runtime" in imported
    assert "paddle_tvm.compiler" not in imported
    assert "'paddle'" not in imported
    assert "'tvm'" not in imported


def test_a_wrong_answer_gets_no_ratio(tmp_path: Path) -> None:
    save_arrays(tmp_path / "paddle.npz", {"0": np.array([1.0, 2.0], "float32")})
    save_arrays(tmp_path / "ours.npz", {"0": np.array([1.0, 2.5], "float32")})
    files = {"ours": tmp_path / "ours.npz", "paddle": tmp_path / "paddle.npz"}
    reference, differences = compare_engines(files)
    assert reference == "paddle"
    assert differences == {"ours": pytest.approx(0.25)}
    ours = EngineResult("ours", ((1.0,),), difference=differences["ours"])
    paddle = EngineResult("paddle", ((2.0,),))
    assert BenchResult((ours, paddle), reference, 1, 1, {}, False).ratio(paddle) is None


def test_a_wrong_answer_exits_with_4(run: Run, artifact: Path, tmp_path: Path) -> None:
    spec = InputSpec([None, 3, None, None], "float32", "x")
    other = save(SmallNetwork(), tmp_path / "other", spec)
    result = run("bench", artifact, "--model", other, "--against", "paddle", "--rounds", "1")
    assert result.code == 4
    assert "WRONG" in result.out
    assert "the artifact gives a wrong answer: its outputs differ from paddle's by" in result.err
    assert f"{other / 'inference.json'} is not the model that" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--against", "paddle"], "needs --model"),
        (["--against", "abacus", "--model", "m"], "abacus is not known"),
        (["--model", "m"], "--against"),
        (["--shape", "x=1,4,8,8"], "'x'"),
    ],
)
def test_bad_options(run: Run, artifact: Path, arguments: list[str], message: str) -> None:
    result = run("bench", artifact, *arguments)
    assert result.code == 2
    assert message in result.err
