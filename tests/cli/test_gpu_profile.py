"""``paddle-tvm profile`` of kernels on a GPU that the CPU plays: what is timed, not how long it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from cli_outcome import Run
from emulated_cuda import Emulator
from paddle import nn
from paddle.static import InputSpec
from saved_layers import save

from paddle_tvm import compiler, runtime
from paddle_tvm.compiler.profiling.gpu_clock import GpuClock
from paddle_tvm.compiler.profiling.gpu_peak import stated_peak
from paddle_tvm.compiler.profiling.profile import profile_artifact, read_table
from paddle_tvm.runtime.cuda import Device, Stream
from paddle_tvm.runtime.loader import load

FIXED = (2, 3, 8, 6)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paddle.seed(5)
    layer = nn.Sequential(nn.Conv2D(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2D(8, 4, 1), nn.Softmax())
    return save(
        layer, tmp_path_factory.mktemp("saved") / "net", InputSpec([None, 3, None, None], "float32", "x")
    )


@pytest.fixture(scope="module")
def artifact(saved: Path, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One form for every shape, and one for ``FIXED``, whose kernels are recorded."""
    path = tmp_path_factory.mktemp("cuda") / "net.pdtvm"
    compiler.compile(saved, path, target="cuda", shapes=[{"x": FIXED}])
    return path


@pytest.mark.parametrize("form", ["main", "main_1"])
def test_a_change_of_layout_is_named_as_that_and_not_as_the_operator_that_wants_it(
    artifact: Path, form: str
) -> None:
    table = read_table(artifact, load(artifact))
    calls = [call for call in table.forms[form].calls if not table.schedules[call.kernel].view]
    assert [str(calls[0].operators[0]), str(calls[0].inputs[0].dtype)] == ["NCHW to NHWC", "float32"]
    assert calls[0].flops == 0
    convolutions = [call for call in calls if any(one.name == "conv2d" for one in call.operators)]
    assert len(convolutions) == 2
    assert all(call.flops != 0 for call in convolutions)


@pytest.mark.parametrize(("shape", "form"), [(FIXED, "main_1"), ((1, 3, 5, 7), "main")])
def test_every_kernel_of_a_form_is_timed(run: Run, artifact: Path, shape: tuple[int, ...], form: str) -> None:
    asked = ",".join(map(str, shape))
    result = run("profile", artifact, "--shape", f"x={asked}", "--rounds", "2", "--json")
    assert result.code == 0, result.err
    content = json.loads(result.out)
    assert content["form"] == form
    assert content["devices"] == ["sm_80", "sm_90"]
    assert content["ran_on"] == "GPU 0 (Emulated sm_90)"
    table = read_table(artifact, load(artifact))
    called = [call.kernel for call in table.forms[form].calls if not table.schedules[call.kernel].view]
    assert {kernel["kernel"]: kernel["calls"] for kernel in content["kernels"]} == {
        name: called.count(name) for name in called
    }
    assert all(kernel["ms"] > 0 for kernel in content["kernels"])
    convolution = next(kernel for kernel in content["kernels"] if "conv2d" in kernel["kernel"])
    assert convolution["gflops"] == pytest.approx(convolution["flops"] / convolution["ms"] / 1e6)
    assert convolution["gbps"] > 0
    assert convolution["schedule"]["rule"] == "tiles"
    total = content["kernels_ms"] + content["outside_kernels_ms"]
    assert sum(kernel["share"] for kernel in content["kernels"]) == pytest.approx(
        content["kernels_ms"] / total
    )


def test_the_run_is_that_of_graphs_and_leaves_predictors_theirs(artifact: Path, emulator: Emulator) -> None:
    array = np.random.default_rng(0).standard_normal(FIXED).astype("float32")
    graphs = emulator.graphs
    timing = profile_artifact(artifact, {"x": array}, rounds=3).timing
    # Plain runs: two of the three that warm up, for the first records, and those that are timed.
    assert emulator.graphs == graphs + 2 + timing.rounds
    predictor = runtime.create_predictor(runtime.Config(str(artifact)))
    predictor.run([array])
    predictor.run([array])
    assert emulator.graphs == graphs + 3 + timing.rounds


def test_the_table_says_what_ran_and_what_the_peak_is(run: Run, artifact: Path) -> None:
    result = run("profile", artifact, "--rounds", "1", "--shape", f"x={','.join(map(str, FIXED))}")
    assert result.code == 0, result.err
    assert "on GPU 0 (Emulated sm_90), code for sm_80, sm_90" in result.out
    assert "its peak by its clocks, not measured" in result.out
    assert "waking the GPU" in result.out
    assert "kernels were started one by one" in result.out


def test_threads_are_refused(run: Run, artifact: Path) -> None:
    result = run("profile", artifact, "--threads", "2")
    assert result.code == 2
    assert "--threads goes with code for CPUs" in result.err


def test_a_machine_without_a_gpu_is_told_before_anything_else(artifact: Path) -> None:
    command = "from paddle_tvm.compiler.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "profile", str(artifact)],
        env={**os.environ, "LD_LIBRARY_PATH": ""},
        capture_output=True,
        text=True,
    )
    if os.path.exists("/dev/nvidiactl"):
        pytest.skip("this machine has a GPU")
    assert done.returncode == 5
    assert "is compiled for GPUs, and this machine has no NVIDIA driver" in done.stderr


def test_the_report_has_the_times(saved: Path, run: Run, emulator: Emulator, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    result = run(
        *("compile", saved, "-o", tmp_path / "a", "--target", "cuda", "--arch", "sm_90", "--report", page),
        *("--shape", "x=1,3,6,6"),
    )
    assert result.code == 0, result.err
    assert "GPU 0 (Emulated sm_90), median of" in page.read_text()


@pytest.fixture(scope="module")
def device(artifact: Path) -> Device:
    device = load(artifact).device
    assert device is not None
    return device


class _Stated:
    """A GPU of which its maker's numbers are known."""

    def __init__(self, capability: tuple[int, int], attributes: dict[int, int]) -> None:
        self.capability = capability
        self.number = 0
        self._attributes = attributes

    def attribute(self, number: int) -> int:
        return self._attributes[number]

    def describe(self) -> str:
        return "A GPU"


# Clock in kHz, multiprocessors, clock and width of the memory, as the driver tells them; then what NVIDIA's
# data sheets state: TFLOP/s of float32, TF32 and float16 without sparsity, and GB/s.
A100 = (8, 0), {13: 1410000, 16: 108, 36: 1215000, 37: 5120}, (19.5, 156, 312), 1555
H100 = (9, 0), {13: 1830000, 16: 132, 36: 2619000, 37: 5120}, (61.9, 494.7, 989.4), 3352
A40 = (8, 6), {13: 1740000, 16: 84, 36: 7251000, 37: 384}, (37.4, 74.8, 149.7), 696


@pytest.mark.parametrize(("capability", "attributes", "tflops", "gbps"), [A100, H100, A40])
def test_the_stated_peak_is_that_of_the_data_sheet(
    capability: tuple[int, int], attributes: dict[int, int], tflops: tuple[float, ...], gbps: float
) -> None:
    gpu: object = _Stated(capability, attributes)
    for precision, wanted in zip(("float32", "tf32", "float16"), tflops, strict=True):
        peak = stated_peak(gpu, precision)  # type: ignore[arg-type]
        assert peak.gflops == pytest.approx(1e3 * wanted, rel=0.01)
        assert peak.memory_gbps == pytest.approx(gbps, rel=0.01)


def test_the_peak_of_an_unknown_architecture_is_not_known() -> None:
    gpu: object = _Stated((13, 7), H100[1])
    assert stated_peak(gpu, "float32").gflops is None  # type: ignore[arg-type]


def test_the_gpu_is_busy_while_work_is_prepared(device: Device, emulator: Emulator) -> None:
    stream = Stream(device)
    clock = GpuClock(stream)
    memory = stream.new_place()
    kernel = emulator.copies
    seconds = clock.time(lambda: device.copy(memory.address, memory.address, 16, 3, stream.handle))
    assert emulator.copies == kernel + 1
    assert seconds > 0
