"""An artifact is written whole or not at all, and the same every time."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models
from tvm import relax

from paddle_tvm.compiler import artifact, staging
from paddle_tvm.compiler.artifact import write_artifact
from paddle_tvm.compiler.output_places import check_output
from paddle_tvm.compiler.staging import scratch_directory
from paddle_tvm.runtime import Config, create_predictor
from paddle_tvm.runtime.artifact import check_files, read_manifest
from paddle_tvm.runtime.errors import PaddleTvmError, UsageError
from paddle_tvm.runtime.manifest import FunctionSpec, TensorSpec

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def parts() -> tuple[artifact.Description, list[artifact.Code]]:
    return small_models.affine_parts()


def content(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def is_sound(path: Path) -> bool:
    check_files(path, read_manifest(path))
    return True


def test_the_files_of_an_artifact(sound: Path) -> None:
    assert sorted(content(sound)) == ["lib/libtvm_runtime.so", "manifest.json", "model.so", "weights.bin"]
    assert is_sound(sound)
    # Beside code, bytecode and the pool of threads: no symbol table and no debug information.
    assert (sound / "model.so").stat().st_size < 50_000


def test_equal_arguments_give_equal_bytes(tmp_path: Path, parts: Any) -> None:
    for name in ("one.pdtvm", "another name.pdtvm"):
        write_artifact(tmp_path / name, *parts)
    assert content(tmp_path / "one.pdtvm") == content(tmp_path / "another name.pdtvm")


def test_equal_weights_are_stored_once(sound: Path) -> None:
    manifest = read_manifest(sound)
    assert len(manifest.weights) == 1
    assert manifest.variants[0].weights == {"main": (0,), "main_2": (0,)}
    assert (sound / "weights.bin").stat().st_size == 48


def test_weights_that_only_look_equal_stay_apart(tmp_path: Path, parts: Any) -> None:
    description, (code,) = parts
    zeros = [
        np.zeros(4, "float32"),
        np.zeros(4, "int32"),
        np.zeros((2, 2), "float32"),
        np.array(0.0, "float32"),
    ]
    code = replace(code, weights=[*zeros, np.empty((0, 3), "int8")])
    write_artifact(tmp_path / "a", description, [code])
    weights = read_manifest(tmp_path / "a").weights
    assert [(w.dtype, w.shape, w.offset) for w in weights] == [
        ("float32", (4,), 0),
        ("int32", (4,), 64),
        ("float32", (2, 2), 128),
        ("float32", (), 192),
        ("int8", (0, 3), 256),
    ]


def test_weights_of_every_form_arrive(tmp_path: Path) -> None:
    weights = [
        np.array([True, False]),
        np.array(7, "int64"),
        np.empty((0, 2), "float32"),
        np.asfortranarray(np.arange(6, dtype="float64").reshape(2, 3)),
        np.array([1.5, -2.0], "float16"),
    ]
    builder = relax.BlockBuilder()
    x = small_models.tensor("x", (1,))
    parameters = [small_models.tensor(f"w{i}", w.shape, w.dtype.name) for i, w in enumerate(weights)]
    with builder.function("main", [x, *parameters]):
        with builder.dataflow():
            result = builder.emit_output(relax.Tuple(parameters))
        builder.emit_func_output(result)
    description = small_models.describe(
        inputs=(TensorSpec("x", "float32", (1,)),),
        outputs=tuple(TensorSpec(f"w{i}", w.dtype.name, w.shape) for i, w in enumerate(weights)),
        functions=(FunctionSpec("main", ((1,),)),),
    )
    code = small_models.code(small_models.build(builder), weights, {"main": tuple(range(len(weights)))})
    write_artifact(tmp_path / "a", description, [code])
    outputs = create_predictor(Config(str(tmp_path / "a"))).run([np.zeros(1, "float32")])
    assert outputs is not None
    for output, weight in zip(outputs, weights, strict=True):
        np.testing.assert_array_equal(output, weight)
        assert (output.dtype, output.shape) == (weight.dtype, weight.shape)


def test_an_existing_output_is_kept(tmp_path: Path, parts: Any, copy: Path) -> None:
    before = content(copy)
    with pytest.raises(UsageError, match="exists; write to another name, or replace it with --force"):
        write_artifact(copy, *parts)
    assert content(copy) == before


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_force_replaces_nothing_but_artifacts(tmp_path: Path, parts: Any, kind: str) -> None:
    output = tmp_path / "precious"
    if kind == "file":
        output.write_text("mine")
    elif kind == "directory":
        output.mkdir()
        (output / "mine").touch()
    else:
        output.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is no artifact"):
        write_artifact(output, *parts, force=True)
    assert os.listdir(tmp_path) == ["precious"]


def test_force_replaces_an_artifact(tmp_path: Path, parts: Any) -> None:
    output = small_models.fixed(tmp_path / "model.pdtvm")
    write_artifact(output, *parts, force=True)
    assert [spec.name for spec in read_manifest(output).inputs] == ["x", "y"]
    assert os.listdir(tmp_path) == ["model.pdtvm"]


def test_force_works_where_directories_cannot_be_exchanged(
    tmp_path: Path, parts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Libc:
        @staticmethod
        def renameat2(*arguments: Any) -> int:
            return -1

    monkeypatch.setattr(staging.ctypes, "CDLL", lambda *a, **k: Libc)
    monkeypatch.setattr(staging.ctypes, "get_errno", lambda: staging.errno.EINVAL)
    output = small_models.fixed(tmp_path / "model.pdtvm")
    write_artifact(output, *parts, force=True)
    assert [spec.name for spec in read_manifest(output).inputs] == ["x", "y"]
    assert os.listdir(tmp_path) == ["model.pdtvm"]


def test_force_through_a_link_replaces_what_it_points_to(tmp_path: Path, parts: Any) -> None:
    (tmp_path / "store").mkdir()
    small_models.fixed(tmp_path / "store" / "model")
    (tmp_path / "link").symlink_to(tmp_path / "store" / "model")
    write_artifact(tmp_path / "link", *parts, force=True)
    assert (tmp_path / "link").is_symlink()
    assert len(read_manifest(tmp_path / "store" / "model").inputs) == 2


def test_an_output_without_a_folder_around_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no directory"):
        check_output(tmp_path / "missing" / "model.pdtvm", False)


@pytest.mark.parametrize("failure", [RuntimeError("broken"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing(
    tmp_path: Path, parts: Any, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    def fail(*arguments: Any) -> None:
        raise failure

    monkeypatch.setattr(artifact, "encode_manifest", fail)
    with pytest.raises(type(failure)):
        write_artifact(tmp_path / "model.pdtvm", *parts)
    assert os.listdir(tmp_path) == []


@pytest.fixture
def small_files_only() -> Iterator[None]:
    """Let no file grow beyond 1 MB, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_cannot_grow(tmp_path: Path, parts: Any, small_files_only: None) -> None:
    with pytest.raises(PaddleTvmError, match="a file is larger than allowed"):
        write_artifact(tmp_path / "model.pdtvm", *parts)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("where", ["weights", "linker"])
def test_a_full_disk(tmp_path: Path, parts: Any, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def write_weights(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    class Executable:
        def export_library(self, *arguments: Any, **options: Any) -> None:
            raise RuntimeError("Compilation error:\n/usr/bin/ld: final link failed: No space left on device")

    description, (code,) = parts
    output = small_models.fixed(tmp_path / "model.pdtvm")
    if where == "weights":
        monkeypatch.setattr(artifact.WeightsFile, "add", write_weights)
    else:
        code = replace(code, executable=Executable())
    before = content(output)
    with pytest.raises(PaddleTvmError, match="the disk is full; nothing was written"):
        write_artifact(output, description, [code], force=True)
    assert os.listdir(tmp_path) == ["model.pdtvm"]
    assert content(output) == before


def test_no_c_compiler(tmp_path: Path, parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"needs a C compiler, and none is installed.*apt install gcc"):
        write_artifact(tmp_path / "model.pdtvm", *parts)
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(UsageError, match=r"no-such-compiler \(from CXX or CC\) is not there"):
        write_artifact(tmp_path / "model.pdtvm", *parts)
    assert os.listdir(tmp_path) == []


SLOW_WRITER = """
import sys, time
sys.path.insert(0, sys.argv[2])
import small_models
from paddle_tvm.compiler import artifact
stage = sys.argv[3]
wrapped = getattr(artifact, stage)
def slow(*arguments, **options):
    print("there", flush=True)
    time.sleep(60)
setattr(artifact, stage, slow)
artifact.write_artifact(sys.argv[1], *small_models.affine_parts(), force=True)
"""


def kill_a_writer(output: Path, stage: str, number: int) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", SLOW_WRITER, output, TESTS, stage], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "there\n"
    writer.send_signal(number)
    writer.wait(timeout=60)
    writer.stdout.close()


@pytest.mark.parametrize("stage", ["link_library", "publish"])
def test_a_killed_writer_harms_nothing_and_its_rest_is_cleared_away(
    tmp_path: Path, parts: Any, stage: str
) -> None:
    output = small_models.fixed(tmp_path / "model.pdtvm")
    before = content(output)
    kill_a_writer(output, stage, signal.SIGKILL)
    assert content(output) == before
    assert is_sound(output)
    assert len(os.listdir(tmp_path)) == 2
    write_artifact(output, *parts, force=True)
    assert os.listdir(tmp_path) == ["model.pdtvm"]


def test_a_terminated_writer_leaves_nothing(tmp_path: Path) -> None:
    kill_a_writer(tmp_path / "model.pdtvm", "link_library", signal.SIGTERM)
    assert os.listdir(tmp_path) == []


def test_the_rest_of_a_live_writer_is_left_alone(tmp_path: Path, parts: Any) -> None:
    ours = tmp_path / f".model.pdtvm.{os.getppid()}-abc.tmp"
    another = tmp_path / ".other.pdtvm.999999999-abc.tmp"
    for path in (ours, another):
        path.mkdir()
    write_artifact(tmp_path / "model.pdtvm", *parts)
    assert {ours.name, another.name} < set(os.listdir(tmp_path))


def test_writers_at_the_same_time(tmp_path: Path, parts: Any) -> None:
    output = tmp_path / "model.pdtvm"
    results: list[object] = []

    def write() -> None:
        try:
            results.append(write_artifact(output, *parts))
        except UsageError as error:
            results.append(error)

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sum(not isinstance(result, UsageError) for result in results) == 1
    assert is_sound(output)
    assert os.listdir(tmp_path) == ["model.pdtvm"]


def test_a_read_only_artifact_is_replaced_whole(tmp_path: Path, parts: Any) -> None:
    output = small_models.fixed(tmp_path / "model.pdtvm")
    for folder in (output, output / "lib"):
        folder.chmod(0o555)
    write = (
        "import sys; from pathlib import Path; import small_models\n"
        "from paddle_tvm.compiler import artifact\n"
        "artifact.write_artifact(Path(sys.argv[1]), *small_models.affine_parts(), force=True)"
    )
    # Root may remove what it likes, unless it gives that up.
    powerless = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    subprocess.run(
        [*powerless, sys.executable, "-c", write, str(output)],
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(small_models.__file__).parent)},
    )
    assert is_sound(output)
    assert os.listdir(tmp_path) == ["model.pdtvm"]


def test_scratch_of_a_killed_run_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = tmp_path / f".paddle-tvm-onnx.{dead.pid}-abc.tmp"
    left.mkdir()
    (left / "model.onnx").touch()
    with scratch_directory("paddle-tvm-onnx") as folder:
        assert os.listdir(tmp_path) == [folder.name]
        assert folder.stat().st_mode & 0o777 == 0o700
    assert os.listdir(tmp_path) == []
