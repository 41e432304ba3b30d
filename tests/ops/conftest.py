"""Every operator test compares with Paddle's own result for the same saved program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import tvm
from paddle.static import InputSpec
from tvm import relax, runtime

from paddle_tvm.compiler.frontends.paddle.importer import import_program
from paddle_tvm.compiler.frontends.paddle.program import load_program
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.lowering import build, lower, optimise
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.x86 import x86_target

ATOL, RTOL = 1e-5, 1e-4


def save_model(model: Any, prefix: Path, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str]) -> None:
    """Save a layer or a function of tensors; the inputs are called x0, x1, ..."""
    names = [f"x{index}" for index in range(len(shapes))]
    if isinstance(model, paddle.nn.Layer):
        model.eval()
        specs = [InputSpec(*spec) for spec in zip(shapes, dtypes, names, strict=True)]
        paddle.jit.save(model, str(prefix), input_spec=specs)
        return
    paddle.enable_static()
    try:
        with paddle.static.program_guard(paddle.static.Program()):
            feeds = [paddle.static.data(*spec) for spec in zip(names, shapes, dtypes, strict=True)]
            fetches = model(*feeds)
            fetches = list(fetches) if isinstance(fetches, list | tuple) else [fetches]
            executor = paddle.static.Executor(paddle.CPUPlace())
            paddle.static.save_inference_model(str(prefix), feeds, fetches, executor)
    finally:
        paddle.disable_static()


def run_paddle(prefix: Path, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The saved program in Paddle's plain executor."""
    paddle.enable_static()
    try:
        scope = paddle.static.Scope()
        with paddle.static.scope_guard(scope):
            executor = paddle.static.Executor(paddle.CPUPlace())
            program, feeds, fetches = paddle.static.load_inference_model(str(prefix), executor)
            return list(executor.run(program, feed=dict(zip(feeds, inputs, strict=True)), fetch_list=fetches))
    finally:
        paddle.disable_static()


def assert_close(actual: np.ndarray, expected: np.ndarray, atol: float = ATOL, rtol: float = RTOL) -> None:
    """Same shape, dtype, pattern of NaN and Inf, and values."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    if np.issubdtype(expected.dtype, np.floating):
        np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected), err_msg="NaN pattern")
        np.testing.assert_array_equal(np.isposinf(actual), np.isposinf(expected), err_msg="+Inf pattern")
        np.testing.assert_array_equal(np.isneginf(actual), np.isneginf(expected), err_msg="-Inf pattern")
        np.testing.assert_allclose(actual, expected, atol=atol, rtol=rtol)
    else:
        np.testing.assert_array_equal(actual, expected)


CheckOp = Callable[..., None]


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """This machine's CPU; with ``--cuda``, a GPU that the CPU plays."""
    if not request.config.getoption("--cuda"):
        return x86_target()
    request.getfixturevalue("emulator")
    from paddle_tvm.targets.cuda import cuda_target

    return cuda_target()


@pytest.fixture
def check_op(tmp_path: Path, target: Target) -> CheckOp:
    """``check_op(function_or_layer, *inputs, dynamic=..., more=...)``.

    Saves the function with Paddle, compiles it, and compares both on ``inputs``: once with every
    dimension fixed, and once with the dimensions of ``dynamic`` unknown.

    Parameters
    ----------
    model
        A ``paddle.nn.Layer``, or a function of tensors.
    inputs
        NumPy arrays.
    dynamic
        ``None``: no dynamic form. ``"all"``: every dimension of every input. Otherwise one tuple of axes
        for each input. The default makes every dimension dynamic.
    more
        Further lists of inputs, of other shapes, to run the dynamic form with.
    """

    def check(
        model: Any,
        *inputs: np.ndarray,
        dynamic: Any = "all",
        more: Sequence[Sequence[np.ndarray]] = (),
    ) -> None:
        shapes = [tuple(array.shape) for array in inputs]
        _check(tmp_path / "static", model, shapes, inputs, (), target)
        if dynamic is None:
            return
        if dynamic == "all":
            dynamic = [tuple(range(array.ndim)) for array in inputs]
        if not any(dynamic):
            return
        shapes = [
            tuple(-1 if axis in axes else size for axis, size in enumerate(array.shape))
            for array, axes in zip(inputs, dynamic, strict=True)
        ]
        _check(tmp_path / "dynamic", model, shapes, inputs, more, target)

    return check


@pytest.fixture
def check_layer(tmp_path: Path, target: Target) -> CheckOp:
    """``check_layer(layer, shape, *inputs, atol=...)``: ``check_op`` against the layer as Python runs it."""

    def check(layer: Any, shape: tuple[int, ...], *inputs: np.ndarray, atol: float = ATOL) -> None:
        folder = tmp_path / "layer"
        save_model(layer, folder / "model", [shape], ["float32"])
        imported = import_program(load_program(find_model(folder)))
        executable = build(lower(optimise(imported.module), target), target)
        device = tvm.cuda() if target.devices else tvm.cpu()
        machine = relax.VirtualMachine(executable, [device, tvm.cpu()])
        for x in inputs:
            (result,) = machine["main"](runtime.tensor(x, device))
            assert_close(result.numpy(), layer(paddle.to_tensor(x)).numpy(), atol=atol)

    return check


def _check(
    folder: Path,
    model: Any,
    shapes: Sequence[tuple[int, ...]],
    inputs: Sequence[np.ndarray],
    more: Sequence[Sequence[np.ndarray]],
    target: Target,
) -> None:
    prefix = folder / "model"
    save_model(model, prefix, shapes, [str(array.dtype) for array in inputs])
    program = load_program(find_model(folder))
    imported = import_program(program)
    executable = build(lower(optimise(imported.module), target), target)
    device = tvm.cuda() if target.devices else tvm.cpu()
    machine = relax.VirtualMachine(executable, [device, tvm.cpu()])
    order = [int(port.name[1:]) for port in program.inputs]
    for arrays in [inputs, *more]:
        fed = [arrays[index] for index in order]
        expected = run_paddle(prefix, fed)
        results = machine["main"](*[runtime.tensor(array, device) for array in fed])
        actual = [result.numpy() for result in results]
        assert len(actual) == len(expected)
        for ours, theirs in zip(actual, expected, strict=True):
            assert_close(ours, theirs)
