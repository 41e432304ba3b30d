"""Products of matrices and vectors against Paddle."""

from __future__ import annotations

import re

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from conftest import save_model
from tvm import relax

from paddle_tvm.compiler.frontends.paddle.importer import import_program
from paddle_tvm.compiler.frontends.paddle.program import load_program
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.targets.x86 import x86_target


def arrays(rng, *shapes, dtype="float32"):
    if np.issubdtype(np.dtype(dtype), np.integer):
        return [rng.integers(-9, 9, shape).astype(dtype) for shape in shapes]
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def every_transpose(x, y):
    """The four forms of one product, of operands that are square matrices."""
    return [
        paddle.matmul(x, y, transpose_x=flag_x, transpose_y=flag_y)
        for flag_x in (False, True)
        for flag_y in (False, True)
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_matmul_transposes_each_operand(check_op, rng, dtype):
    x, y = arrays(rng, (4, 4), (4, 4), dtype=dtype)
    check_op(every_transpose, x, y, more=[arrays(rng, (7, 7), (7, 7), dtype=dtype)])


def test_matmul_of_rectangular_matrices(check_op, rng):
    x, y, z = arrays(rng, (3, 5), (5, 4), (7, 5))

    def function(x, y, z):
        return (
            paddle.matmul(x, y),
            paddle.matmul(y, x, True, True),
            paddle.matmul(x, z, transpose_y=True),
            paddle.mm(x, y),
        )

    check_op(function, x, y, z, more=[arrays(rng, (1, 6), (6, 2), (3, 6))])


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((2, 3, 4), (2, 4, 5)),
        ((2, 3, 4), (4, 5)),
        ((3, 4), (2, 4, 5)),
        ((2, 1, 3, 4), (6, 4, 5)),
        ((1, 3, 4), (2, 4, 5)),
        ((4,), (2, 4, 5)),
        ((2, 3, 4), (4,)),
        ((2, 0, 4), (2, 4, 5)),
        ((2, 3, 0), (2, 0, 5)),
    ],
)
def test_matmul_broadcasts_batches_and_takes_vectors(check_op, rng, left, right):
    # A dimension of one that is to be broadcast must be known, and so must an empty inner one.
    dynamic = [tuple(axis for axis, size in enumerate(shape) if size > 1) for shape in (left, right)]
    check_op(paddle.matmul, *arrays(rng, left, right), dynamic=dynamic)


def test_matmul_of_vectors_is_a_scalar_and_ignores_transposes(check_op, rng):
    check_op(every_transpose, *arrays(rng, (5,), (5,)), more=[arrays(rng, (1,), (1,))])


def test_matmul_with_transposed_weights(check_op, rng):
    weight = rng.standard_normal((6, 4)).astype("float32")

    class Model(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.weight = self.create_parameter((6, 4))
            self.weight.set_value(weight)

        def forward(self, x0):
            return paddle.matmul(x0, self.weight, transpose_y=True) @ self.weight

    check_op(Model(), *arrays(rng, (2, 3, 4)), dynamic=[(0, 1)], more=[arrays(rng, (1, 8, 4))])


def test_matmul_of_special_values(check_op):
    x = np.array([[np.nan, 1.0], [np.inf, 0.0], [-0.0, -np.inf]], "float32")
    y = np.array([[1.0, 0.0, -0.0], [2.0, 1.0, 0.0]], "float32")
    check_op(paddle.matmul, x, y)


def test_matmul_finds_that_symbolic_dimensions_must_be_equal(check_op, rng):
    def attention(q, k, v):
        return paddle.nn.functional.softmax(q @ k.transpose([0, 2, 1])) @ v

    check_op(
        attention,
        *arrays(rng, (2, 3, 4), (2, 5, 4), (2, 5, 4)),
        more=[arrays(rng, (1, 7, 8), (1, 2, 8), (1, 2, 8))],
    )


def test_product_of_a_pooled_map_of_unknown_size_with_itself(check_op, rng):
    def function(x):
        pooled = F.max_pool2d(x, 2, 3, [0, 1], ceil_mode=True)
        # Windows that lie beyond the map give the lowest number.
        return paddle.matmul(*[paddle.clip(pooled, -9.0, 9.0)] * 2, transpose_y=True)

    first, second, third = arrays(rng, (1, 5, 14, 7), (2, 5, 9, 10), (1, 5, 31, 4))
    check_op(function, first, dynamic=[(0, 2, 3)], more=[[second], [third]])


def test_bmm_mv_and_chains(check_op, rng):
    def function(x, y, v):
        square = paddle.bmm(x, y)
        return square, paddle.mv(x[0], v), paddle.linalg.multi_dot([x[0], y[0], x[1]])

    check_op(function, *arrays(rng, (2, 3, 4), (2, 4, 3), (4,)), dynamic=None)
    check_op(paddle.bmm, *arrays(rng, (2, 3, 4), (2, 4, 5)), more=[arrays(rng, (1, 6, 3), (1, 3, 2))])
    check_op(paddle.mv, *arrays(rng, (3, 4), (4,)), more=[arrays(rng, (5, 1), (1,))])


def test_addmm_scales_and_broadcasts(check_op, rng):
    def function(bias, row, x, y):
        return (
            paddle.addmm(bias, x, y),
            paddle.addmm(bias, x, y, beta=0.5, alpha=-2.0),
            paddle.addmm(row, x, y, beta=2.0, alpha=0.25),
        )

    check_op(function, *arrays(rng, (3, 5), (1, 5), (3, 4), (4, 5)), dynamic=[(0, 1), (1,), (0, 1), (0, 1)])


def test_baddbmm_scales(check_op, rng):
    def function(bias, x, y):
        return paddle.baddbmm(bias, x, y), paddle.baddbmm(bias, x, y, beta=0.5, alpha=-2.0)

    check_op(function, *arrays(rng, (2, 3, 5), (2, 3, 4), (2, 4, 5)))


def test_addmm_with_beta_zero_does_not_read_its_input(check_op, rng):
    bias = np.full((3, 5), np.nan, "float32")
    check_op(lambda b, x, y: paddle.addmm(b, x, y, beta=0.0), bias, *arrays(rng, (3, 4), (4, 5)))


def test_outer_inner_and_kronecker_products(check_op, rng):
    def function(x, y):
        return (
            paddle.kron(x, y),
            paddle.kron(x[0], y),
            paddle.inner(x, y),
            paddle.outer(x, y),
            paddle.tensordot(x, y, axes=[[1], [1]]),
        )

    check_op(function, *arrays(rng, (3, 4), (2, 4)), dynamic=None)
    check_op(paddle.kron, *arrays(rng, (3, 4), (2, 5)), more=[arrays(rng, (1, 2), (3, 1))])


def test_bilinear_layer(check_op, rng):
    paddle.seed(1)
    for bias in (None, False):
        layer = paddle.nn.Bilinear(4, 5, 6, bias_attr=bias)
        check_op(
            layer, *arrays(rng, (3, 4), (3, 5)), dynamic=[(0,), (0,)], more=[arrays(rng, (1, 4), (1, 5))]
        )


def test_product_to_which_another_branch_is_added(check_op, rng):
    def function(x, w, y):
        left, right = paddle.sqrt(y / 8.0) * 0.1, paddle.exp(y)
        return F.sigmoid(left + right + paddle.matmul(x, w) + left)

    x, w, y = arrays(rng, (2, 4), (4, 1), (2, 1))
    check_op(function, x, w, abs(y), dynamic=[(0,), (), (0,)])


def test_no_row(check_op, rng):
    x, weight, kernel = arrays(rng, (0, 4), (4, 3), (3, 4, 1, 1))
    check_op(lambda x, w: F.softmax(paddle.matmul(x, w) + 1), x, weight, dynamic=None)
    check_op(lambda x, w: F.relu(F.conv2d(x.reshape([0, 4, 1, 1]), w)), x, kernel, dynamic=None)


def test_symbols_of_a_product_are_those_of_its_operands(rng, tmp_path):
    """Otherwise TVM does not know that sizes are equal, and nothing can be fused."""
    prefix = tmp_path / "model"
    save_model(lambda x: paddle.matmul(x, x, transpose_y=True), prefix, [(-1, -1, 4)], ["float32"])
    module = import_program(load_program(find_model(tmp_path))).module
    target = x86_target()
    with target.tvm_target:
        module = relax.transform.LegalizeOps(target.legalizations())(module)
    (product,) = (function for name, function in module.functions.items() if name.name_hint == "matmul")
    symbols = set(re.findall(r"\bx0_\d\w*", product.script().split("def ")[1].split("\n")[0]))
    assert symbols == {"x0_0", "x0_1"}


def test_float64_weights_are_not_rounded(check_op, rng):
    # Sums in which the leading digits cancel: float32 would keep one digit before the point at most.
    weight = 1e6 + rng.standard_normal((16, 24))
    signs = np.tile([1.0, -1.0], 8) * np.ones((3, 16))
    check_op(lambda x: paddle.matmul(x, paddle.assign(weight)), signs, dynamic=[(0,)])
