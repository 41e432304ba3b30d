"""Interpolation and other functions within channels in the blocked layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
import tvm
from blocked import block, unblock
from tvm import relax, te, tirx

from paddle_tvm.compiler.frontends.importing import import_forms
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.lowering import build, lower
from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.targets.x86 import x86_target
from paddle_tvm.targets.x86.resize import legalize_resize

LANES = {"haswell": 8, None: 16}
CPUS = list(LANES)

FORMS = {
    "nearest-x2": {"scale_factor": 2, "mode": "nearest"},
    "nearest-to-size": {"size": [11, 9], "mode": "nearest"},
    "bilinear-x2": {"scale_factor": 2, "mode": "bilinear"},
    "bilinear-aligned": {"scale_factor": 1.5, "mode": "bilinear", "align_corners": True},
    "bilinear-to-size": {"size": [13, 40], "mode": "bilinear", "align_mode": 1},
    "bicubic": {"size": [20, 17], "mode": "bicubic"},
}


def saved(folder: Path, forward: Callable[..., paddle.Tensor], shape: list[int | None]) -> str:
    """A Paddle model of one function on disk."""

    class Model(paddle.nn.Layer):
        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            return forward(x)

    prefix = str(folder / "model")
    paddle.jit.save(Model(), prefix, input_spec=[paddle.static.InputSpec(shape, "float32", "x")])
    return prefix


def only_kernel(module: tvm.IRModule) -> relax.Call:
    calls = [
        binding.value
        for blocks in module["main"].body.blocks
        for binding in blocks.bindings
        if isinstance(binding.value, relax.Call) and binding.value.op.name == "relax.call_tir"
    ]
    assert len(calls) == 1
    return calls[0]


def run_blocked(module: tvm.IRModule, x: np.ndarray, mcpu: str | None) -> np.ndarray:
    """The kernel of a module, on blocked data, and a ReLU after it."""
    call = only_kernel(module)
    lanes, channels = LANES[mcpu], x.shape[1]
    batch, _, rows, columns = call.args[1].fields[0].ty.shape
    data = block(x, lanes)
    variable = relax.Var("x", relax.TensorType([batch, data.shape[1], rows, columns, lanes], "float32"))
    builder = relax.BlockBuilder(module)
    with builder.function("blocked", [variable]):
        with builder.dataflow():
            resized = legalize_resize(builder, call, variable)
            assert resized is not None
            result = builder.emit_output(relax.Tuple([builder.emit(relax.op.nn.relu(builder.emit(resized)))]))
        builder.emit_func_output(result)
    functions = {name: body for name, body in builder.get().functions.items() if name.name_hint != "main"}
    target = x86_target(mcpu)
    scheduled = lower(tvm.IRModule(functions), target)
    kernels = [body for body in scheduled.functions.values() if isinstance(body, tirx.PrimFunc)]
    # The ReLU is part of the one kernel.
    assert sum("T.vectorized" in kernel.script() for kernel in kernels) == len(kernels) == 1
    machine = relax.VirtualMachine(build(scheduled, target), tvm.cpu())
    return unblock(machine["blocked"](tvm.runtime.tensor(data))[0].numpy(), channels)


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("form", FORMS)
def test_interpolation(tmp_path, rng, form, dynamic, mcpu):
    x = rng.standard_normal((2, 24, 10, 12)).astype("float32")
    prefix = saved(
        tmp_path,
        lambda data: F.interpolate(data, **FORMS[form]),
        [None, 24, None, None] if dynamic else list(x.shape),
    )
    expected = F.relu(F.interpolate(paddle.to_tensor(x), **FORMS[form])).numpy()
    module = import_forms(find_model(prefix), CompileOptions())["main"].module
    actual = run_blocked(module, x, mcpu)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("shape", [[1, 24, 10, 12], [1, 24, None, None], [None, 24, 1, None]])
def test_functions_of_elements_of_one_image_and_one_row(tmp_path, rng, shape, mcpu):
    prefix = saved(tmp_path, F.softplus, list(shape))
    module = import_forms(find_model(prefix), CompileOptions())["main"].module
    x = rng.standard_normal([size or 7 for size in shape]).astype("float32")
    expected = F.relu(F.softplus(paddle.to_tensor(x))).numpy()
    np.testing.assert_allclose(run_blocked(module, x, mcpu), expected, rtol=1e-5, atol=1e-5)


def emitted(compute: Callable[..., te.Tensor], *shapes: list[int]) -> tuple[relax.BlockBuilder, relax.Call]:
    builder = relax.BlockBuilder()
    variables = [
        relax.Var(f"x{number}", relax.TensorType(shape, "float32")) for number, shape in enumerate(shapes)
    ]
    with builder.function("main", variables):
        call = builder.normalize(builder.call_te(compute, *variables))
        builder.emit_func_output(builder.emit(call))
    return builder, call


ROWS = np.arange(10)


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        (lambda x, n, c, y, k: x[n, c, 9 - y, k], lambda x: x[:, :, 9 - ROWS]),
        (
            lambda x, n, c, y, k: tirx.if_then_else(y > 2, x[n, c, y - 2, k], 0.0),
            lambda x: np.where((ROWS > 2)[:, None], x[:, :, ROWS - 2], 0),
        ),
    ],
    ids=["flip", "shift"],
)
def test_what_treats_channels_alike_has_a_blocked_form(rng, compute, expected):
    x = rng.standard_normal((1, 20, 10, 12)).astype("float32")
    builder, _ = emitted(lambda data: te.compute(data.shape, lambda *i: compute(data, *i)), list(x.shape))
    np.testing.assert_array_equal(run_blocked(builder.get(), x, None), np.maximum(expected(x), 0))


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: te.compute(x.shape, lambda n, c, y, k: x[n, 23 - c, y, k]),
        lambda x: te.compute(x.shape, lambda n, c, y, k: x[n, c, (y + c) % 10, k]),
        lambda x: te.compute(x.shape, lambda n, c, y, k: x[n, c, y, k] * c.astype("float32")),
        lambda x: te.compute(x.shape, lambda n, c, y, k: x[0, c, y, k]),
    ],
    ids=["other-channel", "rows-by-channel", "value-by-channel", "one-batch"],
)
def test_what_does_not_is_left_alone(compute):
    shape = [2, 24, 10, 12]
    builder, call = emitted(compute, shape)
    blocked = relax.Var("b", relax.TensorType([2, 2, 10, 12, 16], "float32"))
    assert legalize_resize(builder, call, blocked) is None
