"""Activation functions against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle.incubate.nn.functional import swiglu

VALUES = np.array(
    [
        0,
        1e-3,
        -1e-3,
        0.3,
        -0.3,
        0.5,
        -0.5,
        1,
        -1,
        2.5,
        -2.5,
        3,
        -3,
        6,
        7,
        -7,
        19,
        21,
        -21,
        80,
        -80,
        100,
        -100,
    ],
    dtype="float32",
)


def test_activations_of_convolutional_networks(check_op, rng):
    def model(x):
        return (
            F.relu(x),
            F.relu6(x),
            F.hardswish(x),
            F.hardsigmoid(x),
            F.hardsigmoid(x, slope=0.2, offset=0.4),
            F.sigmoid(x),
            F.tanh(x),
            F.swish(x),
            F.silu(x),
            F.mish(x),
            F.leaky_relu(x),
            F.leaky_relu(x, 0.3),
            F.leaky_relu(x, 1.5),
            F.hardtanh(x),
            F.hardtanh(x, -2.0, 0.5),
        )

    check_op(model, VALUES, more=[[10 * rng.standard_normal(300).astype("float32")]])


def test_other_activations(check_op, rng):
    def model(x):
        return (
            F.gelu(x),
            F.gelu(x, approximate=True),
            F.softplus(x),
            F.softplus(x, beta=2.0, threshold=5.0),
            F.softsign(x),
            F.selu(x),
            F.elu(x),
            F.elu(x, 0.4),
            F.celu(x),
            F.celu(x, 0.7),
            F.hardshrink(x),
            F.hardshrink(x, 1.0),
            F.softshrink(x),
            F.softshrink(x, 1.0),
            F.tanhshrink(x),
            F.thresholded_relu(x),
            F.thresholded_relu(x, 0.5, 0.25),
            F.log_sigmoid(x),
            paddle.stanh(x),
        )

    check_op(model, VALUES, more=[[10 * rng.standard_normal(300).astype("float32")]])


def test_infinities_saturate(check_op):
    def model(x):
        return (F.relu(x), F.sigmoid(x), F.tanh(x), F.relu6(x), F.elu(x), F.softplus(x))

    check_op(model, np.array([np.inf, -np.inf], dtype="float32"))


@pytest.mark.parametrize("count", [3, 35])
def test_nan_and_infinities_are_kept_or_lost_as_in_paddle(check_op, count):
    def model(x):
        return (
            F.relu(x),
            F.relu6(x),
            F.hardtanh(x),
            F.hardsigmoid(x),
            F.hardswish(x),
            F.sigmoid(x),
            F.tanh(x),
            F.gelu(x),
            F.silu(x),
            F.mish(x),
            F.leaky_relu(x),
            F.leaky_relu(x, 1.5),
            F.elu(x),
            F.selu(x),
            F.celu(x),
            F.softplus(x),
            F.softsign(x),
            F.hardshrink(x),
            F.softshrink(x),
            F.tanhshrink(x),
            F.thresholded_relu(x),
            F.thresholded_relu(x, 0.5, 0.25),
            F.log_sigmoid(x),
            F.prelu(x, paddle.full([1], 0.25)),
            paddle.logit(x, 1e-3),
            paddle.stanh(x),
        )

    x = np.resize(np.array([np.nan, np.inf, -np.inf], dtype="float32"), count)
    check_op(model, x)


def test_a_clamp_behind_a_convolution_keeps_nan(check_op):
    class Net(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.first = paddle.nn.Conv2D(3, 24, 3, padding=1)
            self.depthwise = paddle.nn.Conv2D(24, 24, 3, padding=1, groups=24)
            self.last = paddle.nn.Conv2D(24, 40, 1)

        def forward(self, x):
            x = F.relu6(self.first(x))
            x = F.hardswish(self.depthwise(x))
            return F.hardsigmoid(self.last(x)), F.hardtanh(self.last(x)), F.prelu(x, paddle.full([1], 0.25))

    paddle.seed(0)
    x = np.ones((1, 3, 24, 24), "float32")
    x[0, 1, 3, 5], x[0, 0, 12, 4], x[0, 2, 20, 18] = np.nan, np.inf, -np.inf
    check_op(Net(), x, dynamic=[(0, 2, 3)])


def test_maxout_takes_the_element_after_a_nan(check_op):
    x = np.array([[1, np.nan], [np.nan, 2], [np.nan, np.nan], [-np.inf, -np.inf]], "float32").reshape(
        4, 2, 1, 1
    )
    check_op(lambda x: F.maxout(x, 2), x, dynamic=None)


def test_in_place_forms(check_op, rng):
    def model(x):
        y = x * 1.0
        y = paddle._C_ops.leaky_relu_(y, 0.1)
        y = paddle._C_ops.elu_(y, 1.0)
        y = paddle._C_ops.hardtanh_(y, -1.0, 1.0)
        return paddle._C_ops.softmax_(paddle._C_ops.relu_(y), -1)

    check_op(model, rng.standard_normal((3, 4)).astype("float32"))


def test_integers_and_float64(check_op, rng):
    def model(x, y):
        return F.sigmoid(x), F.tanh(y), F.gelu(y), F.softmax(y), F.leaky_relu(y), F.hardswish(y)

    check_op(model, np.array([-2, 0, 3], "int32"), rng.standard_normal(5))


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_softmax_over_any_axis(check_op, rng, axis):
    x = (5 * rng.standard_normal((3, 5, 4))).astype("float32")
    x[0, 0, 0], x[1, 2, 3], x[2] = -np.inf, 1e4, 60 * x[2]
    check_op(lambda x: (F.softmax(x, axis), F.log_softmax(x, axis)), x, more=[[x[:, :2, 1:]]])


def test_softmax_of_masked_rows(check_op):
    x = np.array([[1.0, -np.inf, 2.0], [-np.inf, -np.inf, -np.inf], [-1e30, 0.0, -1e30]], dtype="float32")
    check_op(F.softmax, x)


def test_softmax_of_0d_and_1d(check_op):
    check_op(
        lambda x, y: (F.softmax(x), F.log_softmax(x), F.softmax(y)),
        np.float32([[3.0]])[0, 0].reshape(()),
        np.float32([1, 2, 3]),
    )


class _PReLU(paddle.nn.Layer):
    def __init__(self, count, data_format):
        super().__init__()
        self.prelu = paddle.nn.PReLU(count, data_format=data_format)
        self.prelu._weight.set_value(np.linspace(-0.3, 0.9, count).astype("float32"))

    def forward(self, x):
        return self.prelu(x)


@pytest.mark.parametrize(("count", "data_format"), [(1, "NCHW"), (3, "NCHW"), (4, "NHWC")])
def test_prelu_with_weights(check_op, rng, count, data_format):
    x = rng.standard_normal((2, 3, 5, 4)).astype("float32")
    check_op(_PReLU(count, data_format), x, dynamic=[(0, 2)])


def test_prelu_with_slopes_as_input(check_op, rng):
    x = rng.standard_normal((2, 3, 4)).astype("float32")
    element = rng.standard_normal((1, 3, 4)).astype("float32")
    slopes = rng.standard_normal(3).astype("float32")

    def model(x, element, slopes):
        by_element = paddle._C_ops.prelu(x, element, "NCHW", "element")
        return by_element, F.prelu(x, slopes)

    check_op(model, x, element, slopes, dynamic=[(0,), (), ()])


def test_swiglu(check_op, rng):
    x, y = (rng.standard_normal((2, 6)).astype("float32") for _ in range(2))
    check_op(lambda x, y: (swiglu(x, y), swiglu(x)), x, y, dynamic=[(0,), (0,)])


def test_maxout(check_op, rng):
    x = rng.standard_normal((2, 6, 3, 4)).astype("float32")
    check_op(lambda x: (F.maxout(x, 2), F.maxout(x, 2, axis=-1)), x, dynamic=[(0, 2)])
