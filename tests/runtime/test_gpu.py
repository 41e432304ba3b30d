"""Predictors on GPUs: memory, streams, graphs, and what is said where there is no GPU."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import paddle
import pytest
from emulated_cuda import Emulator, build_driver
from paddle import nn
from paddle.static import InputSpec

from paddle_tvm import compiler, runtime
from paddle_tvm.runtime.cuda import runs_on
from paddle_tvm.runtime.errors import ArtifactError, UsageError
from paddle_tvm.runtime.turns import Turns

FIXED = (2, 3, 8, 8)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    paddle.seed(5)
    layer = nn.Sequential(nn.Conv2D(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2D(8, 4, 1))
    layer.eval()
    prefix = tmp_path_factory.mktemp("saved") / "net"
    paddle.jit.save(layer, str(prefix), input_spec=[InputSpec((-1, 3, -1, -1), "float32", "x")])
    return prefix


@pytest.fixture(scope="module")
def artifact(saved: Path, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One form for every shape, and one for ``FIXED``."""
    path = tmp_path_factory.mktemp("cuda") / "net.pdtvm"
    compiler.compile(saved, path, target="cuda", shapes=[{"x": FIXED}])
    return path


@pytest.fixture(scope="module")
def on_cpu(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cpu") / "net.pdtvm"
    compiler.compile(saved, path)
    return path


def _inputs(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def _create(artifact: Path, **options: Any) -> runtime.Predictor:
    config = runtime.Config(str(artifact))
    config.enable_use_gpu(100, 0, **options)
    return runtime.create_predictor(config)


def _run(predictor: runtime.Predictor, array: np.ndarray) -> np.ndarray:
    results = predictor.run([array])
    assert results is not None
    return np.asarray(results[0])


@pytest.fixture(scope="module")
def expected(on_cpu: Path) -> Any:
    predictor = runtime.create_predictor(runtime.Config(str(on_cpu)))
    return lambda array: _run(predictor, array)


def test_handles_work_as_in_paddle_inference(artifact: Path, expected: Any) -> None:
    predictor = _create(artifact)
    handle = predictor.get_input_handle("x")
    for shape in (FIXED, (1, 3, 5, 6), FIXED):
        for seed in range(2):
            array = _inputs(shape, seed)
            handle.reshape(list(shape))
            handle.copy_from_cpu(array)
            predictor.run()
            output = predictor.get_output_handle(predictor.get_output_names()[0])
            np.testing.assert_allclose(output.copy_to_cpu(), expected(array), atol=1e-5, rtol=1e-4)


def test_an_input_may_be_given_again_before_the_first_was_used(artifact: Path, expected: Any) -> None:
    predictor = _create(artifact)
    handle = predictor.get_input_handle("x")
    first, second = _inputs(FIXED, 1), _inputs(FIXED, 2)
    handle.copy_from_cpu(first)
    handle.copy_from_cpu(second)
    predictor.run()
    output = predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu()
    np.testing.assert_allclose(output, expected(second), atol=1e-5, rtol=1e-4)


def test_a_reshaped_input_keeps_its_data(artifact: Path, expected: Any) -> None:
    predictor = _create(artifact)
    handle = predictor.get_input_handle("x")
    array = _inputs(FIXED)
    handle.copy_from_cpu(array)
    handle.reshape([1, 3, 8, 16])
    predictor.run()
    output = predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu()
    np.testing.assert_allclose(output, expected(array.reshape(1, 3, 8, 16)), atol=1e-5, rtol=1e-4)


def test_predictors_share_weights_and_give_their_memory_back(artifact: Path, emulator: Emulator) -> None:
    def in_use() -> int:
        gc.collect()
        # What is let go of is freed before the next work.
        keeper.try_shrink_memory()
        _run(keeper, _inputs((1, 3, 4, 4)))
        return emulator.bytes_in_use

    keeper = _create(artifact)
    _run(keeper, _inputs((1, 3, 4, 4)))
    base = in_use()
    for _ in range(3):
        others = [_create(artifact), keeper.clone()]
        for other in others:
            for _ in range(3):
                _run(other, _inputs(FIXED))
        most = emulator.bytes_in_use
        del others, other
    assert most > base
    assert in_use() <= base + (64 << 10)


def test_a_second_run_of_a_fixed_form_is_one_graph(artifact: Path, emulator: Emulator, expected: Any) -> None:
    predictor = _create(artifact)
    _run(predictor, _inputs(FIXED))
    graphs = emulator.graphs
    for seed in range(3):
        array = _inputs(FIXED, seed)
        np.testing.assert_allclose(_run(predictor, array), expected(array), atol=1e-5, rtol=1e-4)
    assert emulator.graphs == graphs + 3


def test_predictors_in_threads_do_not_disturb_each_other(artifact: Path, expected: Any) -> None:
    pool = runtime.PredictorPool(runtime.Config(str(artifact)), 4)
    shapes = [FIXED, (1, 3, 6, 7), FIXED, (3, 3, 4, 4)]
    arrays = [_inputs(shape, seed) for seed, shape in enumerate(shapes)]
    wanted = [expected(array) for array in arrays]
    start = threading.Barrier(4)

    def work(number: int) -> None:
        predictor = pool.retrive(number)
        start.wait()
        for turn in range(12):
            which = (number + turn) % 4
            np.testing.assert_allclose(_run(predictor, arrays[which]), wanted[which], atol=1e-5, rtol=1e-4)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work, number) for number in range(4)]:
            done.result()


def test_memory_of_the_gpu_can_be_shared_as_input(artifact: Path, expected: Any) -> None:
    import tvm

    predictor = _create(artifact)
    array = _inputs(FIXED)
    shared = tvm.runtime.tensor(array, tvm.cuda())
    handle = predictor.get_input_handle("x")
    handle.share_external_data(shared)
    predictor.run()
    output = predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu()
    np.testing.assert_allclose(output, expected(array), atol=1e-5, rtol=1e-4)
    with pytest.raises(UsageError, match="expected float32 on GPU 0, got float32 on the CPU"):
        handle.share_external_data(runtime.aligned_empty(FIXED, "float32"))


def test_the_wrong_device_or_precision_is_refused(artifact: Path, on_cpu: Path) -> None:
    with pytest.raises(UsageError, match="is compiled for x86: compile the model for GPUs"):
        _create(on_cpu)
    config = runtime.Config(str(artifact))
    config.disable_gpu()
    with pytest.raises(UsageError, match="is compiled for GPUs: compile the model for the CPU"):
        runtime.create_predictor(config)
    with pytest.raises(UsageError, match="computes in float32: compile the model with --precision float16"):
        _create(artifact, precision_mode=runtime.PrecisionType.Half)
    config = runtime.Config(str(artifact))
    config.enable_use_gpu(100, 7)
    with pytest.raises(UsageError, match="there is no GPU 7: this machine has 1"):
        runtime.create_predictor(config)
    with pytest.raises(UsageError, match="expected a device_id from 0"):
        config.enable_use_gpu(100, -1)


def test_config_answers_what_was_asked_for() -> None:
    config = runtime.Config("x.pdtvm")
    assert not config.use_gpu()
    config.enable_use_gpu(200, 1)
    copy = runtime.Config(config)
    assert copy.use_gpu()
    assert copy.gpu_device_id() == 1
    assert copy.memory_pool_init_size_mb() == 200
    assert "| use_gpu                | true" in copy.summary()


@pytest.mark.parametrize(
    ("architectures", "capability", "runs"),
    [
        (("sm_80",), (8, 0), True),
        (("sm_80",), (8, 6), True),
        (("sm_80",), (9, 0), True),
        (("sm_80",), (7, 5), False),
        (("sm_86",), (8, 0), False),
        (("sm_90",), (8, 9), False),
        (("sm_80", "sm_90"), (8, 9), True),
        (("sm_80", "sm_90"), (12, 0), True),
        (("sm_80", "sm_100"), (9, 0), False),
    ],
)
def test_code_runs_on_its_family_and_newer(
    architectures: tuple[str, ...], capability: tuple[int, int], runs: bool
) -> None:
    assert runs_on(architectures, capability) == runs


SERVE = """
import sys
import numpy as np
from paddle_tvm import runtime
predictor = runtime.create_predictor(runtime.Config(sys.argv[1]))
for _ in range(3):
    (result,) = predictor.run([np.ones((2, 3, 8, 8), "float32")])
assert not {"tvm", "paddle", "tvm_ffi"} & set(sys.modules), sorted(sys.modules)
print(float(result.sum()))
"""


def _serve(artifact: Path, driver: Path | None, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    if driver is not None:
        environment["LD_LIBRARY_PATH"] = str(driver)
    command = [sys.executable, "-c", SERVE, str(artifact)]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("driver")
    build_driver(folder)
    return folder


def test_it_is_served_without_compiler_and_framework(artifact: Path, driver: Path, expected: Any) -> None:
    served = _serve(artifact, driver)
    assert served.returncode == 0, served.stderr
    assert float(served.stdout) == pytest.approx(float(expected(np.ones(FIXED, "float32")).sum()), rel=1e-4)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"EMULATED_DEVICES": "0"}, "this machine has no GPU that it can use"),
        ({"EMULATED_CAPABILITY": "75"}, "is compiled for sm_80, sm_90 and newer, and GPU 0 is sm_75"),
    ],
)
def test_a_machine_that_cannot_run_it_is_told(
    artifact: Path, driver: Path, variables: dict[str, str], message: str
) -> None:
    served = _serve(artifact, driver, **variables)
    assert served.returncode == 1
    assert "ArtifactError" in served.stderr
    assert message in served.stderr


def test_a_missing_driver_is_named(artifact: Path) -> None:
    if os.path.exists("/dev/nvidiactl"):
        pytest.skip("this machine has a driver")
    served = _serve(artifact, None)
    assert served.returncode == 1
    assert "this machine has no NVIDIA driver" in served.stderr


def test_a_forked_child_is_told_to_start_anew(artifact: Path) -> None:
    predictor = _create(artifact)
    _run(predictor, _inputs(FIXED))
    child = os.fork()
    if child == 0:
        try:
            predictor.run([_inputs(FIXED)])
        except runtime.PaddleTvmError as error:
            os._exit(0 if "CUDA does not go on in a child" in str(error) else 2)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_an_artifact_without_its_library_is_refused(artifact: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(artifact, tmp_path / "broken.pdtvm"))
    (broken / "lib" / "libtvm_runtime_cuda.so").unlink()
    with pytest.raises(ArtifactError, match="libtvm_runtime_cuda"):
        runtime.create_predictor(runtime.Config(str(broken)))


def test_memory_of_many_shapes_stays_within_the_limit(artifact: Path, emulator: Emulator) -> None:
    config = runtime.Config(str(artifact))
    config.set_cached_memory_limit_mb(4)
    predictor = runtime.create_predictor(config)
    _run(predictor, _inputs((1, 3, 8, 8)))
    base = emulator.bytes_in_use
    for size in range(64, 160, 8):
        _run(predictor, _inputs((1, 3, size, size)))
    # The limit, and what the latest shape itself takes.
    assert emulator.bytes_in_use - base < (4 << 20) + (4 << 20)
    assert predictor.try_shrink_memory() >= 0


IMPORT = """
import sys
import numpy as np
from paddle_tvm import runtime
predictor = runtime.create_predictor(runtime.Config(sys.argv[1]))
first = predictor.run([np.ones((2, 3, 8, 8), "float32")])[0]
import tvm
assert tvm.cuda().exist
np.testing.assert_array_equal(predictor.run([np.ones((2, 3, 8, 8), "float32")])[0], first)
"""


def test_tvm_can_be_imported_afterwards(artifact: Path, driver: Path) -> None:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(driver)}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, str(artifact)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_who_gives_up_waiting_lets_others_go_on() -> None:
    turns = Turns()
    entered = threading.Event()

    def wait_alone(*_: object) -> None:
        raise KeyboardInterrupt

    with turns.together():
        interrupted = patch.object(turns._changed, "wait_for", wait_alone)
        with interrupted, pytest.raises(KeyboardInterrupt), turns.alone():
            pass

        def newcomer() -> None:
            with turns.together():
                entered.set()

        thread = threading.Thread(target=newcomer)
        thread.start()
        assert entered.wait(10)
        thread.join()


def test_alone_is_alone() -> None:
    turns = Turns()
    inside, most = [], []

    def work(number: int) -> None:
        for _ in range(50):
            with turns.alone() if number % 2 else turns.together():
                inside.append(number)
                if number % 2:
                    most.append(len(inside))
                inside.remove(number)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))
    assert set(most) == {1}
