"""``paddle-tvm run`` and ``inspect`` on artifacts, whole and damaged."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from cli_outcome import Run
from paddle import nn
from paddle.static import InputSpec
from saved_layers import save

from paddle_tvm import compiler
from paddle_tvm.runtime.artifact import encode_manifest, read_manifest


def test_runs_given_input_and_writes_the_outputs(run: Run, artifact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 5, 7), "float32"))
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    result = run("run", artifact, "--input", f"x={tmp_path}/x.npy", "--output", first)
    assert result.code == 0, result.err
    assert "random" not in result.out
    np.savez(tmp_path / "all.npz", x=np.zeros((2, 3, 5, 7), "float32"))
    assert run("run", artifact, "--input", tmp_path / "all.npz", "--output", second).code == 0
    with np.load(first) as one, np.load(second) as other:
        (name,) = one.files
        assert one[name].shape == (2, 5)
        np.testing.assert_array_equal(one[name], other[name])


def test_outputs_do_not_take_the_place_of_another_kind_of_file(run: Run, artifact: Path, model: Path) -> None:
    program = model / "inference.json"
    before = program.read_bytes()
    result = run("run", artifact, "--output", program)
    assert result.code == 2
    assert "expected a .npz file, such as inference.npz" in result.err
    assert program.read_bytes() == before
    assert run("run", artifact, "--output", "/dev/null").code == 0


def test_says_that_input_is_random(run: Run, artifact: Path) -> None:
    result = run("run", artifact, "--shape", "x=1,3,9,9", "--threads", "1", "--repeat", "3")
    assert result.code == 0
    assert "random input (seed 0): x [1, 3, 9, 9]" in result.out
    content = json.loads(run("run", artifact, "--json").out)
    assert content["inputs"]["x"]["random"] is True


def test_sizes_that_the_model_cannot_take_are_wrong_usage(run: Run, tmp_path: Path) -> None:
    model = save(nn.Linear(8, 3), tmp_path / "model", InputSpec([None, None], "float32", "x"))
    compiler.compile(model, tmp_path / "linear.pdtvm")
    result = run("run", tmp_path / "linear.pdtvm", "--shape", "x=2,7")
    assert result.code == 2
    assert "cannot take x [2, 7]: expected x_1 to be 8, got 7 (x_1 is dimension 1 of 'x')" in result.err
    assert "match_cast" not in result.err


def _write_pickle(path: Path) -> None:
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.array([{}], dtype=object), allow_pickle=True)


def _write_wrong_dtype(path: Path) -> None:
    np.save(path, np.zeros((1, 3, 5, 5), "int64"))


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("missing.npy", lambda path: None, "no such file"),
        ("empty.npy", lambda path: path.touch(), "is empty"),
        ("text.npy", lambda path: path.write_text("hello"), "expected a .npy or .npz file"),
        ("pickle.npy", lambda path: path.write_bytes(pickle.dumps([1])), "expected a .npy or .npz file"),
        ("objects.npy", _write_pickle, "cannot be read"),
        ("folder.npy", lambda path: path.mkdir(), "is a directory"),
        ("dtype.npy", _write_wrong_dtype, "float32"),
        ("rank.npy", lambda path: np.save(path, np.zeros((3, 5), "float32")), "'x'"),
        ("channels.npy", lambda path: np.save(path, np.zeros((1, 4, 5, 5), "float32")), "'x'"),
    ],
)
def test_bad_input_files(
    run: Run, artifact: Path, tmp_path: Path, name: str, write: object, message: str
) -> None:
    assert callable(write)
    write(tmp_path / name)
    result = run("run", artifact, "--input", f"x={tmp_path / name}", "--output", tmp_path / "out.npz")
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shape", "z=1"], "no input of"),
        (["--shape", "x=1,4,8,8"], "'x'"),
        (["--shape", "x=1,3,8,8;x=2,3,8,8"], "2 sets"),
        (["--input", "x.npy"], "write it like x=x.npy"),
        (["--shape", "x=1,3,9999999999,9999999999"], "more elements than fit"),
        (["--threads", "100000"], "1<=x<=1024"),
        (["--shape", "x=0,3,8,8"], "input 'x': expected at least 1 in dimension 0 (x_0), got 0"),
        (["--output", "out.txt"], "--output out.txt: expected a .npz file, such as out.npz"),
    ],
)
def test_bad_options(run: Run, artifact: Path, arguments: list[str], message: str) -> None:
    result = run("run", artifact, *arguments)
    assert result.code == 2
    assert message in result.err


def test_an_array_has_its_own_shape(run: Run, artifact: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 4, 8, 8), "float32"))
    wrong = run("run", artifact, "--input", f"x={tmp_path / 'x.npy'}")
    assert wrong.code == 2
    assert "--shape" not in wrong.err
    assert "'x' is given the shape [1, 4, 8, 8], the model takes [x_0, 3, x_2, x_3]" in wrong.err
    both = run("run", artifact, "--input", f"x={tmp_path / 'x.npy'}", "--shape", "x=1,3,8,8")
    assert both.code == 2
    assert "--input and --shape both give x" in both.err


@pytest.mark.parametrize("command", [["run"], ["inspect"]])
@pytest.mark.parametrize("name", ["manifest.json", "model.so", "weights.bin", "lib/libtvm_runtime.so"])
def test_a_flipped_byte_in_any_file(run: Run, artifact: Path, name: str, command: list[str]) -> None:
    path = artifact / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    result = run(*command, artifact)
    assert result.code == 5
    assert name in result.err
    assert "Traceback" not in result.err


def test_a_missing_file(run: Run, artifact: Path) -> None:
    (artifact / "weights.bin").unlink()
    result = run("run", artifact)
    assert result.code == 5
    assert "weights.bin: missing" in result.err


def test_a_newer_format(run: Run, artifact: Path) -> None:
    manifest = artifact / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "format_version": 99}))
    for command in ("run", "inspect"):
        result = run(command, artifact)
        assert result.code == 5
        assert "99" in result.err


def test_a_cpu_without_the_features(run: Run, artifact: Path) -> None:
    manifest = read_manifest(artifact)
    (variant,) = manifest.variants
    variant = variant._replace(target=variant.target._replace(features=("avx2", "avx1024")))
    (artifact / "manifest.json").write_bytes(encode_manifest(manifest._replace(variants=(variant,))))
    result = run("run", artifact)
    assert result.code == 5
    assert "avx1024" in result.err
    assert "--mcpu" in result.err
    # What it is can still be seen.
    shown = run("inspect", artifact)
    assert shown.code == 5
    assert "artifact of" in shown.out
    shown = run("inspect", artifact, "--json")
    assert shown.code == 5
    content = json.loads(shown.out)
    assert content["variants"][0]["target"]["features"] == ["avx2", "avx1024"]
    assert content["runs_here"] is None


def test_no_artifact(run: Run, tmp_path: Path) -> None:
    assert run("run", tmp_path / "nowhere").code == 2


@pytest.mark.parametrize("command", ["run", "profile", "bench", "verify"])
@pytest.mark.parametrize("name", ["", "inference", "inference.json", "inference.pdiparams"])
def test_a_model_where_an_artifact_is_needed(run: Run, model: Path, command: str, name: str) -> None:
    result = run(command, model / name, *(["--model", model] if command == "verify" else []))
    assert result.code == 2
    assert "this is a model, and an artifact is needed; compile it first: paddle-tvm compile" in result.err


@pytest.mark.parametrize("name", ["", "manifest.json"])
def test_an_artifact_where_a_model_is_needed(run: Run, artifact: Path, tmp_path: Path, name: str) -> None:
    given = artifact / name
    for command in (
        ["compile", given, "-o", tmp_path / "new.pdtvm"],
        ["verify", artifact, "--model", given],
        ["bench", artifact, "--model", given, "--against", "paddle"],
    ):
        result = run(*command)
        assert result.code == 2
        assert f"{artifact} is an artifact, compiled already; name the model" in result.err


def test_outputs_that_cannot_be_written_are_refused_first(run: Run, artifact: Path) -> None:
    result = run("run", artifact, "--output", "/proc/x.npz")
    assert result.code == 2
    assert "cannot write /proc/x.npz: no file can be made in /proc; name another place" in result.err
