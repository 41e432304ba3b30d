"""A form of a kernel in the memory of a GPU that the CPU plays: what it computes, and what it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from emulated_cuda import Emulator
from paddle import nn
from paddle.static import InputSpec

from paddle_tvm import compiler
from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.compiler.profiling.gpu_clock import GpuClock
from paddle_tvm.compiler.tuning.gpu_candidate import GpuCandidate
from paddle_tvm.compiler.tuning.gpu_program import GpuTunableKernel, Program, build_program
from paddle_tvm.compiler.tuning.tasks import kernels_of_model
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.cuda import Device, Stream
from paddle_tvm.runtime.loader import load
from paddle_tvm.targets.cuda import cuda_target

OPTIONS = CompileOptions(target="cuda")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product of rows as many as there are, and one of four."""

    class Net(nn.Layer):  # type: ignore[misc]  # Paddle has no types
        def __init__(self) -> None:
            super().__init__()
            self.any = nn.Linear(32, 8)
            self.four = nn.Linear(64, 16)

        def forward(self, x: Any, y: Any) -> Any:
            return nn.functional.relu(self.any(x)), self.four(y)

    layer = Net()
    layer.eval()
    prefix = tmp_path_factory.mktemp("products") / "net"
    specs = [InputSpec([None, 32], "float32", "x"), InputSpec([4, 64], "float32", "y")]
    paddle.jit.save(layer, str(prefix), input_spec=specs)
    return prefix


@pytest.fixture(scope="module")
def artifact(model: Path, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "net.pdtvm"
    compiler.compile(model, path, target="cuda")
    return path


@pytest.fixture(scope="module")
def device(artifact: Path) -> Device:
    device = load(artifact).device
    assert device is not None
    return device


def _kernel(model: Path, artifact: Path, depth: int, precision: str, rows: int) -> GpuTunableKernel:
    symbols = {name: rows for name in read_manifest(artifact).symbols}
    found = kernels_of_model(model, OPTIONS, cuda_target(["sm_90"], precision), symbols)
    (kernel,) = (each for each in found.values() if getattr(each.workload, "depth", 0) == depth)
    assert isinstance(kernel, GpuTunableKernel)
    return kernel


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize(("depth", "rows", "splits"), [(32, 5, 1), (32, 70, 1), (64, 4, 1), (64, 4, 2)])
def test_it_computes_what_numpy_does(
    device: Device,
    model: Path,
    artifact: Path,
    tmp_path: Path,
    precision: str,
    depth: int,
    rows: int,
    splits: int,
) -> None:
    kernel = _kernel(model, artifact, depth, precision, rows)
    config = next(form for form in kernel.workload.candidates() if form["splits"] == splits)
    target = cuda_target(["sm_90"], precision)
    program = build_program(kernel, config, target, tmp_path / "form.so")
    # It goes from one process to another.
    program = Program.from_json(program.to_json())
    inputs = kernel.inputs(config, 7)
    stream = Stream(device)
    candidate = GpuCandidate(
        stream, GpuClock(stream), str(tmp_path / "form.so"), program, inputs, kernel.weights, 1 << 16
    )
    x, weight, bias = (array.astype("float64") for array in inputs)
    expected = x @ weight + bias
    if depth == 32:
        expected = np.maximum(expected, 0)
    assert expected.shape == (rows, 8 if depth == 32 else 16)
    tolerance = 1e-6 if precision == "float32" else 2e-3
    # The second call has other copies of the weights.
    for _ in range(2):
        output = candidate.output(1)
        assert np.abs(output - expected).max() <= tolerance * np.abs(expected).max()
    assert candidate.round(1) > 0


def test_sizes_may_be_no_dimension_of_a_tensor(device: Device, tmp_path: Path) -> None:
    layer = nn.Sequential(nn.Conv2D(4, 8, 3, 2, 1), nn.ReLU(), nn.Conv2D(8, 16, 3, padding=1))
    prefix = tmp_path / "strides"
    paddle.jit.save(layer, str(prefix), input_spec=[InputSpec([1, 4, None, None], "float32", "x")])
    target = cuda_target(["sm_90"])
    kernels = kernels_of_model(prefix, OPTIONS, target, {"x_2": 13, "x_3": 10})
    assert {kernel.output()[0] for kernel in kernels.values()} == {(1, 7, 5, 8), (1, 7, 5, 16)}
    stream = Stream(device)
    for kernel in kernels.values():
        assert isinstance(kernel, GpuTunableKernel)
        outputs = []
        forms = kernel.workload.candidates()
        for number, config in enumerate((forms[0], forms[-1])):
            library = tmp_path / f"{kernel.name}{number}.so"
            program = build_program(kernel, config, target, library)
            inputs = kernel.inputs(config, 0)
            candidate = GpuCandidate(
                stream, GpuClock(stream), str(library), program, inputs, kernel.weights, 0
            )
            outputs.append(candidate.output(1).copy())
        one, two = outputs
        assert np.isfinite(one).all()
        assert one.std() > 0
        assert np.abs(one - two).max() <= 1e-5 * np.abs(one).max()


def test_calls_have_copies_of_weights_in_turns(
    device: Device, model: Path, artifact: Path, emulator: Emulator, tmp_path: Path
) -> None:
    kernel = _kernel(model, artifact, 64, "float32", 4)
    config = kernel.workload.default()
    program = build_program(kernel, config, cuda_target(["sm_90"]), tmp_path / "form.so")
    inputs = kernel.inputs(config, 0)
    stream = Stream(device)
    clock = GpuClock(stream)
    copied = []
    for model_bytes in (0, 8 * inputs[1].nbytes):
        before = emulator.copies
        GpuCandidate(stream, clock, str(tmp_path / "form.so"), program, inputs, kernel.weights, model_bytes)
        copied.append(emulator.copies - before)
    # Eight of the weight itself; the bias is one too, of which there are at most 256.
    bias = min(256, 8 * inputs[1].nbytes // inputs[2].nbytes)
    assert copied == [3, 1 + 8 + bias]
