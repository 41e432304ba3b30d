"""Convolutions against Paddle."""

from __future__ import annotations

import paddle
import pytest
from conftest import save_model
from paddle.nn import Conv1D, Conv2D, Conv3D

from paddle_tvm.compiler.frontends.paddle.importer import import_program
from paddle_tvm.compiler.frontends.paddle.program import load_program
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.runtime.errors import UnsupportedModelError

SPATIAL = [(0, 2, 3)]
CHANNELS_LAST = [(0, 1, 2)]


class Several(paddle.nn.Layer):
    """Several layers on one input: one saved model is cheaper than many."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = paddle.nn.LayerList(layers)

    def forward(self, x):
        return tuple(layer(x) for layer in self.layers)


def test_conv2d_strides_padding_dilation_groups(check_op, rng):
    x = rng.standard_normal((2, 4, 9, 8)).astype("float32")
    layers = Several(
        Conv2D(4, 5, 1, stride=2),
        Conv2D(4, 6, (3, 2), stride=(2, 1), padding=(2, 1), dilation=(1, 2), bias_attr=False),
        Conv2D(4, 6, 2, padding=[0, 1, 2, 3], groups=2),
        Conv2D(4, 8, 3, padding=1, groups=4, stride=2),
    )
    check_op(layers, x, dynamic=SPATIAL, more=[[rng.standard_normal((1, 4, 6, 11)).astype("float32")]])


def test_conv2d_same_and_valid(check_op, rng):
    x = rng.standard_normal((2, 3, 9, 8)).astype("float32")
    layers = Several(
        Conv2D(3, 2, (2, 4), padding="SAME"),
        Conv2D(3, 2, 3, padding="SAME", stride=2),
        Conv2D(3, 2, 2, padding="SAME", stride=3),
        Conv2D(3, 2, 3, padding="SAME", dilation=2),
        Conv2D(3, 2, 2, padding="VALID", stride=2),
    )
    sizes = [(1, 3, 7, 13), (1, 3, 4, 12)]
    check_op(layers, x, dynamic=SPATIAL, more=[[rng.standard_normal(s).astype("float32")] for s in sizes])


def test_conv2d_nhwc(check_op, rng):
    x = rng.standard_normal((2, 7, 8, 4)).astype("float32")
    layers = Several(
        Conv2D(4, 6, 2, padding=[1, 0, 2, 1], data_format="NHWC"),
        Conv2D(4, 4, 3, padding="SAME", stride=2, groups=4, data_format="NHWC"),
    )
    check_op(layers, x, dynamic=CHANNELS_LAST)


def test_channels_unknown_to_the_program_are_those_of_the_weight(check_op, rng):
    check_op(Conv2D(3, 2, 3), rng.standard_normal((1, 3, 5, 5)).astype("float32"))


def test_conv2d_double(check_op, rng):
    weight = rng.standard_normal((2, 3, 3, 3))
    x = rng.standard_normal((1, 3, 5, 5))
    check_op(lambda x, w: paddle.nn.functional.conv2d(x, w, padding=1), x, weight, dynamic=[(0, 2, 3), ()])


@pytest.mark.parametrize("data_format", ["NCL", "NLC"])
def test_conv1d(check_op, rng, data_format):
    last = data_format == "NLC"
    x = rng.standard_normal((2, 9, 4) if last else (2, 4, 9)).astype("float32")
    padding = "SAME" if last else 1
    layer = Conv1D(4, 6, 3, padding=padding, stride=2, groups=2, data_format=data_format)
    check_op(layer, x, dynamic=[(0, 1 if last else 2)])


def test_conv3d(check_op, rng):
    x = rng.standard_normal((1, 4, 5, 6, 5)).astype("float32")
    layers = Several(
        Conv3D(4, 4, (1, 2, 3), padding=[0, 1, 1, 0, 2, 1], groups=2, dilation=(1, 2, 1)),
        Conv3D(4, 4, 2, padding="SAME", stride=2),
    )
    check_op(layers, x, dynamic=[(0, 2, 3, 4)])


def test_conv3d_ndhwc(check_op, rng):
    x = rng.standard_normal((1, 4, 5, 4, 3)).astype("float32")
    check_op(Conv3D(3, 2, 3, padding=1, data_format="NDHWC"), x, dynamic=[(0, 1, 2, 3)])


def test_empty_batch(check_op, rng):
    x = rng.standard_normal((1, 3, 5, 5)).astype("float32")
    check_op(Conv2D(3, 2, 3), x, dynamic=SPATIAL, more=[[x[:0]]])


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Conv2D(16, 5, (3, 1), stride=(2, 1), padding=[1, 0, 0, 0]), (1, 16, 1, 4)),
        (Conv2D(3, 5, 5, stride=4), (1, 3, 2, 2)),
        (Conv2D(8, 8, 3, stride=2, groups=8), (1, 8, 2, 5)),
        (Conv2D(8, 8, 3, stride=2, groups=2), (1, 8, 2, 5)),
        (Conv2D(3, 5, 3, stride=2, dilation=2), (1, 3, 4, 7)),
        (Conv3D(3, 5, 3, stride=2), (1, 3, 2, 5, 5)),
        (Conv1D(3, 5, 3, stride=2), (1, 3, 2)),
    ],
)
def test_data_short_by_less_than_a_stride_has_one_window(check_op, rng, layer, shape):
    check_op(layer, rng.standard_normal(shape).astype("float32"), dynamic=None)


def test_data_too_short_for_any_window_is_refused(check_op, rng):
    with pytest.raises(UnsupportedModelError, match=r"window of 7 elements.*does not fit.*1 elements"):
        check_op(Conv2D(3, 5, 7, stride=2), rng.standard_normal((1, 3, 1, 9)).astype("float32"))


def test_dynamic_data_must_be_as_long_as_the_windows(tmp_path):
    """Of each convolution; what they leave is at least one element."""
    net = paddle.nn.Sequential(Conv2D(3, 8, 3, stride=2), Conv2D(8, 8, (5, 3), stride=(2, 1), padding=(0, 1)))
    save_model(net, tmp_path / "model", [(1, 3, -1, -1)], ["float32"])
    assert import_program(load_program(find_model(tmp_path))).minimums == {"x0_2": 11, "x0_3": 3}


def test_factors_that_no_weight_can_take(check_op, rng):
    """Their product is infinite, of which a sum of weights would be no number."""

    class Model(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.layer = Conv2D(3, 4, 1)

        def forward(self, x):
            y = self.layer(x)
            return y * 1e30 * 1e30, (y + 1e30) * 1e30

    check_op(Model(), rng.standard_normal((1, 3, 5, 4)).astype("float32"))
