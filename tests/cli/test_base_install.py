"""The commands that need the base install alone work in an environment that has no more."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPT = "from paddle_tvm.compiler.cli.main import main; main()"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with numpy, tvm_ffi, click and us."""
    folder = tmp_path_factory.mktemp("packages")
    for package in ("numpy", "apache-tvm-ffi", "click", "typing_extensions"):
        for file in metadata.files(package) or []:
            top = file.parts[0]
            if top != ".." and not (folder / top).exists():
                (folder / top).symlink_to(Path(str(metadata.distribution(package).locate_file(top))))
    (folder / "paddle_tvm").mkdir()
    for package in ("compiler", "runtime", "targets", "tuning_logs"):
        spec = find_spec(f"paddle_tvm.{package}")
        assert spec is not None
        assert spec.origin is not None
        (folder / "paddle_tvm" / package).symlink_to(Path(spec.origin).parent)
    ours = metadata.distribution("paddle-tvm")
    info = folder / f"paddle_tvm-{ours.version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(ours.read_text("METADATA") or "")
    return folder


def _run(environment: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(environment), "PYTHONDONTWRITEBYTECODE": "1"}
    # -S: without the packages of the environment that the tests run in.
    command = [sys.executable, "-S", "-c", SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=variables, check=False)


def test_run_inspect_and_doctor_work(environment: Path, compiled: Path) -> None:
    for arguments in (["run", str(compiled)], ["inspect", str(compiled)], ["doctor"]):
        result = _run(environment, *arguments)
        assert result.returncode == 0, result.stderr + result.stdout
        assert result.stderr == ""


def test_doctor_calls_a_base_install_sound(environment: Path) -> None:
    result = _run(environment, "doctor")
    assert "This installation is sound." in result.stdout
    assert "pip install 'paddle-tvm[compiler]'" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["compile", "m", "-o", "a"],
        ["verify", "a", "--model", "m"],
        ["bench", "a"],
        ["tune", "m"],
        ["tune", "--check", "log.jsonl"],
        ["targets"],
        ["inspect", "m"],
    ],
)
def test_the_others_say_what_to_install(environment: Path, arguments: list[str]) -> None:
    result = _run(environment, *arguments)
    assert result.returncode == 2
    assert "pip install 'paddle-tvm[compiler]'" in result.stderr
    assert "Traceback" not in result.stderr
