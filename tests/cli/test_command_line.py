"""Exit codes and messages of the command line as a whole."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from cli_outcome import Run

from paddle_tvm.compiler.cli import main as command_line

SCRIPT = "import sys; from paddle_tvm.compiler.cli.main import main; main()"


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from paddle_tvm.compiler.cli.main import run_command_line as run; run(['--help']); "
        "print(sorted({'tvm', 'tvm_ffi', 'paddle', 'rich', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for command in ("compile", "run", "inspect", "verify", "bench", "doctor", "targets", "demo"):
        assert f"  {command} " in result.stdout
    assert result.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    "command", ["compile", "run", "inspect", "verify", "profile", "bench", "doctor", "targets", "demo"]
)
def test_every_command_has_help(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: paddle-tvm {command} ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing command"),
        (["fly"], "No such command"),
        (["compile"], "Missing argument"),
        (["compile", "model", "-o", "x.pdtvm", "--precision", "float7"], "float7"),
        (["run", "x.pdtvm", "--threads", "0"], "threads"),
    ],
)
def test_wrong_usage_exits_with_2_and_one_message(run: Run, arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert message in result.err
    assert "Traceback" not in result.err


def _text(path: Path) -> None:
    path.write_text("hello\n")


WRONG_KINDS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "notes.txt": (_text, "got .txt", "got a file"),
    "picture.png": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "got .png", "got a file"),
    "empty": (Path.touch, "got no suffix", "got a file"),
    "nothing": (Path.mkdir, "found nothing", "got a directory without one"),
    "pipe": (os.mkfifo, "neither a file nor a directory", "got a special file"),
    "lost": (lambda path: path.symlink_to("gone"), "a link to gone", "a link to gone"),
}


@pytest.mark.parametrize("name", WRONG_KINDS)
def test_what_is_neither_a_model_nor_an_artifact_is_told_so(run: Run, tmp_path: Path, name: str) -> None:
    make, of_a_model, of_an_artifact = WRONG_KINDS[name]
    path = tmp_path / name
    make(path)
    # A model whose name begins alike does not make one of it.
    _text(tmp_path / f"{name}.onnx")
    output = tmp_path / "new.pdtvm"
    commands = {("compile", path, "-o", output): of_a_model, ("inspect", path): of_a_model}
    commands |= {(command, path): of_an_artifact for command in ("run", "bench", "profile")}
    commands[("verify", path, "--model", f"{path}.onnx")] = of_an_artifact
    for arguments, message in commands.items():
        result = run(*arguments)
        assert (result.code, result.out) == (2, "")
        assert str(path) in result.err
        assert message in result.err
        assert "no such" not in result.err
    assert ("manifest.json" in run("inspect", path).err) == (name != "lost")
    assert not output.exists()


LIGHT = """
import sys
from paddle_tvm.compiler.cli.main import run_command_line
sys.argv = ["paddle-tvm"]
for line in sys.stdin.read().splitlines():
    code = run_command_line(line.split("|"))
    heavy = sorted({"tvm", "paddle", "onnx", "onnxruntime"} & set(sys.modules))
    print(code, heavy, line, flush=True)
"""


def test_wrong_usage_is_said_before_tvm_and_paddle_are_imported(
    compiled: Path, saved_model: Path, tmp_path: Path
) -> None:
    artifact, model, new = str(compiled), str(saved_model), str(tmp_path / "new.pdtvm")
    commands = [
        *([name, "--help"] for name in command_line._COMMANDS),
        *([name, "nowhere"] for name in ("run", "profile", "bench", "inspect")),
        *([name, model] for name in ("run", "profile", "bench")),
        ["compile", "nowhere", "-o", new],
        ["compile", artifact, "-o", new],
        ["compile", model, "-o", artifact],
        ["compile", model, "-o", "/proc/new.pdtvm"],
        ["compile", model, "-o", new, "--mcpu", "z80"],
        ["compile", model, "-o", new, "--target", "abacus"],
        ["compile", model, "-o", new, "--report", "/proc/x.html"],
        ["compile", model, "-o", new, "--report", f"{new}/x.html"],
        ["tune", "nowhere"],
        ["tune", model, "-o", "/proc/x.jsonl"],
        ["tune", model, "-o", new, "--mcpu", "z80"],
        ["tune", model, "-o", new, "--time-budget", "soon"],
        ["tune", model, "-o", new, "--report", "/proc/x.html"],
        ["tune", model, "-o", new, "--tuning-log", "nowhere"],
        ["tune", model, "-o", new, "--rpc", "localhost:9190"],
        ["tune", "--check", "nowhere"],
        ["tune", "--merge", "nowhere", "-o", new],
        ["inspect", model, "--html", "/proc/x.html"],
        ["run", artifact, "--output", "/proc/x.npz"],
        ["run", artifact, "--mcpu", "z80"],
        ["profile", artifact, "--mcpu", "z80"],
        ["verify", artifact, "--model", "nowhere"],
        ["verify", artifact, "--model", artifact],
        ["verify", model, "--model", model],
        ["verify", artifact, "--model", model, "--mcpu", "z80"],
        ["bench", artifact, "--model", "nowhere", "--against", "paddle"],
        ["bench", "--suite", "--models", "abacus"],
        ["demo", "--image", "nowhere"],
    ]
    result = subprocess.run(
        [sys.executable, "-c", LIGHT],
        input="\n".join("|".join(command) for command in commands),
        capture_output=True,
        text=True,
        check=True,
    )
    said = [line for line in result.stdout.splitlines() if line.startswith(("0 [", "2 ["))]
    expected = [f"{0 if command[-1] == '--help' else 2} [] {'|'.join(command)}" for command in commands]
    assert said == expected, result.stderr


def test_version(run: Run) -> None:
    assert run("--version").out.startswith("paddle-tvm 0.")


def _replace_command(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(command_line._LazyGroup, "get_command", lambda *_: failing)


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    _replace_command(monkeypatch, RuntimeError("ours"))
    with pytest.raises(RuntimeError, match="ours"):
        run("doctor")


def test_interruption_exits_with_130(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    _replace_command(monkeypatch, KeyboardInterrupt())
    result = run("doctor")
    assert result.code == 130
    assert "interrupted" in result.err


def test_what_the_system_refuses_is_no_bug(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    _replace_command(monkeypatch, OSError(28, "No space left on device", "/disk/x"))
    result = run("doctor")
    assert (result.code, result.err) == (2, "error: /disk/x: No space left on device\n")


def test_a_closed_pipe_is_no_traceback(compiled: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, "inspect", str(compiled), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141
