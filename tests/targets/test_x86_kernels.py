"""Convolutions and matrix products of the x86 target against Paddle and NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from graph_reference import VECTORS
from kernel_build import run_graph
from tvm import relax

CPUS = ["haswell", VECTORS]


def close(actual: np.ndarray, expected: np.ndarray) -> None:
    """Within a rounding error for each term of the longest sums here."""
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= 1e-5 * np.abs(expected).max()


# batch, channels, rows, columns; weight; groups, stride, padding, dilation
CONVOLUTIONS = [
    pytest.param((1, 64, 56, 56), (64, 64, 3, 3), 1, 1, 1, 1, id="3x3"),
    pytest.param((2, 64, 14, 14), (64, 64, 3, 3), 1, 2, 1, 1, id="3x3-stride-2"),
    pytest.param((2, 512, 14, 14), (512, 512, 1, 1), 1, 1, 0, 1, id="1x1-tiles-across-rows"),
    pytest.param((1, 256, 7, 7), (128, 256, 1, 1), 1, 1, 0, 1, id="1x1-on-7x7"),
    pytest.param((1, 16, 1, 1), (24, 16, 1, 1), 1, 1, 0, 1, id="1x1-on-1x1"),
    pytest.param((1, 3, 64, 64), (64, 3, 7, 7), 1, 2, 3, 1, id="first-layer"),
    pytest.param((2, 24, 19, 17), (40, 24, 3, 5), 1, 1, 2, 2, id="dilated-odd-sizes"),
    pytest.param((1, 8, 9, 11), (97, 8, 3, 3), 1, 1, 0, 1, id="97-channels"),
    pytest.param((1, 128, 14, 14), (128, 4, 3, 3), 32, 1, 1, 1, id="groups"),
    pytest.param((1, 12, 9, 9), (18, 4, 1, 1), 3, 1, 0, 1, id="groups-1x1"),
    pytest.param((1, 32, 20, 20), (32, 1, 3, 3), 32, 1, 1, 1, id="depthwise"),
    pytest.param((1, 32, 21, 20), (32, 1, 5, 5), 32, 2, 2, 1, id="depthwise-stride-2"),
]


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("dynamic", [(), (0,), (0, 2, 3)], ids=["static", "batch", "batch-height-width"])
@pytest.mark.parametrize(("shape", "weight", "groups", "stride", "padding", "dilation"), CONVOLUTIONS)
def test_conv2d_with_bias_residual_and_relu(
    rng, shape, weight, groups, stride, padding, dilation, dynamic, mcpu
):
    x = rng.standard_normal(shape).astype("float32")
    w = (rng.standard_normal(weight) / np.sqrt(np.prod(weight[1:]))).astype("float32")
    b = rng.standard_normal((1, weight[0], 1, 1)).astype("float32")
    tensors = [paddle.to_tensor(array) for array in (x, w, b)]
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    expected = F.relu(F.conv2d(tensors[0], tensors[1], **options) + tensors[2]).numpy()

    def graph(builder: relax.BlockBuilder, data: relax.Var) -> relax.Expr:
        conv = relax.op.nn.conv2d(
            data,
            relax.const(w),
            strides=[stride] * 2,
            padding=[padding] * 4,
            dilation=[dilation] * 2,
            groups=groups,
        )
        biased = builder.emit(relax.op.add(builder.emit(conv), relax.const(b)))
        return relax.op.nn.relu(biased)

    sizes = [f"d{axis}" if axis in dynamic else size for axis, size in enumerate(shape)]
    close(run_graph([sizes], graph, x, mcpu=mcpu), expected)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize(
    ("kernel", "groups", "stride", "padding", "dilation"),
    [(2, 1, 2, 0, 1), (3, 1, 2, 1, 1), (4, 1, 2, 1, 1), (3, 2, 2, 1, 2), (3, 1, 1, 1, 1), (2, 3, 3, 0, 1)],
)
def test_conv2d_transpose(rng, kernel, groups, stride, padding, dilation, dynamic):
    x = rng.standard_normal((2, 24, 9, 11)).astype("float32")
    w = rng.standard_normal((24, 6, kernel, kernel)).astype("float32") / 12
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    expected = F.conv2d_transpose(paddle.to_tensor(x), paddle.to_tensor(w), **options).numpy()

    def graph(_: relax.BlockBuilder, data: relax.Var) -> relax.Expr:
        return relax.op.nn.conv2d_transpose(
            data,
            relax.const(w),
            strides=[stride] * 2,
            padding=[padding] * 4,
            dilation=[dilation] * 2,
            groups=groups,
        )

    sizes = ["n", 24, "h", "w"] if dynamic else x.shape
    close(run_graph([sizes], graph, x), expected)


PRODUCTS = [
    ((128, 96), (96, 80), None),
    ((1, 256), (256, 1000), None),
    ((5, 3, 8), (8, 48), None),
    ((3, 5, 64), (64, 37), None),
    ((4, 3, 1, 64), (64, 64), None),
    ((2, 1, 17, 20), (1, 4, 20, 33), None),
    ((20,), (20, 33), None),
    ((5, 20), (20,), None),
    ((20,), (20,), None),
    ((20,), (3, 20, 5), None),
    ((13, 96), (96, 80), [["m", 96], [96, 80]]),
    ((2, 13, 96), (96, 97), [["b", "m", 96], [96, 97]]),
    ((2, 4, 13, 16), (2, 4, 16, 13), [["b", 4, "l", 16], ["b", 4, 16, "l"]]),
    ((2, 4, 13, 13), (2, 4, 13, 16), [["b", 4, "l", "l"], ["b", 4, "l", 16]]),
    ((3, 2, 6, 4), (3, 2, 4, 7), [["b", "h", "l", 4], ["b", "h", 4, "n"]]),
]


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize(
    ("left", "right", "sizes", "constant"),
    [
        pytest.param(
            *product, constant, id=f"{product[0]}x{product[1]}-{'weights' if constant else 'computed'}"
        )
        for product in PRODUCTS
        for constant in (True, False)
        # A constant has no symbolic dimensions.
        if not (constant and product[2] and any(isinstance(dim, str) for dim in product[2][1]))
    ],
)
def test_matmul_with_bias_and_relu(rng, left, right, sizes, constant, mcpu):
    a = rng.standard_normal(left).astype("float32")
    b = rng.standard_normal(right).astype("float32")
    product = a.astype("float64") @ b
    expected = np.maximum(product + 0.5, 0).astype("float32")
    sizes = sizes or [left, right]

    def graph(builder: relax.BlockBuilder, x: relax.Var, *y: relax.Var) -> relax.Expr:
        multiplied = builder.emit(relax.op.matmul(x, y[0] if y else relax.const(b)))
        return relax.op.nn.relu(builder.emit(relax.op.add(multiplied, relax.const(np.float32(0.5)))))

    if constant:
        actual = run_graph(sizes[:1], graph, a, mcpu=mcpu)
    else:
        actual = run_graph(sizes, graph, a, b, mcpu=mcpu)
    close(actual, expected)


@pytest.mark.parametrize(
    ("shape", "repeats"),
    [((3, 8), (6, 8)), ((5, 4), (8, 32)), ((2, 8, 8), (6, 1, 16)), ((3, 4, 5), (6, 4, 2))],
)
def test_indices_modulo_a_power_of_two(rng, shape, repeats):
    """LLVM 22 for AVX-512 reads beyond the modulus where indices have 32 bits."""
    x = rng.standard_normal(shape).astype("float32")
    output = tuple(size * count for size, count in zip(shape, repeats, strict=True))

    def graph(builder: relax.BlockBuilder, data: relax.Var) -> relax.Expr:
        def tile(tensor: Callable[..., object]) -> object:
            from tvm import te

            return te.compute(
                output, lambda *i: tensor(*[p % size for p, size in zip(i, shape, strict=True)]), name="tile"
            )

        return builder.call_te(tile, data, primfunc_name_hint="tile")

    np.testing.assert_array_equal(run_graph([shape], graph, x), np.tile(x, repeats))


@pytest.mark.parametrize(
    ("shape", "pads"),
    [((2, 4, 4), ((0, 4), (3, 1))), ((2, 3, 4), ((3, 2), (3, 1))), ((1, 3, 8), ((1, 2), (7, 1)))],
)
def test_shifted_indices_modulo_the_size(rng, shape, pads):
    """TVM 0.27 shifts the rows too, where rows and columns are one loop."""
    x = rng.standard_normal(shape).astype("float32")
    (top, bottom), (left, right) = pads
    rows, columns = shape[1:]
    output = (shape[0], rows + top + bottom, columns + left + right)

    def graph(builder: relax.BlockBuilder, data: relax.Var) -> relax.Expr:
        def pad(tensor: Callable[..., object]) -> object:
            from tvm import te

            return te.compute(
                output, lambda n, y, x: tensor(n, (y - top) % rows, (x - left) % columns), name="pad"
            )

        return builder.call_te(pad, data, primfunc_name_hint="pad")

    np.testing.assert_array_equal(run_graph([shape], graph, x), np.pad(x, ((0, 0), *pads), mode="wrap"))
