"""Signals, closed streams, refusals of the system: one message, the right code, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_outcome import Run

SCRIPT = "from paddle_tvm.compiler.cli.main import main; main()"

# Stops where Paddle, which takes signal handlers, has been imported and the staging directory stands.
TERMINATE_IN_VERIFY = """
import os, signal
# As in the foreground: what a shell starts in the background ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)
from paddle_tvm.compiler import driver
def verify_artifact(artifact, model, mcpu):
    from paddle_tvm.compiler.reference import open_reference
    from paddle_tvm.compiler.frontends.source import find_model
    open_reference(find_model(model))
    os.kill(os.getpid(), signal.{signal})
    signal.pause()
driver.verify_artifact = verify_artifact
"""

# Stops in a pass that TVM calls back.
TERMINATE_IN_PASS = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from paddle_tvm.targets.x86 import pipeline
def overlap_tiles(function):
    os.kill(os.getpid(), signal.{signal})
    signal.pause()
pipeline.overlap_tiles = overlap_tiles
"""


def _start(arguments: list[object], before: str = "", **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", before + SCRIPT, *map(str, arguments)]
    return subprocess.run(command, text=True, check=False, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 128 + signal.SIGTERM), ("SIGINT", 130)])
def test_a_signal_unwinds_a_compile(model: Path, tmp_path: Path, name: str, code: int) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    result = _start(
        ["compile", model, "-o", tmp_path / "out.pdtvm", "--verify"],
        TERMINATE_IN_VERIFY.format(signal=name),
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    assert result.returncode == code
    assert "Traceback" not in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "scratch"]
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 128 + signal.SIGTERM), ("SIGINT", 130)])
def test_a_signal_that_comes_while_tvm_calls_back(model: Path, tmp_path: Path, name: str, code: int) -> None:
    output = tmp_path / "out.pdtvm"
    result = _start(["compile", model, "-o", output], TERMINATE_IN_PASS.format(signal=name))
    assert result.returncode == code
    assert "Traceback" not in result.stderr
    assert not output.exists()


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [("KeyboardInterrupt", 130, "interrupted"), ("ImportError", 2, "PaddlePaddle is not installed")],
)
def test_an_interrupted_import_of_paddle_is_not_taken_for_a_missing_one(
    model: Path, tmp_path: Path, raised: str, code: int, message: str
) -> None:
    package = tmp_path / "fake" / "paddle"
    package.mkdir(parents=True)
    # As pybind11 does when the initialisation of its module is interrupted.
    (package / "__init__.py").write_text(f"raise ImportError('initialization failed') from {raised}()\n")
    result = _start(["inspect", model], env={**os.environ, "PYTHONPATH": str(package.parent)})
    assert result.returncode == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("descriptor", [0, 1, 2])
def test_a_closed_stream_is_no_error(artifact: Path, descriptor: int) -> None:
    result = _start(["run", artifact], preexec_fn=lambda: os.close(descriptor))
    assert result.returncode == 0
    assert result.stderr == ""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["targets"]])
def test_a_reader_that_has_gone_gives_the_code_of_a_closed_pipe(arguments: list[object]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = _start(arguments, stdout=writer)
    os.close(writer)
    assert result.returncode == 141
    assert result.stderr == ""


def test_what_the_system_refuses_is_no_bug(run: Run, artifact: Path) -> None:
    long = run("inspect", "x" * 300)
    assert (long.code, "File name too long" in long.err) == (2, True)
    large = run("run", artifact, "--shape", "x=1,3,1000000,1000000")
    assert (large.code, large.err.startswith("error: not enough memory")) == (2, True)
    with open("/dev/full", "w") as full:
        lost = _start(["run", artifact], stdout=full)
    assert lost.returncode == 2
    assert "cannot write the output: No space left on device" in lost.stderr
