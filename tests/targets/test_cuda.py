"""The CUDA target, without a GPU: its kernels run on the CPU, and nvcc shows what it makes of them."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from emulated_cuda import Emulator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paddle import nn
from paddle.static import InputSpec

from paddle_tvm import compiler, runtime
from paddle_tvm.compiler.verify import TOLERANCES
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.cuda import cuda_target, toolkit
from paddle_tvm.targets.cuda.tile import tiles
from paddle_tvm.targets.cuda.toolkit import compile_kernels
from paddle_tvm.targets.cuda.workloads import CudaProduct
from paddle_tvm.targets.workload import Choice, Workload

PRECISIONS = ("float32", "tf32", "float16", "bfloat16")


class Net(nn.Layer):
    """Convolutions with and without padding, strides and groups, a product, and what goes with them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2D(3, 16, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2D(16, 16, 3, padding=1, groups=16)
        self.grouped = nn.Conv2D(16, 32, 3, padding=1, groups=2)
        self.pointwise = nn.Conv2D(32, 24, 1)
        self.up = nn.Conv2DTranspose(24, 8, 2, stride=2)
        self.norm = nn.LayerNorm(8)
        self.dense = nn.Linear(8, 10)

    def forward(self, x: Any) -> Any:
        x = nn.functional.relu(self.first(x))
        x = nn.functional.hardswish(self.grouped(self.depthwise(x) + x))
        x = nn.functional.max_pool2d(self.up(self.pointwise(x)), 2)
        x = self.norm(x.flatten(2).transpose([0, 2, 1]))
        return nn.functional.softmax(self.dense(x).mean(1))


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paddle.seed(3)
    layer = Net()
    layer.eval()
    prefix = tmp_path_factory.mktemp("net") / "net"
    paddle.jit.save(layer, str(prefix), input_spec=[InputSpec((-1, 3, -1, -1), "float32", "x")])
    return prefix


def _save(layer: Any, prefix: Path, shape: tuple[int, ...]) -> Path:
    layer.eval()
    paddle.jit.save(layer, str(prefix), input_spec=[InputSpec(shape, "float32", "x")])
    return prefix


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_equals_paddle_at_several_shapes(
    precision: Any, net: Path, emulator: Emulator, tmp_path: Path
) -> None:
    result = compiler.compile(net, tmp_path / "a", target="cuda", precision=precision, verify=True)
    assert result.verification is not None
    assert len({tuple(check.shapes["x"]) for check in result.verification.checks}) > 1
    assert read_manifest(tmp_path / "a").precision == precision


def test_less_precision_makes_another_result(net: Path, emulator: Emulator, tmp_path: Path) -> None:
    """So the tolerance lets pass what it is meant for, and the tests above compare something."""
    x = np.random.default_rng(0).standard_normal((2, 3, 24, 32)).astype("float32")
    outputs = {}
    for precision in PRECISIONS:
        compiler.compile(net, tmp_path / precision, target="cuda", precision=precision)  # type: ignore[arg-type]
        outputs[precision] = _predict(tmp_path / precision, x)
    exact = outputs.pop("float32")
    for precision, output in outputs.items():
        error = np.abs(output - exact).max() / np.abs(exact).max()
        assert 1e-6 < error < TOLERANCES[precision], precision


def _predict(artifact: Path, *arrays: np.ndarray) -> np.ndarray:
    results = runtime.create_predictor(runtime.Config(str(artifact))).run(list(arrays))
    assert results is not None
    return np.asarray(results[0])


class _Fixed:
    """Gives every contraction one form."""

    def __init__(self, form: Any) -> None:
        self.form = form
        self.asked: list[Workload] = []

    def of(self, workload: Workload) -> Choice:
        self.asked.append(workload)
        return Choice(self.form)


@pytest.mark.parametrize("engine", ["fma", "tf32", "f16", "bf16"])
def test_every_form_of_a_product_gives_the_product(engine: Any, emulator: Emulator, rng: Any) -> None:
    import tvm
    from tvm import relax

    from paddle_tvm.compiler.lowering import build, lower

    dtype = "float16" if engine == "f16" else "float32"
    precision = {"fma": "float32", "tf32": "tf32", "f16": "float16", "bf16": "bfloat16"}[engine]
    rows, depth, columns = 70, 256, 40
    left = rng.standard_normal((rows, depth)).astype(dtype)
    right = rng.standard_normal((depth, columns)).astype(dtype)
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(left.shape, dtype))
    y = relax.Var("y", relax.TensorType(right.shape, dtype))
    with builder.function("main", [x, y]):
        with builder.dataflow():
            out = builder.emit_output(builder.emit(relax.op.nn.relu(builder.emit(relax.op.matmul(x, y)))))
        builder.emit_func_output(out)
    expected = np.maximum(left.astype("float64") @ right.astype("float64"), 0)
    workload = CudaProduct(1, rows, columns, depth, engine, "k8", "n8")
    forms = workload.candidates()
    assert {(form["rows"], form["columns"]) for form in forms} == {
        (tile.rows, tile.columns) for tile in tiles(engine)
    }
    assert {form["splits"] for form in forms} > {1, 2}
    assert workload.default() in forms
    # One of each tile, and of each division.
    seen: set[tuple[int, ...]] = set()
    for form in forms:
        key = (form["rows"], form["columns"], form["depth"])
        if key in seen and form["splits"] != 4:
            continue
        if form["splits"] == 4 and (4,) in seen:
            continue
        seen |= {key, (form["splits"],)}
        target = cuda_target(precision=precision).with_choices(_Fixed(form))
        machine = relax.VirtualMachine(build(lower(builder.get(), target), target), [tvm.cuda(), tvm.cpu()])
        result = machine["main"](*(tvm.runtime.tensor(array, tvm.cuda()) for array in (left, right))).numpy()
        tolerance = {"fma": 1e-5, "tf32": 2e-3, "f16": 2e-3, "bf16": 1e-2}[engine]
        assert np.abs(result - expected).max() <= tolerance * np.abs(expected).max(), form
        if form["rows"] == 16:
            # Few rows make threads read in parts of all sizes.
            assert toolkit.compile_ptx(emulator.sources[-1], "sm_80", toolkit.find_toolkit())


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    channels=st.sampled_from([1, 3, 8, 12]),
    outputs=st.sampled_from([1, 5, 16, 72]),
    kernel=st.sampled_from([1, 2, 3]),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    size=st.tuples(st.integers(5, 14), st.integers(5, 14)),
)
def test_convolutions_equal_paddle(
    emulator: Emulator,
    tmp_path_factory: pytest.TempPathFactory,
    channels: int,
    outputs: int,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    size: tuple[int, int],
) -> None:
    folder = tmp_path_factory.mktemp("conv")
    layer = nn.Conv2D(channels, outputs, kernel, stride, padding, dilation)
    model = _save(layer, folder / "conv", (-1, channels, *size))
    compiler.compile(model, folder / "a", target="cuda")
    x = np.random.default_rng(1).standard_normal((3, channels, *size)).astype("float32")
    expected = layer(paddle.to_tensor(x)).numpy()
    np.testing.assert_allclose(_predict(folder / "a", x), expected, atol=1e-5, rtol=1e-4)


def test_nan_and_infinity_are_those_of_paddle(emulator: Emulator, tmp_path: Path) -> None:
    class Odd(nn.Layer):  # type: ignore[misc]  # Paddle has no types
        def forward(self, x: Any) -> Any:
            return [
                nn.functional.relu(x),
                x.max(-1),
                nn.functional.relu6(x),
                x.exp(),
                x.sum(-1),
                x.clip(-1, 1),
            ]

    layer = Odd()
    model = _save(layer, tmp_path / "odd", (-1, 6))
    compiler.compile(model, tmp_path / "a", target="cuda")
    x = np.array([[1, np.nan, 3, -np.inf, np.inf, 0], [-1, 2, np.nan, 0.5, -7, 90]], "float32")
    results = runtime.create_predictor(runtime.Config(str(tmp_path / "a"))).run([x])
    compiler.compile(model, tmp_path / "cpu")
    on_cpu = runtime.create_predictor(runtime.Config(str(tmp_path / "cpu"))).run([x])
    for result, same in zip(results or [], on_cpu or [], strict=True):
        np.testing.assert_array_equal(np.isnan(result), np.isnan(same))
        np.testing.assert_allclose(result, same, rtol=1e-6)


def test_sizes_that_are_known_make_a_graph_of_kernels(net: Path, emulator: Emulator, tmp_path: Path) -> None:
    compiler.compile(net, tmp_path / "a", target="cuda", shapes=[{"x": (1, 3, 16, 16)}])
    predictor = runtime.create_predictor(runtime.Config(str(tmp_path / "a")))
    fixed, other = np.ones((1, 3, 16, 16), "float32"), np.ones((2, 3, 16, 16), "float32")
    predictor.run([fixed])
    graphs = emulator.graphs
    first = predictor.run([fixed])
    assert emulator.graphs > graphs
    graphs = emulator.graphs
    second = predictor.run([other])
    assert emulator.graphs == graphs
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(second[0][:1], first[0], rtol=1e-5)


def test_channels_stay_last_between_convolutions(net: Path, emulator: Emulator, tmp_path: Path) -> None:
    emulator.sources.clear()
    compiler.compile(net, tmp_path / "a", target="cuda", shapes={"x": (1, 3, 16, 16)})
    kernels = re.findall(r'^extern "C" __global__ .* (\w+)\(.*\) \{', emulator.sources[-1], re.M)
    # One for the input; the transposed convolution takes channels first, and then all goes on so.
    assert sum(name.startswith("transpose") for name in kernels) <= 3, kernels


@pytest.mark.parametrize(
    ("precision", "instruction"),
    [
        ("float16", "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"),
        ("bfloat16", "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"),
        ("tf32", "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"),
        ("float32", None),
    ],
)
@pytest.mark.parametrize("operator", ["convolution", "product"])
def test_ptx_has_tensor_core_instructions_where_it_may(
    operator: str, precision: Any, instruction: str | None, emulator: Emulator, tmp_path: Path
) -> None:
    layer = nn.Conv2D(16, 32, 3, padding=1) if operator == "convolution" else nn.Linear(64, 96)
    shape = (1, 16, 12, 12) if operator == "convolution" else (20, 64)
    model = _save(layer, tmp_path / "m", shape)
    emulator.sources.clear()
    compiler.compile(model, tmp_path / "a", target="cuda", precision=precision)
    for architecture in ("sm_80", "sm_90"):
        ptx = toolkit.compile_ptx(emulator.sources[-1], architecture, toolkit.find_toolkit())
        assert ptx.count(".visible .entry") >= 1
        assert set(re.findall(r"mma\.sync[\w.]*", ptx)) == ({instruction} if instruction else set())
        assert ("ldmatrix" in ptx) == (precision in ("float16", "bfloat16"))
        # What a thread keeps is in registers.
        assert "ld.local" not in ptx
        assert "st.local" not in ptx


def test_an_artifact_holds_code_for_every_architecture_and_ptx_for_newer_ones() -> None:
    source = 'extern "C" __global__ void k(float *x) { x[threadIdx.x] = pt_max(x[threadIdx.x], 0.0f); }'
    tools = toolkit.find_toolkit()
    image = compile_kernels(source, ("sm_80", "sm_90"), tools)
    assert _entries(image) == {("cubin", 80), ("cubin", 90), ("ptx", 90)}
    assert compile_kernels(source, ("sm_80", "sm_90"), tools) == image


def _entries(image: bytes) -> set[tuple[str, int]]:
    """Kind and architecture of what is in a fat binary."""
    magic, _, header, size = struct.unpack_from("<IHHQ", image)
    assert magic == 0xBA55ED50
    found, place = set(), header
    while place < header + size:
        kind, _, length, payload = struct.unpack_from("<HHIQ", image, place)
        (architecture,) = struct.unpack_from("<I", image, place + 28)
        found.add(({1: "ptx", 2: "cubin"}[kind], architecture))
        place += length + payload
    return found


def test_a_compiled_model_is_the_same_twice(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolkit, "compile_kernels", compile_kernels)
    for name in ("a", "b"):
        compiler.compile(net, tmp_path / name, target="cuda", architectures=["sm_90"])
    files = sorted(file.relative_to(tmp_path / "a") for file in (tmp_path / "a").rglob("*") if file.is_file())
    assert Path("lib/libtvm_runtime_cuda.so") in files
    assert Path("lib/libcudart.so.13") in files
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_options_that_do_not_go_together_are_refused(net: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ({"target": "cuda", "architectures": ["sm_70"]}, "--arch sm_70 is not known; known: sm_80"),
        ({"target": "cuda", "architectures": ["sm_80", "sm_80"]}, "--arch sm_80 is given twice"),
        ({"target": "cuda", "mcpu": "haswell"}, "--mcpu goes with x86"),
        ({"target": "x86", "architectures": ["sm_80"]}, "--arch goes with --target cuda"),
        ({"precision": "float16"}, "precision 'float16' goes with --target cuda"),
    ):
        with pytest.raises(UsageError, match=re.escape(message)):
            compiler.compile(net, tmp_path / "a", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "a").exists()


def test_a_missing_compiler_is_named_before_anything_is_done(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolkit, "_homes", lambda: iter([tmp_path]))
    with pytest.raises(UsageError, match=re.escape("pip install 'paddle-tvm[cuda]'")):
        compiler.compile(net, tmp_path / "a", target="cuda")
    assert not (tmp_path / "a").exists()


class Widened(nn.Layer):  # type: ignore[misc]  # Paddle has no types
    """What leaves the range of float16, or is no float at all, between convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2D(3, 16, 3, padding=1)
        self.norm = nn.GroupNorm(4, 16)
        self.up = nn.Conv2DTranspose(16, 16, 4, stride=2, padding=1, groups=16)
        self.dense = nn.Linear(16, 12)

    def forward(self, x: Any) -> Any:
        y = self.up(self.norm(self.first(x)))
        y = nn.functional.interpolate(y, scale_factor=2, mode="nearest").mean([2, 3])
        y = self.dense(y * 1000)
        y = y * paddle.rsqrt((y * y).mean(-1, keepdim=True) + 1e-6)
        counted = paddle.matmul((x[:, 0, :, 0] > 0).astype("int32") * 300, paddle.full((8, 3), 7, "int32"))
        return y, paddle.cumsum(y, -1), counted


def test_float16_leaves_what_it_cannot_hold(emulator: Emulator, tmp_path: Path) -> None:
    paddle.seed(9)
    model = _save(Widened(), tmp_path / "widened", (-1, 3, 8, 8))
    compiler.compile(model, tmp_path / "a", target="cuda", precision="float16", verify=True)
    assert toolkit.compile_ptx(emulator.sources[-1], "sm_80", toolkit.find_toolkit())


def test_products_without_rows_are_nothing(emulator: Emulator, tmp_path: Path) -> None:
    class Product(nn.Layer):  # type: ignore[misc]  # Paddle has no types
        def forward(self, x: Any) -> Any:
            kept = x[:, : x.shape[1] // 4]
            return paddle.matmul(kept, kept, transpose_y=True)

    layer = Product()
    layer.eval()
    paddle.jit.save(layer, str(tmp_path / "p"), input_spec=[InputSpec((-1, -1, 24), "float32", "x")])
    compiler.compile(tmp_path / "p", tmp_path / "a", target="cuda")
    assert _predict(tmp_path / "a", np.ones((3, 3, 24), "float32")).shape == (3, 0, 0)
    np.testing.assert_allclose(
        _predict(tmp_path / "a", np.ones((1, 9, 24), "float32")), np.full((1, 2, 2), 24.0)
    )


def test_a_report_made_without_a_gpu_says_so(net: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    command = [
        *(sys.executable, "-c", "from paddle_tvm.compiler.cli.main import main; main()", "compile", str(net)),
        *("-o", str(tmp_path / "a"), "--target", "cuda", "--arch", "sm_90", "--precision", "float16"),
        *("--shape", "x=1,3,16,16", "--report", str(page)),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = re.sub(r"<[^>]+>", " ", page.read_text())
    # Asked of the system: in this process the CPU may play a GPU, in the other one it does not.
    if os.path.exists("/dev/nvidiactl"):
        assert "this machine has" not in text
        return
    assert "this machine has no NVIDIA driver" in text
    assert "cuda sm_90" in text
    # Operators keep the names that lead back to the model in every precision.
    assert "in tiles by blocks of threads" in text
    assert "on one thread" not in text
