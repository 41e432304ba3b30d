"""The TensorRT target without TensorRT: its Python API is played, and ONNX Runtime computes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from emulated_cuda import Emulator
from paddle import nn
from paddle.static import InputSpec

from paddle_tvm import compiler, runtime
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.errors import ArtifactError, UsageError
from paddle_tvm.runtime.tensorrt_engines import _size

PLAYED = Path(__file__).parent.parent / "played_tensorrt"
FIXED = (2, 3, 12, 10)


class Net(nn.Layer):  # type: ignore[misc]  # Paddle has no types
    """A network of which TensorRT leaves a cumulative product in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2D(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2D(8, 8, 1), nn.Hardswish()
        )
        self.second = nn.Sequential(nn.Conv2D(8, 4, 3, stride=2), nn.Sigmoid(), nn.Conv2D(4, 4, 1))

    def forward(self, x: Any) -> Any:
        return self.second(paddle.cumprod(self.first(x) * 0.5, 1))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paddle.seed(11)
    layer = Net()
    layer.eval()
    prefix = tmp_path_factory.mktemp("net") / "net"
    paddle.jit.save(layer, str(prefix), input_spec=[InputSpec((-1, 3, -1, -1), "float32", "x")])
    return prefix


@pytest.fixture(scope="module")
def played(emulator: Emulator) -> Any:
    """The module that plays TensorRT."""
    sys.path.insert(0, str(PLAYED))
    try:
        import tensorrt

        yield tensorrt
    finally:
        sys.path.remove(str(PLAYED))
        del sys.modules["tensorrt"]


@pytest.fixture(scope="module")
def fixed(saved: Path, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trt") / "fixed.pdtvm"
    compiler.compile(saved, path, target="tensorrt", shapes={"x": FIXED})
    return path


@pytest.fixture(scope="module")
def dynamic(saved: Path, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trt") / "dynamic.pdtvm"
    compiler.compile(saved, path, target="tensorrt")
    return path


@pytest.fixture(scope="module")
def expected(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("cpu") / "cpu.pdtvm"
    compiler.compile(saved, path)
    predictor = runtime.create_predictor(runtime.Config(str(path)))
    return lambda array: _run(predictor, array)


def _run(predictor: runtime.Predictor, array: np.ndarray) -> np.ndarray:
    results = predictor.run([array])
    assert results is not None
    return np.asarray(results[0])


def _inputs(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def _config(artifact: Path, cache: Path, **options: Any) -> runtime.Config:
    config = runtime.Config(str(artifact))
    config.enable_use_gpu(100, 0)
    config.enable_tensorrt_engine(workspace_size=1 << 20, **options)
    config.set_optim_cache_dir(str(cache))
    return config


def test_subgraphs_run_in_engines_and_the_rest_on_cuda(
    fixed: Path, played: Any, emulator: Emulator, expected: Any, tmp_path: Path
) -> None:
    manifest = read_manifest(fixed)
    assert manifest.variants[0].target.kind == "tensorrt"
    assert len(manifest.variants[0].loads) == 2
    played.built.clear()
    predictor = runtime.create_predictor(_config(fixed, tmp_path))
    assert [about["flags"] for about in played.built] == [[], []]
    assert {about["workspace"] for about in played.built} == {1 << 20}
    kernels = emulator.kernels
    for seed in range(3):
        array = _inputs(FIXED, seed)
        np.testing.assert_allclose(_run(predictor, array), expected(array), atol=1e-5, rtol=1e-4)
    assert emulator.kernels > kernels


def test_engines_are_built_once_for_all_that_matters(fixed: Path, played: Any, tmp_path: Path) -> None:
    from paddle_tvm.runtime import tensorrt_engines

    def built(cache: Path, **options: Any) -> int:
        tensorrt_engines._engines.clear()
        played.built.clear()
        runtime.create_predictor(_config(fixed, cache, **options))
        return len(played.built)

    assert built(tmp_path / "a") == 2
    assert built(tmp_path / "a") == 0
    assert built(tmp_path / "b") == 2
    assert built(tmp_path / "a", precision_mode=runtime.PrecisionType.Half) == 2
    assert {tuple(about["flags"]) for about in played.built} == {("FP16",)}
    played.__version__ = "10.14.1"
    try:
        assert built(tmp_path / "a") == 2
    finally:
        played.__version__ = "10.13.3.9"
    for file in (tmp_path / "a").iterdir():
        file.write_bytes(b"damaged")
    assert built(tmp_path / "a") == 2
    assert built(tmp_path / "a") == 0


def test_clones_have_contexts_of_their_own(fixed: Path, played: Any, expected: Any, tmp_path: Path) -> None:
    first = runtime.create_predictor(_config(fixed, tmp_path))
    played.built.clear()
    second = first.clone()
    assert not played.built
    array = _inputs(FIXED, 4)
    np.testing.assert_array_equal(_run(first, array), _run(second, array))
    np.testing.assert_allclose(_run(second, array), expected(array), atol=1e-5, rtol=1e-4)


def test_dynamic_shapes_are_profiles(dynamic: Path, played: Any, expected: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape("Config.set_trt_dynamic_shape_info()")):
        runtime.create_predictor(_config(dynamic, tmp_path))
    config = _config(dynamic, tmp_path)
    config.set_trt_dynamic_shape_info({"x": [1, 3, 8, 8]}, {"x": [4, 3, 32, 32]}, {"x": [2, 3, 16, 16]})
    assert config.tensorrt_dynamic_shape_enabled()
    played.built.clear()
    predictor = runtime.create_predictor(config)
    profiles = [about["profile"] for about in played.built]
    assert {"x0": [[1, 3, 8, 8], [2, 3, 16, 16], [4, 3, 32, 32]]} in profiles
    for shape in ((1, 3, 8, 9), (4, 3, 32, 20)):
        array = _inputs(shape)
        np.testing.assert_allclose(_run(predictor, array), expected(array), atol=1e-5, rtol=1e-4)
    with pytest.raises(UsageError, match=re.escape("not built for the shape [5, 3, 8, 8]")):
        predictor.run([_inputs((5, 3, 8, 8))])
    array = _inputs((2, 3, 9, 8))
    np.testing.assert_allclose(_run(predictor, array), expected(array), atol=1e-5, rtol=1e-4)


def test_shape_information_is_checked(dynamic: Path, played: Any, tmp_path: Path) -> None:
    config = _config(dynamic, tmp_path)
    with pytest.raises(UsageError, match="expected least <= optimal <= largest"):
        config.set_trt_dynamic_shape_info({"x": [2, 3, 8, 8]}, {"x": [1, 3, 8, 8]}, {"x": [2, 3, 8, 8]})
    with pytest.raises(UsageError, match="name different inputs"):
        config.set_trt_dynamic_shape_info({"x": [2, 3, 8, 8]}, {}, {"x": [2, 3, 8, 8]})
    config.set_trt_dynamic_shape_info({"y": [1, 2]}, {"y": [1, 2]}, {"y": [1, 2]})
    with pytest.raises(UsageError, match=r"input 'x' has the shape .*; got nothing for it"):
        runtime.create_predictor(config)


def test_what_the_parser_refuses_is_told(
    fixed: Path, played: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paddle_tvm.runtime import tensorrt_engines

    tensorrt_engines._engines.clear()
    monkeypatch.setenv("PLAYED_TENSORRT_REFUSES", "Conv")
    with pytest.raises(ArtifactError, match="does not take a part of the model: no importer registered"):
        runtime.create_predictor(_config(fixed, tmp_path))
    assert not list(tmp_path.iterdir())


def test_int8_wants_scales_of_the_model(fixed: Path, played: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no scales of its own"):
        runtime.create_predictor(_config(fixed, tmp_path, precision_mode=runtime.PrecisionType.Int8))
    with pytest.raises(UsageError, match="there is no calibration"):
        runtime.Config(str(fixed)).enable_tensorrt_engine(use_calib_mode=True)


def test_another_artifact_is_refused(saved: Path, tmp_path: Path) -> None:
    compiler.compile(saved, tmp_path / "cpu")
    config = runtime.Config(str(tmp_path / "cpu"))
    config.enable_tensorrt_engine()
    assert config.tensorrt_engine_enabled()
    with pytest.raises(UsageError, match="is compiled for x86: compile the model for TensorRT"):
        runtime.create_predictor(config)


def test_a_missing_package_is_named_with_its_version(fixed: Path, emulator: Emulator, tmp_path: Path) -> None:
    script = (
        "import sys; from paddle_tvm import runtime; runtime.create_predictor(runtime.Config(sys.argv[1]))"
    )
    for folder, version, message in (
        (tmp_path, "", "which is not installed"),
        (PLAYED, "8.6.1", "8.6.1 is installed"),
    ):
        variables = {
            **os.environ,
            "LD_LIBRARY_PATH": str(emulator.folder),
            "PYTHONPATH": str(folder),
            "PLAYED_TENSORRT_VERSION": version,
        }
        command = [sys.executable, "-c", script, str(fixed)]
        done = subprocess.run(command, env=variables, capture_output=True, text=True)
        assert done.returncode == 1
        assert "ArtifactError" in done.stderr
        assert message in done.stderr
        assert "pip install 'tensorrt-cu13>=10.13,<11'" in done.stderr


def test_few_operators_stay_with_our_kernels(
    saved: Path, emulator: Emulator, expected: Any, tmp_path: Path
) -> None:
    result = compiler.compile(
        saved, tmp_path / "a", target="tensorrt", shapes={"x": FIXED}, min_subgraph_size=50
    )
    (share,) = result.variants[0].offloaded.values()
    assert share.subgraphs == 0
    assert any("are not worth an engine" in reason for reason in share.left)
    # So it runs without TensorRT.
    array = _inputs(FIXED)
    predictor = runtime.create_predictor(runtime.Config(str(tmp_path / "a")))
    np.testing.assert_allclose(_run(predictor, array), expected(array), atol=1e-5, rtol=1e-4)


def test_options_that_do_not_go_together_are_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape("from Config.enable_tensorrt_engine()")):
        compiler.compile(saved, tmp_path / "a", target="tensorrt", precision="float16")
    with pytest.raises(UsageError, match="--mcpu goes with x86"):
        compiler.compile(saved, tmp_path / "a", target="tensorrt", mcpu="haswell")


@pytest.mark.parametrize(
    ("text", "value"),
    [("n", 7), ("n * T.int64(2)", 14), ("(n + T.int64(1)) // T.int64(2)", 4), ("T.max(n, T.int64(9))", 9)],
)
def test_sizes_are_understood_as_tvm_prints_them(text: str, value: int) -> None:
    assert _size(text, {"n": 7}) == value


def test_odd_sizes_are_no_code() -> None:
    with pytest.raises(ArtifactError, match="is not understood"):
        _size("__import__('os').getpid()", {"n": 7})


def test_profiling_times_engines_and_what_is_between_them(fixed: Path, played: Any, saved: Path) -> None:
    from paddle_tvm.compiler.profiling.profile import profile_artifact

    profile = profile_artifact(fixed, {"x": _inputs(FIXED)}, rounds=2)
    external = [kernel for kernel in profile.kernels if kernel.schedule and kernel.schedule.external]
    assert [kernel.calls for kernel in external] == [1, 1]
    assert len(profile.kernels) > len(external)
    assert all(kernel.work.microseconds > 0 for kernel in profile.kernels)
