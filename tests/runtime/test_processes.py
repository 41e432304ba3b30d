"""What a process has loaded: before the runtime, after it, and because of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models
import tvm

from paddle_tvm.runtime import ArtifactError, Config, create_predictor, loader

ROOT = Path(__file__).resolve().parents[2]

RUN = """
import numpy as np
from paddle_tvm.runtime import Config, create_predictor
def run(path, threads=1):
    config = Config(path)
    config.set_cpu_math_library_num_threads(threads)
    predictor = create_predictor(config)
    outputs = predictor.run([np.ones((3, 4), "float32"), np.zeros(3, "float32")])
    assert outputs[0].tolist() == [[18.0, 22.0, 26.0]] * 3, outputs
    return predictor
"""

COMPILE = """
import tvm
from tvm import relax
def compile():
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((2,), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            y = builder.emit_output(relax.op.add(x, x))
        builder.emit_func_output(y)
    vm = relax.VirtualMachine(tvm.compile(builder.get(), target="llvm"), tvm.cpu())
    assert vm["main"](tvm.runtime.tensor(np.ones(2, "float32"))).numpy().tolist() == [2.0, 2.0]
"""


def python(script: str, *arguments: object, executable: str | Path = sys.executable) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(executable), "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        cwd="/",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("threads", [1, 2])
def test_beside_tvm_imported_before(affine: Path, threads: int) -> None:
    script = COMPILE + RUN + "import sys; run(sys.argv[1], int(sys.argv[2])); compile(); run(sys.argv[1])"
    python(script, affine, threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_beside_tvm_imported_afterwards(affine: Path, threads: int) -> None:
    script = RUN + "import sys; first = run(sys.argv[1], int(sys.argv[2]))" + COMPILE
    script += "compile(); run(sys.argv[1]); first.run()"
    python(script, affine, threads)


@pytest.mark.parametrize("first", ["import paddle", ""])
def test_beside_paddle(affine: Path, first: str) -> None:
    script = f"{first}\n{RUN}\nimport sys; run(sys.argv[1]); import paddle\n"
    script += "assert paddle.to_tensor([1.0]).numpy() == 1; run(sys.argv[1], 2)"
    python(script, affine)


def test_nothing_that_is_slow_to_import_is_imported(affine: Path) -> None:
    script = RUN + "import sys; run(sys.argv[1]); run(sys.argv[1], 2); "
    # importlib.metadata brings email and socket along, a quarter of the time to the first result.
    python(
        script + "assert not {'tvm', 'tvm_ffi', 'paddle', 'importlib.metadata'} & set(sys.modules)", affine
    )


@pytest.mark.parametrize("order", ["before", "afterwards"])
def test_native_libraries_are_loaded_once_beside_tvm(affine: Path, order: str) -> None:
    steps = [RUN + "import sys; run(sys.argv[1])\n", "import tvm\n"]
    script = "".join(steps if order == "afterwards" else reversed(steps))
    script += """
libraries = {}
for line in open("/proc/self/maps"):
    fields = line.split(maxsplit=5)
    name = fields[5].rsplit("/", 1)[-1].strip() if len(fields) == 6 else ""
    if name in ("libtvm_ffi.so", "libtvm_runtime.so"):
        libraries.setdefault(name, set()).add((fields[3], fields[4]))
assert sorted(map(len, libraries.values())) == [1, 1], libraries
"""
    python(script, affine)


@pytest.mark.parametrize("threads", [1, 2])
def test_tensors_of_tvm_can_be_shared(affine: Path, threads: int) -> None:
    script = (
        RUN
        + """
import sys, tvm
predictor = run(sys.argv[1], int(sys.argv[2]))
x = tvm.runtime.tensor(np.full((3, 4), 2, "float32"))
predictor.get_input_handle("x").share_external_data(x)
predictor.run()
assert predictor.get_output_handle("sum").copy_to_cpu().tolist() == [[36.0, 44.0, 52.0]] * 3
predictor.get_input_handle("x").reshape([3, 4])
del x
predictor.run()
assert predictor.get_output_handle("sum").copy_to_cpu().tolist() == [[36.0, 44.0, 52.0]] * 3
"""
    )
    python(script, affine, threads)


def test_torch_is_not_imported(affine: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    script = "import sys; sys.path.insert(0, sys.argv[2])" + RUN
    script += "run(sys.argv[1]); assert 'torch' not in sys.modules"
    python(script, affine, tmp_path)


def test_another_tvm_runtime_in_the_process_is_refused(affine: Path, tmp_path: Path) -> None:
    script = """
import json, sys
import tvm
from pathlib import Path
from paddle_tvm.runtime import ArtifactError, Config, create_predictor
from paddle_tvm.runtime.artifact import encode_manifest, file_sha256, read_manifest
path = Path(sys.argv[1])
library = path / "lib/libtvm_runtime.so"
library.write_bytes(library.read_bytes() + b"another build")
manifest = read_manifest(path)
entry = manifest.files["lib/libtvm_runtime.so"]._replace(
    sha256=file_sha256(library), size=library.stat().st_size
)
manifest = manifest._replace(
    files={**manifest.files, "lib/libtvm_runtime.so": entry}, producer=manifest.producer._replace(tvm="9.9")
)
(path / "manifest.json").write_bytes(encode_manifest(manifest))
try:
    create_predictor(Config(str(path)))
except ArtifactError as error:
    print(error)
"""
    copy = shutil.copytree(affine, tmp_path / "copy.pdtvm")
    message = python(script, copy)
    assert "of TVM 9.9" in message
    assert f"of TVM {tvm.__version__}" in message

    # Alone it may be loaded; then importing tvm would end the process, so it is an ImportError.
    refused = """
try:
    import tvm
except ImportError as error:
    print(error)
"""
    assert "TVM 9.9 is loaded" in python(RUN + "import sys; run(sys.argv[1])" + refused, copy)


def test_an_artifact_replaced_in_place_is_loaded_anew(tmp_path: Path) -> None:
    path = tmp_path / "model.pdtvm"
    rows = np.ones((3, 4), "float32")
    small_models.fixed(path)
    old = create_predictor(Config(str(path)))
    shutil.rmtree(path)
    small_models.affine(path)
    new = create_predictor(Config(str(path)))
    outputs = new.run([rows, np.zeros(3, "float32")])
    assert outputs is not None
    assert outputs[0].tolist() == [[18.0, 22.0, 26.0]] * 3
    outputs = old.run([rows])
    assert outputs is not None
    assert outputs[0].tolist() == [[2.0] * 4] * 3


@pytest.mark.parametrize("step", ["check_files", "_load_runtime", "_open_model", "map_weights"])
@pytest.mark.parametrize("times", [1, 2])
def test_nothing_is_put_together_from_two_artifacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, times: int
) -> None:
    """Another artifact takes the place of the one that is loaded, after a step of loading it."""
    path, other = tmp_path / "model.pdtvm", tmp_path / "other.pdtvm"
    small_models.fixed(path)
    small_models.affine(other)
    original = getattr(loader, step)
    left = [times]

    def exchange_after(*arguments: Any, **named: Any) -> Any:
        result = original(*arguments, **named)
        if left[0]:
            left[0] -= 1
            aside = tmp_path / "aside"
            path.rename(aside)
            other.rename(path)
            aside.rename(other)
        return result

    monkeypatch.setattr(loader, step, exchange_after)
    predictor = create_predictor(Config(str(path)))
    assert left == [0]
    rows = np.ones((3, 4), "float32")
    fixed = times == 2
    outputs = predictor.run([rows] if fixed else [rows, np.zeros(3, "float32")])
    assert outputs is not None
    assert outputs[0].tolist() == ([[2.0] * 4] * 3 if fixed else [[18.0, 22.0, 26.0]] * 3)


def test_an_artifact_that_is_replaced_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_models.fixed(tmp_path / "model.pdtvm")
    original = loader.map_weights

    def touch_after(*arguments: Any) -> Any:
        result = original(*arguments)
        path.rename(tmp_path / "aside").rename(path)
        return result

    monkeypatch.setattr(loader, "map_weights", touch_after)
    with pytest.raises(ArtifactError, match="was replaced 100 times while it was being loaded"):
        create_predictor(Config(str(path)))


@pytest.fixture(scope="session")
def base_install(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the base install of this checkout, and nothing else."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "LICENSE", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("compiler", "runtime", "targets", "tuning_logs"):
        shutil.copytree(ROOT / name, source / name)
    environment = tmp_path_factory.mktemp("base")
    venv.create(environment, with_pip=True)
    subprocess.run(
        [environment / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", source],
        check=True,
        timeout=600,
    )
    return environment


def test_the_base_install_runs_an_artifact(affine: Path, base_install: Path) -> None:
    script = RUN + "import sys; run(sys.argv[1]); run(sys.argv[1], 2); import json; "
    script += "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    modules = set(json.loads(python(script, affine, executable=base_install / "bin/python")))
    assert not modules & {"tvm", "tvm_ffi", "paddle", "click"}
    # None of these is there to be imported by accident either.
    site = next((base_install / "lib").glob("python*/site-packages"))
    assert not [name for name in ("tvm", "paddle", "onnx", "torch") if (site / name).exists()]


def test_the_base_install_adds_20_mb_to_numpy(base_install: Path) -> None:
    site = next((base_install / "lib").glob("python*/site-packages"))
    others = {"numpy", "numpy.libs", "pip", "setuptools", "_distutils_hack", "pkg_resources"}
    ours = [path for path in site.iterdir() if path.name.partition("-")[0] not in others]
    size = sum(
        file.stat().st_size
        for path in ours
        for file in ([path] if path.is_file() else path.rglob("*"))
        if file.is_file()
    )
    assert {"tvm_ffi", "click", "paddle_tvm"} <= {path.name for path in ours}
    # To the nearest, as the README says.
    assert round(size / 1e6) <= 20
