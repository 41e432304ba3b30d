"""Pooling and reductions over space in the blocked layout against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from blocked import block, unblock
from kernel_build import lower_graph, run_graph
from tvm import relax, tirx

from paddle_tvm.targets.x86.pooling import legalize_pool

LANES = {"haswell": 8, None: 16}
CPUS = list(LANES)

# shape; kernel, stride, padding, round up
WINDOWS = [
    pytest.param((1, 64, 112, 112), 3, 2, 1, False, id="3x3-stride-2"),
    pytest.param((1, 24, 57, 55), 3, 2, 0, False, id="no-padding"),
    pytest.param((1, 24, 57, 55), 3, 2, 0, True, id="round-up"),
    pytest.param((2, 20, 14, 15), 3, 2, 1, True, id="round-up-padded"),
    pytest.param((1, 40, 40, 80), 2, 2, 0, False, id="2x2"),
    pytest.param((1, 40, 35, 35), 3, 1, 1, False, id="stride-1"),
    pytest.param((1, 16, 10, 70), 5, 1, 2, False, id="5x5"),
    pytest.param((1, 16, 3, 2), 3, 2, 1, False, id="window-larger-than-input"),
]


def run_pool(x: np.ndarray, make, dynamic: tuple[int, ...], mcpu: str | None) -> np.ndarray:
    """A Relax pooling of an NCHW tensor in the blocked layout, and a ReLU after it."""
    data = block(x, LANES[mcpu])
    sizes = [f"d{axis}" if axis in dynamic else size for axis, size in enumerate(data.shape)]

    def graph(builder: relax.BlockBuilder, blocked: relax.Var) -> relax.Expr:
        batch, _, rows, columns, _ = blocked.ty.shape
        logical = relax.Var("logical", relax.TensorType([batch, x.shape[1], rows, columns], "float32"))
        pooled = legalize_pool(builder, builder.normalize(make(logical)), blocked)
        assert pooled is not None
        return relax.op.nn.relu(builder.emit(pooled))

    return unblock(run_graph([sizes], graph, data, mcpu=mcpu), x.shape[1])


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("dynamic", [(), (0, 2, 3)], ids=["static", "dynamic"])
@pytest.mark.parametrize("kind", ["max", "avg", "avg-counting-padding"])
@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "ceil"), WINDOWS)
def test_windows(rng, shape, kernel, stride, padding, ceil, kind, dynamic, mcpu):
    if kind == "avg-counting-padding" and ceil:
        # Paddle cuts such windows at the padded input, which Relax cannot say.
        ceil = False
    x = rng.standard_normal(shape).astype("float32")
    tensor = paddle.to_tensor(x)
    options = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil}
    if kind == "max":
        expected = F.max_pool2d(tensor, **options)
    else:
        expected = F.avg_pool2d(tensor, exclusive=kind == "avg", **options)

    def make(data: relax.Expr) -> relax.Expr:
        common = {"strides": [stride] * 2, "padding": [padding] * 4, "ceil_mode": ceil}
        if kind == "max":
            return relax.op.nn.max_pool2d(data, [kernel] * 2, **common)
        return relax.op.nn.avg_pool2d(data, [kernel] * 2, count_include_pad=kind != "avg", **common)

    actual = run_pool(x, make, dynamic, mcpu)
    expected = F.relu(expected).numpy()
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("output", [1, 7, (3, 5), (1, 2)])
@pytest.mark.parametrize("shape", [(1, 24, 14, 14), (2, 97, 7, 21)])
def test_adaptive_average(rng, shape, output, mcpu):
    x = rng.standard_normal(shape).astype("float32")
    expected = F.relu(F.adaptive_avg_pool2d(paddle.to_tensor(x), output)).numpy()
    size = list(output) if isinstance(output, tuple) else [output] * 2
    actual = run_pool(x, lambda data: relax.op.nn.adaptive_avg_pool2d(data, size), (), mcpu)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_adaptive_average_of_symbolic_size_is_left_alone_unless_global():
    builder = relax.BlockBuilder()
    logical = relax.Var("x", relax.TensorType([1, 16, *_symbols("h", "w")], "float32"))
    blocked = relax.Var("b", relax.TensorType([1, 1, *_symbols("h", "w"), 16], "float32"))
    with builder.function("main", [logical, blocked]):
        call = builder.normalize(relax.op.nn.adaptive_avg_pool2d(logical, [7, 7]))
        assert legalize_pool(builder, call, blocked) is None
        builder.emit_func_output(logical)


def _symbols(*names: str) -> list[object]:
    return [tirx.Var(name, "int64") for name in names]


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("dynamic", [(), (0, 2, 3)], ids=["static", "dynamic"])
@pytest.mark.parametrize(
    "shape", [(1, 64, 7, 7), (2, 24, 14, 13), (1, 16, 1, 1), (1, 40, 56, 57), (1, 16, 300, 3)]
)
def test_global_average(rng, shape, dynamic, mcpu):
    x = rng.standard_normal(shape).astype("float32")
    expected = F.relu(F.adaptive_avg_pool2d(paddle.to_tensor(x), 1)).numpy()
    actual = run_pool(x, lambda data: relax.op.nn.adaptive_avg_pool2d(data, [1, 1]), dynamic, mcpu)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dynamic", [(), (0, 2, 3)], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", ["mean", "sum", "max", "min"])
@pytest.mark.parametrize("keep", [True, False])
def test_reductions_over_space(rng, name, dynamic, keep):
    x = rng.standard_normal((2, 24, 9, 13)).astype("float32")
    expected = getattr(np, name)(x * x, axis=(2, 3), keepdims=True)
    data = block(x, 16)
    sizes = [f"d{axis}" if axis in dynamic else size for axis, size in enumerate(data.shape)]

    def graph(builder: relax.BlockBuilder, blocked: relax.Var) -> relax.Expr:
        squared = builder.emit(relax.op.multiply(blocked, blocked))
        return getattr(relax.op, name)(squared, [2, 3], keepdims=keep)

    actual = run_graph([sizes], graph, data)
    if not keep:
        actual = actual[:, :, None, None, :]
    np.testing.assert_allclose(unblock(actual, 24), expected, rtol=1e-5, atol=1e-6)


def test_a_reduction_has_several_accumulators():
    def graph(builder: relax.BlockBuilder, blocked: relax.Var) -> relax.Expr:
        return relax.op.mean(blocked, [2, 3], keepdims=True)

    script = lower_graph([["n", 4, "h", 14, 16]], graph).script()
    assert "sums = T.sblock_alloc_buffer((7, 16))" in script
