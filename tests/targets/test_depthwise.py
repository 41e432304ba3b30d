"""Depthwise convolution in the blocked layout against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from blocked import block, unblock
from kernel_build import lower_graph, run_graph
from tvm import relax

from paddle_tvm.targets.x86.conv2d import Window
from paddle_tvm.targets.x86.depthwise import depthwise_blocked, pack_weight, te_pack_weight

# batch, channels, rows, columns; kernel, stride, padding (top, left, bottom, right), dilation
CASES = [
    pytest.param((1, 64, 112, 112), (3, 3), 1, (1, 1, 1, 1), 1, id="3x3"),
    pytest.param((1, 24, 56, 56), (3, 3), 2, (1, 1, 1, 1), 1, id="3x3-stride-2"),
    pytest.param((1, 24, 57, 55), (3, 3), 2, (1, 1, 1, 1), 1, id="3x3-stride-2-odd"),
    pytest.param((1, 40, 28, 28), (5, 5), 1, (2, 2, 2, 2), 1, id="5x5"),
    pytest.param((1, 72, 40, 42), (5, 5), 2, (2, 2, 2, 2), 1, id="5x5-stride-2"),
    pytest.param((2, 97, 7, 7), (3, 3), 1, (1, 1, 1, 1), 1, id="97-channels-7x7"),
    pytest.param((1, 16, 2, 3), (5, 5), 1, (2, 2, 2, 2), 1, id="window-larger-than-input"),
    pytest.param((1, 16, 1, 1), (3, 3), 1, (1, 1, 1, 1), 1, id="1x1"),
    pytest.param((1, 16, 40, 41), (3, 3), 1, (2, 2, 2, 2), 2, id="dilation-2"),
    pytest.param((1, 16, 70, 70), (3, 3), 1, (12, 12, 12, 12), 12, id="dilation-12"),
    pytest.param((1, 16, 30, 50), (3, 3), 1, (0, 0, 0, 0), 1, id="no-padding"),
    pytest.param((1, 16, 50, 90), (3, 3), 2, (0, 0, 1, 1), 1, id="padding-after-alone"),
    pytest.param((1, 16, 50, 90), (3, 5), 3, (1, 2, 0, 1), 1, id="stride-3-uneven-padding"),
    pytest.param((1, 16, 30, 300), (1, 9), 1, (0, 4, 0, 4), 1, id="1x9"),
]
CPUS = ["x86-64", "haswell", None]
LANES = {"x86-64": 4, "haswell": 8, None: 16}


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("dynamic", [(), (0,), (0, 2, 3)], ids=["static", "batch", "batch-height-width"])
@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "dilation"), CASES)
def test_depthwise_with_bias_residual_and_relu6(rng, shape, kernel, stride, padding, dilation, dynamic, mcpu):
    lanes, channels = LANES[mcpu], shape[1]
    x = rng.standard_normal(shape).astype("float32")
    w = rng.standard_normal((channels, 1, *kernel)).astype("float32")
    b = rng.standard_normal((1, channels, 1, 1)).astype("float32")
    top, left, bottom, right = padding
    padded = F.pad(paddle.to_tensor(x), [left, right, top, bottom])
    conv = F.conv2d(padded, paddle.to_tensor(w), stride=stride, dilation=dilation, groups=channels)
    conv = conv + paddle.to_tensor(b)
    expected = (F.relu6(conv) + conv).numpy()
    window = Window(kernel, (stride, stride), (dilation, dilation), (top, left), (bottom, right))

    def graph(builder: relax.BlockBuilder, data: relax.Var) -> relax.Expr:
        filtered = builder.call_te(
            lambda data, weight: depthwise_blocked(data, weight, window),
            data,
            relax.const(pack_weight(w, lanes)),
            primfunc_attrs={"op_pattern": 4},
        )
        biased = builder.emit(relax.op.add(builder.emit(filtered), relax.const(block(b, lanes))))
        positive = builder.emit(relax.op.nn.relu(biased))
        limited = builder.emit(relax.op.minimum(positive, relax.const(np.float32(6))))
        return relax.op.add(limited, biased)

    data = block(x, lanes)
    sizes = [f"d{axis}" if axis in dynamic else size for axis, size in enumerate(data.shape)]
    actual = unblock(run_graph([sizes], graph, data, mcpu=mcpu), channels)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_weights_computed_at_run_time_are_packed_alike(rng):
    w = rng.standard_normal((40, 1, 3, 5)).astype("float32")
    packed = run_graph(
        [w.shape], lambda builder, weight: builder.call_te(lambda t: te_pack_weight(t, 16), weight), w
    )
    np.testing.assert_array_equal(packed, pack_weight(w, 16))


@pytest.mark.parametrize("size", [56, None])
def test_the_activation_is_part_of_the_kernel(size):
    window = Window((3, 3), (1, 1), (1, 1), (1, 1), (1, 1))
    weight = relax.const(np.ones((4, 3, 3, 16), "float32"))

    def graph(builder: relax.BlockBuilder, data: relax.Var) -> relax.Expr:
        filtered = builder.call_te(
            lambda data, weight: depthwise_blocked(data, weight, window),
            data,
            weight,
            primfunc_attrs={"op_pattern": 4},
        )
        return relax.op.sigmoid(builder.emit(filtered))

    script = lower_graph([[1, 4, size or "h", size or "w", 16]], graph).script()
    # Neither a padded copy nor the sums before the activation are written to memory.
    buffers = [line for line in script.splitlines() if "alloc_buffer" in line]
    assert buffers
    assert all(line.strip().startswith("sums = ") for line in buffers)
