"""Forms of kernels on a GPU that the CPU plays: whatever they do, the run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import paddle
import pytest
from emulated_cuda import Emulator
from faulty_gpu_kernel import GpuDoubling, GpuDoublingKernel, faulty
from paddle import nn
from paddle.static import InputSpec

from paddle_tvm import compiler
from paddle_tvm.compiler.tuning.candidate import difference
from paddle_tvm.compiler.tuning.measure import Measurer
from paddle_tvm.compiler.tuning.messages import Gpu
from paddle_tvm.targets.cuda import cuda_target

DEFAULT = {"threads": 1}


@pytest.fixture(scope="module")
def artifact(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    layer = nn.Linear(4, 4)
    layer.eval()
    paddle.jit.save(layer, str(folder / "net"), input_spec=[InputSpec((1, 4), "float32", "x")])
    compiler.compile(folder / "net", folder / "net.pdtvm", target="cuda", architectures=["sm_90"])
    return folder / "net.pdtvm"


@pytest.fixture
def measurer(artifact: Path, gpu_machine: Emulator, tmp_path: Path) -> Iterator[Measurer]:
    gpu = Gpu(0, str(artifact), str(tmp_path))
    target = cuda_target(["sm_90"])
    with Measurer(target, 1, build_jobs=2, build_limit_s=15, run_limit_s=8, gpu=gpu) as made:
        yield made


FAULTS = [
    ("abort", "crash", "killed by SIGABRT: so it goes"),
    ("sleep", "timeout", "took longer than 15 s to build"),
    ("raise", "error", "ValueError: no such form"),
    ("wrong", "wrong", "against the default form"),
    ("unwritten", "wrong", "are not NaN or infinite as the default form's are"),
    ("loop in a run", "timeout", "took longer than 8 s to run"),
    ("crash in a run", "crash", "killed by SIGSEGV"),
]


def test_what_fails_is_recorded_and_what_follows_is_measured(measurer: Measurer) -> None:
    forms = [faulty(fault) for fault, *_ in FAULTS]
    # The default after each fault shows that the GPU is there again, with the right inputs.
    asked = [form for each in forms for form in (each, DEFAULT)]
    outcomes = list(measurer.measure(GpuDoublingKernel(), asked))
    assert len(outcomes) == 2 * len(FAULTS)
    for (fault, status, detail), failed, good in zip(FAULTS, outcomes[::2], outcomes[1::2], strict=True):
        assert failed.config == faulty(fault)
        assert failed.status == status, failed
        assert detail in failed.detail, failed
        assert not failed.seconds
        assert (good.config, good.status) == (DEFAULT, "ok"), (fault, good)
        assert good.seconds
        assert min(good.seconds) > 0


@pytest.fixture
def faults_as_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of a kernel ends the context, and not the process; requested before what starts processes."""
    monkeypatch.setenv("EMULATED_FAULTS", "1")


def test_a_context_that_is_lost_is_made_anew(faults_as_on_gpus: None, measurer: Measurer) -> None:
    lost, good = measurer.measure(GpuDoublingKernel(), [faulty("crash in a run"), DEFAULT])
    assert (lost.status, good.status) == ("crash", "ok")
    assert (
        "CUDA: running the model failed: an illegal memory access was encountered (error 700)" in lost.detail
    )


def test_a_form_that_ends_who_builds_it_is_found(measurer: Measurer) -> None:
    forms = [DEFAULT, faulty("end the server"), faulty("wrong")]
    outcomes = list(measurer.measure(GpuDoublingKernel(), forms))
    found = {str(outcome.config): outcome.status for outcome in outcomes}
    assert found == {
        str(DEFAULT): "ok",
        str(faulty("end the server")): "crash",
        str(faulty("wrong")): "wrong",
    }


def test_without_a_default_nothing_is_compared(measurer: Measurer) -> None:
    kernel = GpuDoublingKernel(GpuDoubling("raise"))
    outcomes = list(measurer.measure(kernel, [kernel.workload.default(), faulty("wrong")]))
    assert [outcome.status for outcome in outcomes] == ["error", "unchecked"]
    assert "no such form" in outcomes[0].detail
    assert "the default form, to compare with, failed (error)" in outcomes[1].detail


def test_comparing_goes_on_without_what_fails(measurer: Measurer) -> None:
    forms = [DEFAULT, faulty("crash in a run"), faulty("none")]
    timed = measurer.compare(GpuDoublingKernel(), forms, (1,), 3)
    assert [outcome.config for outcome in timed[1]] == forms
    assert [outcome.status for outcome in timed[1]] == ["ok", "crash", "ok"]
    assert [len(outcome.seconds) for outcome in timed[1]] == [3, 0, 3]


def test_half_precision_may_round_to_the_next_number() -> None:
    wanted = np.array([1000.0, -3.0, 0.5], "float16")
    assert difference(np.nextafter(wanted, np.float16(np.inf)), wanted) is None
    other = wanted * np.float16(1.01)
    assert "against the default form" in str(difference(other, wanted))
    # Their difference is beyond what 16 bits hold.
    assert difference(np.array([60000], "float16"), np.array([-60000], "float16")) is not None
    single = wanted.astype("float32")
    assert difference(np.nextafter(wanted, np.float16(np.inf)).astype("float32"), single) is not None
