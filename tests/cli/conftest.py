"""A small Paddle model, its artifact, and a way to run the command line within the test's process."""

from __future__ import annotations

import shutil
from pathlib import Path

import paddle
import pytest
from cli_outcome import Outcome, Run
from paddle.static import InputSpec
from saved_layers import SmallNetwork, save
from tvm import relax

from paddle_tvm import compiler
from paddle_tvm.compiler.cli.main import run_command_line
from paddle_tvm.compiler.frontends.paddle import registry
from paddle_tvm.compiler.frontends.paddle.context import OpContext


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = run_command_line([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paddle.seed(1)
    spec = InputSpec([None, 3, None, None], "float32", "x")
    return save(SmallNetwork(), tmp_path_factory.mktemp("saved") / "small", spec)


@pytest.fixture(scope="session")
def compiled(saved_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("compiled") / "small.pdtvm"
    compiler.compile(saved_model, output)
    return output


@pytest.fixture
def model(saved_model: Path, tmp_path: Path) -> Path:
    """A copy of the saved model that a test may damage."""
    return Path(shutil.copytree(saved_model, tmp_path / "model"))


@pytest.fixture
def artifact(compiled: Path, tmp_path: Path) -> Path:
    """A copy of the artifact that a test may damage."""
    return Path(shutil.copytree(compiled, tmp_path / "small.pdtvm"))


@pytest.fixture
def wrong_relu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler whose ReLU gives twice what it should."""

    def convert(context: OpContext) -> relax.Expr:
        doubled = relax.op.multiply(context.input(0), relax.const(2.0, "float32"))
        return relax.op.nn.relu(context.emit(doubled))

    monkeypatch.setitem(registry._converters, "pd_op.relu", convert)
