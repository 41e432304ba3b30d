"""``paddle-tvm compile``: bad input has the right exit code and one message, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import paddle
import pytest
from cli_outcome import Run
from emulated_cuda import Emulator
from paddle import nn
from paddle.static import InputSpec
from saved_layers import save

from paddle_tvm.runtime.artifact import read_manifest

SCRIPT = "from paddle_tvm.compiler.cli.main import main; main()"


class WithUnsupportedOperators(nn.Layer):  # type: ignore[misc]
    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return paddle.linalg.svd(x)[1] + paddle.linalg.cholesky(x).sum() + paddle.linalg.svd(x + 1)[1]


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def test_compiles_records_the_verification_and_shows_the_stages(
    run: Run, model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.pdtvm"
    result = run("compile", model, "-o", output, "--verify", "--no-tuning-logs")
    assert "forms of kernels" not in result.out
    assert result.code == 0, result.err
    for stage in ("import", "lower and schedule", "generate code", "write the artifact"):
        assert stage in result.err
    assert "equal" in result.out
    (variant,) = read_manifest(output).variants
    verification = variant.verification
    assert verification is not None
    assert verification.passed
    assert len({shapes for shapes in verification.shapes}) == 2


def test_json_alone_on_stdout(run: Run, model: Path, tmp_path: Path) -> None:
    result = run("compile", model, "-o", tmp_path / "out.pdtvm", "--json", "--shape", "x=1,3,8,8;x=2,3,8,8")
    content = json.loads(result.out)
    assert content["variants"][0]["kernels"] > 0
    assert content["stages"][0]["name"] == "import"
    assert len(read_manifest(tmp_path / "out.pdtvm").functions) == 3


def test_json_has_the_same_fields_for_all_targets(
    run: Run, model: Path, emulator: Emulator, tmp_path: Path
) -> None:
    shape = ("--shape", "x=1,3,8,8")
    page = tmp_path / "page.html"
    cpu = json.loads(run("compile", model, "-o", tmp_path / "x86.pdtvm", "--json", *shape).out)
    gpu_options = ("--target", "cuda", "--arch", "sm_90", "--precision", "float16", "--report", page)
    gpu = json.loads(run("compile", model, "-o", tmp_path / "gpu.pdtvm", "--json", *shape, *gpu_options).out)
    assert list(cpu) == list(gpu)
    assert list(cpu["variants"][0]) == list(gpu["variants"][0])
    names = ("target", "precision", "architectures", "report")
    assert [cpu[name] for name in names] == ["x86", "float32", [], None]
    assert [gpu[name] for name in names] == ["cuda", "float16", ["sm_90"], str(page)]


BAD: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "empty directory": (
        lambda model: [file.unlink() for file in model.iterdir()],
        2,
        "no model in directory",
    ),
    "truncated program": (lambda model: _truncate(model / "inference.json"), 3, "truncated or damaged"),
    "truncated parameters": (lambda model: _truncate(model / "inference.pdiparams"), 3, "truncated"),
    "no parameters": (lambda model: (model / "inference.pdiparams").unlink(), 3, "parameters"),
}


@pytest.mark.parametrize("name", BAD)
def test_damaged_models(run: Run, model: Path, tmp_path: Path, name: str) -> None:
    damage, code, message = BAD[name]
    damage(model)
    result = run("compile", model, "-o", tmp_path / "out.pdtvm")
    assert result.code == code
    assert message in result.err
    assert "Traceback" not in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_truncated_pdmodel(run: Run, tmp_path: Path) -> None:
    network = nn.Linear(3, 2)
    network.eval()
    with paddle.pir_utils.OldIrGuard():
        prefix = str(tmp_path / "model" / "inference")
        paddle.jit.save(network, prefix, input_spec=[InputSpec([None, 3], "float32", "x")])
    assert run("compile", tmp_path / "model", "-o", tmp_path / "whole.pdtvm").code == 0
    _truncate(tmp_path / "model" / "inference.pdmodel")
    result = run("compile", tmp_path / "model", "-o", tmp_path / "out.pdtvm")
    assert result.code == 3
    assert "truncated" in result.err
    assert not (tmp_path / "out.pdtvm").exists()


def test_parameters_of_another_model(run: Run, model: Path, tmp_path: Path) -> None:
    spec = InputSpec([None, 7], "float32", "x")
    other = save(nn.Sequential(nn.Linear(7, 3), nn.Linear(3, 2)), tmp_path / "other", spec)
    (model / "inference.pdiparams").write_bytes((other / "inference.pdiparams").read_bytes())
    result = run("compile", model, "-o", tmp_path / "out.pdtvm")
    assert result.code == 3
    assert "does not belong to this program" in result.err
    assert not (tmp_path / "out.pdtvm").exists()


def test_unsupported_operators_are_all_named_with_their_counts(run: Run, tmp_path: Path) -> None:
    spec = InputSpec([4, 4], "float32", "x")
    model = save(WithUnsupportedOperators(), tmp_path / "model", spec)
    result = run("compile", model, "-o", tmp_path / "out.pdtvm")
    assert result.code == 3
    assert "pd_op.svd (2 times)" in result.err
    assert "pd_op.cholesky (1 time)" in result.err
    shown = run("inspect", model)
    assert shown.code == 0
    assert "pd_op.svd (2 times)" in shown.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shape", "x=1,4,8,8"], "the model fixes it at 3"),
        (["--shape", "x=1,3,8"], "has 3 dimensions [1, 3, 8], the model has 4: [?, 3, ?, ?]"),
        (["--shape", "x=0,3,8,8"], "dimension 0 is 0; give a size of at least 1, or -1"),
        (["--shape", "x=1,3,8,8;x=1,3,0,8"], "dimension 2 is 0; give a size of at least 1, or -1"),
        (["--mcpu", "native"], "leave it out for this machine's"),
        (["--shape", "y=1,3,8,8"], "no input y"),
        (["--shape", "x:1,3,8,8"], "no input name"),
        (["--mcpu", "pentium"], "pentium"),
        (["--target", "abacus"], "abacus"),
        (["--shape", "x=1,3,99999999999999999999,8"], "more elements than fit"),
    ],
)
def test_options_that_contradict_the_model(
    run: Run, model: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = run("compile", model, "-o", tmp_path / "out.pdtvm", *arguments)
    assert result.code == 2
    assert message in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_no_such_model(run: Run, tmp_path: Path) -> None:
    result = run("compile", tmp_path / "nowhere", "-o", tmp_path / "out.pdtvm")
    assert result.code == 2
    assert "nowhere" in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [("x" * 201, "the name has 201 bytes"), (os.fsdecode(b"x\xff.pdtvm"), "the path is not UTF-8")],
)
def test_a_name_that_cannot_be_written_is_refused_first(
    run: Run, model: Path, tmp_path: Path, name: str, message: str
) -> None:
    result = run("compile", model, "-o", tmp_path / name)
    assert result.code == 2
    assert message in result.err
    assert "import " not in result.err


def test_an_artifact_is_no_model(run: Run, artifact: Path, tmp_path: Path) -> None:
    result = run("compile", artifact, "-o", tmp_path / "out.pdtvm")
    assert result.code == 2
    assert "is an artifact" in result.err


def test_an_existing_output_is_kept_unless_forced(run: Run, model: Path, artifact: Path) -> None:
    before = (artifact / "manifest.json").read_bytes()
    refused = run("compile", model, "-o", artifact, "--shape", "x=1,3,8,8")
    assert refused.code == 2
    assert "--force" in refused.err
    assert (artifact / "manifest.json").read_bytes() == before
    assert run("compile", model, "-o", artifact, "--shape", "x=1,3,8,8", "--force").code == 0
    assert read_manifest(artifact).inputs[0].shape == (1, 3, 8, 8)


def _compile_elsewhere(model: Path, output: Path, before: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", before + SCRIPT, "compile", str(model), "-o", str(output), "--force"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_full_disk_keeps_what_was_there(model: Path, artifact: Path) -> None:
    before = {path: path.read_bytes() for path in artifact.rglob("*") if path.is_file()}
    # A limit on the size of files is what a test can set; the runtime library alone is larger.
    limit = f"import resource; resource.setrlimit({resource.RLIMIT_FSIZE}, (1 << 20, 1 << 20));"
    with _compile_elsewhere(model, artifact, limit) as process:
        _, err = process.communicate()
    assert process.returncode == 2
    assert "nothing was written" in err
    assert "Traceback" not in err
    assert {path: path.read_bytes() for path in artifact.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in artifact.parent.iterdir()) == ["model", "small.pdtvm"]


@pytest.mark.parametrize("delay", [1.5, 3.0])
def test_a_killed_compile_leaves_the_old_artifact_whole(
    run: Run, model: Path, artifact: Path, delay: float
) -> None:
    before = {path: path.read_bytes() for path in artifact.rglob("*") if path.is_file()}
    with _compile_elsewhere(model, artifact) as process:
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    after = {path: path.read_bytes() for path in artifact.rglob("*") if path.is_file()}
    # The new one may have taken its place before the signal came, which is no fault: then it is whole.
    assert after == before or read_manifest(artifact).source.name == "model"
    assert run("run", artifact).code == 0


def test_a_failed_verification_leaves_no_artifact(
    run: Run, model: Path, artifact: Path, tmp_path: Path, wrong_relu: None
) -> None:
    result = run("compile", model, "-o", tmp_path / "out.pdtvm", "--verify")
    assert result.code == 4
    assert "pd_op.relu" in result.err
    assert not (tmp_path / "out.pdtvm").exists()
    before = (artifact / "manifest.json").read_bytes()
    assert run("compile", model, "-o", artifact, "--verify", "--force").code == 4
    assert (artifact / "manifest.json").read_bytes() == before
