"""``paddle-tvm tune --target cuda`` on a GPU that the CPU plays, and where there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import paddle
import pytest
from cli_outcome import Run
from emulated_cuda import Emulator
from paddle import nn
from paddle.static import InputSpec
from saved_layers import save

from paddle_tvm.compiler.tuning.log import LogWriter
from paddle_tvm.compiler.tuning.records import Winner, header_of
from paddle_tvm.targets.cuda import cuda_target
from paddle_tvm.targets.cuda.workloads import CudaProduct


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paddle.seed(5)
    folder = tmp_path_factory.mktemp("saved")
    return save(nn.Linear(32, 8), folder / "net", InputSpec([4, 32], "float32", "x"))


def test_a_run_searches_compares_and_says_what_to_do_next(
    run: Run, saved: Path, gpu_machine: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.html"
    result = run(
        "tune", saved, "--target", "cuda", "--precision", "float16", "--trials", "3", "--report", page
    )
    assert result.code == 0, result.err
    (log,) = Path("tuning_logs/cuda-sm_90").iterdir()
    assert f"log: {log}" in result.out
    assert "tasks, together" in result.out
    text = page.read_text()
    assert "cuda sm_90 · float16" in text
    assert "1 x Emulated, driver for CUDA 13.0" in text
    result = run("tune", "--check", log)
    assert result.code == 0, result.err
    assert "3 trials for cuda-sm_90: Emulated (sm_90)" in result.out
    again = run(
        "tune", saved, "--target", "cuda", "--precision", "float16", "--trials", "0", "-o", log, "--json"
    )
    assert again.code == 0, again.err
    content = json.loads(again.out)
    assert content["trials"] == 0
    (task,) = content["tasks"]
    assert task["trials"] == 3
    assert task["workload"]["engine"] == "f16"
    assert len(content["comparisons"]) == 1


def test_logs_of_gpus_are_merged_and_used_for_their_architecture_alone(
    run: Run, saved: Path, emulator: Emulator, tmp_path: Path
) -> None:
    logs = []
    for architecture in ("sm_80", "sm_90"):
        target = cuda_target([architecture])
        workload = CudaProduct(1, 4, 8, 32, "fma", "k8", "n8")
        form = next(form for form in workload.candidates() if form != workload.default())
        logs.append(tmp_path / f"{architecture}.jsonl")
        record = Winner(workload, form, {1: 1e-5}, workload.default(), {1: 2e-5})
        LogWriter(logs[-1], header_of(target, "A GPU", architecture, 1)).append([record])
    merged = tmp_path / "all.jsonl"
    assert run("tune", "--merge", *logs, "-o", merged).code == 0
    assert merged.read_text().count('"winner"') == 2

    def compiled(*architectures: str, log: Path = merged) -> tuple[int, str]:
        output = tmp_path / "-".join((log.stem, *architectures))
        arguments = ("--target", "cuda", "--arch", ",".join(architectures), "--tuning-log", log, "--json")
        result = run("compile", saved, "-o", output, *arguments)
        assert result.code == 0, result.err
        return json.loads(result.out)["variants"][0]["forms"]["tuned"], result.err

    assert compiled("sm_80")[0] == 1
    assert compiled("sm_90")[0] == 1
    tuned, said = compiled("sm_90", log=logs[0])
    assert tuned == 0
    assert f"nothing of {logs[0]} is used: it was measured for cuda-sm_80" in said
    tuned, said = compiled("sm_80", "sm_90")
    assert tuned == 0
    assert "is compiled for cuda-sm_80+sm_90; records of GPUs hold for code for one --arch alone" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threads", "2"), "--threads is for CPUs; --target cuda measures on this machine's GPU"),
        (("--rpc", "host:9190", "--key", "gpu"), "--rpc, --key are for CPUs"),
        (("--mcpu", "haswell"), "--mcpu goes with x86"),
        (("--arch", "sm_80"), "this machine's GPU, Emulated, which is sm_90"),
        (("--arch", "sm_20"), "--arch sm_20 is not known"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    run: Run, saved: Path, emulator: Emulator, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    result = run("tune", saved, "-o", tmp_path / "log.jsonl", "--target", "cuda", *options)
    assert result.code == 2
    assert message in result.err
    assert not (tmp_path / "log.jsonl").exists()


def test_a_gpus_options_are_refused_without_one_as_target(run: Run, saved: Path, tmp_path: Path) -> None:
    result = run("tune", saved, "-o", tmp_path / "log.jsonl", "--arch", "sm_90")
    assert result.code == 2
    assert "--arch goes with --target cuda" in result.err


def test_a_machine_without_a_gpu_is_told_before_anything_is_compiled(saved: Path, tmp_path: Path) -> None:
    if os.path.exists("/dev/nvidiactl"):
        pytest.skip("this machine has a GPU")
    command = "from paddle_tvm.compiler.cli.main import main; main()"
    log = tmp_path / "log.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", command, "tune", str(saved), "--target", "cuda", "-o", str(log)],
        env={**os.environ, "LD_LIBRARY_PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "tune measures on this machine's GPU, and there is none: no NVIDIA driver" in done.stderr
    assert not log.exists()
