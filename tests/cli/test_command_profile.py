"""``paddle-tvm profile``: what each kernel is made of, how much it computes, and how long it takes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from cli_outcome import Run
from paddle import nn
from paddle.static import InputSpec
from saved_layers import save

from paddle_tvm.compiler.bench.disturbance import Others
from paddle_tvm.compiler.cli import extras
from paddle_tvm.compiler.profiling.profile import profile_artifact, read_table
from paddle_tvm.runtime.artifact import MANIFEST_FILE, encode_manifest, read_manifest
from paddle_tvm.runtime.loader import load
from paddle_tvm.targets.x86.cpus import runs_here


def _profile(run: Run, *arguments: object) -> dict[str, Any]:
    result = run("profile", *arguments, "--rounds", "2", "--json")
    assert result.code == 0, result.err
    content: dict[str, Any] = json.loads(result.out)
    return content


def _kernel_with(content: dict[str, Any], operator: str) -> dict[str, Any]:
    (found,) = (
        kernel
        for kernel in content["kernels"]
        if operator in [named["name"] for place in kernel["places"] for named in place["operators"]]
    )
    return dict(found)


def test_kernels_know_their_operators_and_their_arithmetic(run: Run, artifact: Path) -> None:
    content = _profile(run, artifact, "--shape", "x=2,3,10,12", "--threads", "1")
    assert content["shapes"] == {"x": [2, 3, 10, 12]}
    assert content["threads"] == 1
    convolution = _kernel_with(content, "conv2d")
    outputs = 2 * 4 * 10 * 12
    # The bias and the ReLU count one operation each for an element, and padded elements count too.
    assert 2 * outputs * 3 * 9 <= convolution["flops"] <= 2 * outputs * 3 * 9 + 8 * outputs
    names = [operator["name"] for operator in convolution["places"][0]["operators"]]
    assert names[0] == "conv2d"
    assert "relu" in names
    product = _kernel_with(content, "matmul")
    assert product["flops"] == 2 * 2 * 4 * 5 + 2 * 5
    assert convolution["schedule"]["rule"] is not None


def test_shares_add_up_and_rates_follow_from_time_and_work(run: Run, artifact: Path) -> None:
    content = _profile(run, artifact)
    total = content["kernels_ms"] + content["outside_kernels_ms"]
    assert total == pytest.approx(max(content["run_ms"], content["kernels_ms"]))
    shares = sum(kernel["share"] for kernel in content["kernels"])
    assert shares == pytest.approx(content["kernels_ms"] / total)
    assert content["kernels_ms"] == pytest.approx(sum(kernel["ms"] for kernel in content["kernels"]))
    for kernel in content["kernels"]:
        assert kernel["calls"] == len(kernel["places"])
        if kernel["flops"]:
            assert kernel["gflops"] == pytest.approx(kernel["flops"] / kernel["ms"] / 1e6)
            assert kernel["share_of_peak"] == pytest.approx(kernel["gflops"] / content["peak"]["gflops"])
    assert all(value > 0 for name, value in content["peak"].items() if name != "mcpu")


def test_more_work_for_larger_inputs_of_the_dynamic_form(run: Run, artifact: Path) -> None:
    small = _kernel_with(_profile(run, artifact, "--shape", "x=1,3,16,16"), "conv2d")
    large = _kernel_with(_profile(run, artifact, "--shape", "x=1,3,32,64"), "conv2d")
    assert large["flops"] == 8 * small["flops"]
    assert large["bytes"] > small["bytes"]


def test_the_table_names_the_peak_and_the_slowest_kernels(run: Run, artifact: Path) -> None:
    result = run("profile", artifact, "--rounds", "1", "--top", "1")
    assert result.code == 0, result.err
    assert "random input (seed 0): x [1, 3, " in result.out
    assert "this machine reaches" in result.out
    assert "of peak" in result.out
    assert re.search(r"\d+ more, which --top \d+ shows", result.out)


def test_the_rows_of_the_table_add_up_to_the_run(run: Run, artifact: Path) -> None:
    result = run("profile", artifact, "--rounds", "3", "--top", "1", "--shape", "x=2,3,64,64")
    assert result.code == 0, result.err
    rows = re.findall(r"^ *(\d+\.\d+) (?:~ )? *(\d+\.\d) %", result.out, re.MULTILINE)
    # The slowest kernel, the others, what is outside of kernels; and the whole.
    *parts, whole = ((float(time), float(share)) for time, share in rows)
    assert len(parts) == 3
    assert whole[1] == 100.0
    assert sum(time for time, _ in parts) == pytest.approx(whole[0], abs=0.002)
    assert sum(share for _, share in parts) == pytest.approx(100.0, abs=0.2)


def test_the_kernels_are_those_that_compiling_counts(run: Run, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.pdtvm"
    compiled = json.loads(run("compile", model, "-o", output, "--shape", "x=1,3,8,8", "--json").out)
    content = _profile(run, output)
    assert compiled["variants"][0]["kernels"] == len(content["kernels"])
    calls = sum(kernel["calls"] for kernel in content["kernels"])
    shown = run("profile", output, "--rounds", "1").out
    assert f"; {len(content['kernels'])} kernels, called {calls} times" in shown


@pytest.mark.parametrize("cores", [0.0, 1.0])
def test_a_disturbed_measurement_is_marked(
    run: Run, artifact: Path, monkeypatch: pytest.MonkeyPatch, cores: float
) -> None:
    monkeypatch.setattr(Others, "cores", lambda self: cores)
    result = run("profile", artifact, "--rounds", "1")
    assert ("warning: other processes kept 1.0 cores busy meanwhile" in result.out) == bool(cores)
    assert bool(re.search(r"one run [\d.]+ ms ~", result.out)) == bool(cores)
    assert bool(re.search(r"this machine reaches \d+ GFLOP/s ~", result.out)) == bool(cores)
    assert ("of peak ~" in result.out) == bool(cores)
    assert bool(re.search(r"~ +[\d.]+ % ~ +outside kernels", result.out)) == bool(cores)
    assert ("holds the time of those processes too" in result.out) == bool(cores)
    assert "default" not in result.out
    content = _profile(run, artifact)
    assert (content["disturbance"], content["disturbed"]) == (cores, bool(cores))


def test_another_process_that_computes_is_noticed(run: Run, artifact: Path) -> None:
    code = "while True: pass"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            content = _profile(run, artifact, "--threads", "1")
        finally:
            process.kill()
    assert content["disturbed"] is True


def test_a_sliding_window_says_how_it_is_tiled(run: Run, tmp_path: Path) -> None:
    class Depthwise(nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2D(3, 32, 1)
            self.second = nn.Conv2D(32, 32, 3, stride=2, padding=1, groups=32)

        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            return self.second(self.first(x))

    model = save(Depthwise(), tmp_path / "model", InputSpec([1, 3, 56, 56], "float32", "x"))
    output = tmp_path / "out.pdtvm"
    assert run("compile", model, "-o", output, "--mcpu", "x86-64").code == 0
    schedule = _kernel_with(_profile(run, output), "depthwise_conv2d")["schedule"]
    assert schedule["rule"] == "sliding_window"
    parameters = schedule["parameters"]
    assert sum(int(width) for width in parameters["tile"].split("+")) == 28
    assert parameters["rows_of_unit"] > 0
    assert (parameters["lanes"], parameters["kernel"], parameters["stride"]) == (4, "3x3", "2x2")
    shown = run("profile", output, "--rounds", "1").out
    assert "kernel=3x3 stride=2x2" in " ".join(shown.split())


class Convolutions(nn.Layer):  # type: ignore[misc]  # Paddle has no types.
    """One by Winograd's algorithm, and one that AMX is faster with."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2D(64, 64, 3, padding=1)
        self.second = nn.Conv2D(64, 256, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.second(self.first(x))


@pytest.mark.parametrize("mcpu", ["icelake-server", "sapphirerapids"])
def test_kernels_that_may_pass_the_peak_are_explained(run: Run, tmp_path: Path, mcpu: str) -> None:
    if not runs_here(mcpu):
        pytest.skip(f"code for {mcpu} does not run here")
    model = save(Convolutions(), tmp_path / "model", InputSpec([1, 64, 56, 56], "float32", "x"))
    output, report = tmp_path / "out.pdtvm", tmp_path / "report.html"
    compiled = run("compile", model, "-o", output, "--mcpu", mcpu, "--report", report, "--no-tuning-logs")
    assert compiled.code == 0, compiled.err
    shown = run("profile", output, "--rounds", "1").out
    on_amx = mcpu == "sapphirerapids"
    assert (
        "conv2d 1x1 64->256 56x56: amx blocked row_units=8 parallel=8" in " ".join(shown.split())
    ) == on_amx
    for said in (shown, unescape(report.read_text(encoding="utf-8"))):
        assert said.count("Winograd's algorithm may pass the peak") == 1
        assert said.count("AMX may pass the peak: it multiplies tiles of bfloat16 parts") == on_amx
    assert re.search(r"this machine reaches \d+ GFLOP/s (~ )?in float32 multiply-adds", shown)
    kernels = _profile(run, output)["kernels"]
    forms = {kernel["schedule"]["rule"]: kernel["form"]["config"] for kernel in kernels if kernel["form"]}
    assert ("amx" in forms) == on_amx
    if on_amx:
        assert forms["amx"] == {"amx": 1, "row_units": 8}


def test_given_inputs_are_used(run: Run, artifact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 3, 8, 8), "float32"))
    content = _profile(run, artifact, "--input", f"x={tmp_path / 'x.npy'}")
    assert content["shapes"] == {"x": [3, 3, 8, 8]}


def test_an_artifact_that_does_not_describe_its_kernels(run: Run, artifact: Path) -> None:
    manifest = read_manifest(artifact)
    files = {name: entry for name, entry in manifest.files.items() if not name.endswith(".kernels.json")}
    (artifact / MANIFEST_FILE).write_bytes(encode_manifest(manifest._replace(files=files)))
    result = run("profile", artifact)
    assert result.code == 5
    assert "model.kernels.json" in result.err
    assert "compile the model again" in result.err


def test_an_artifact_of_another_version_of_the_table(run: Run, artifact: Path) -> None:
    table = artifact / "model.kernels.json"
    raw = table.read_bytes().replace(b'"table_version":1', b'"table_version":7')
    table.write_bytes(raw)
    result = run("profile", artifact)
    # The hash does not fit any more: the artifact is damaged before it is of another version.
    assert result.code == 5
    assert "model.kernels.json: expected SHA-256" in result.err


def test_input_files_are_checked_as_run_does(run: Run, artifact: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.npy"
    option = ("--input", f"x={file}", "--rounds", "1")
    wide = np.zeros((1, 3, 8, 8))
    for wrong in (wide, np.zeros((1, 3, 8, 0), "float32")):
        np.save(file, wrong)
        refused, of_run = run("profile", artifact, *option), run("run", artifact, *option[:2])
        assert (refused.code, refused.err) == (2, of_run.err)
        assert "input 'x': expected " in refused.err
    for right in (np.asfortranarray(wide.astype("float32")), wide.astype(">f4")):
        np.save(file, right)
        assert run("profile", artifact, *option).code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shape", "y=1,3,8,8"], "y, which is no input"),
        (["--input", "y=missing.npy"], "no such file: missing.npy"),
        (["--shape", "x=0,3,8,8"], "expected at least 1 in dimension 0 (x_0), got 0"),
        (["--threads", "0"], "--threads"),
        (["--mcpu", "z80"], "no code for the CPU z80"),
    ],
)
def test_wrong_usage(run: Run, artifact: Path, arguments: list[str], message: str) -> None:
    result = run("profile", artifact, *arguments)
    assert result.code == 2
    assert message in result.err


def test_needs_the_compiler(run: Run, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "tvm" else found(name))
    result = run("profile", artifact)
    assert result.code == 2
    assert "'paddle-tvm profile' needs the compiler" in result.err
    assert "pip install 'paddle-tvm[compiler]'" in result.err


def test_every_kernel_of_the_form_is_timed_or_a_view(artifact: Path) -> None:
    arrays = {"x": np.zeros((1, 3, 8, 8), "float32")}
    result = profile_artifact(artifact, arrays, threads=1, rounds=1)
    schedules = read_table(artifact, load(artifact)).schedules
    for call, work in zip(result.form.calls, result.places, strict=True):
        assert (work is None) == schedules[call.kernel].view
    assert result.timing.overhead_us > 0
