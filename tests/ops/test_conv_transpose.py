"""Transposed convolutions against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle.nn import Conv1DTranspose, Conv2DTranspose, Conv3DTranspose

from paddle_tvm.runtime.errors import UnsupportedModelError


class Several(paddle.nn.Layer):
    def __init__(self, *layers):
        super().__init__()
        self.layers = paddle.nn.LayerList(layers)

    def forward(self, x):
        return tuple(layer(x) for layer in self.layers)


def test_strides_padding_dilation_groups(check_op, rng):
    x = rng.standard_normal((2, 4, 5, 4)).astype("float32")
    layers = Several(
        Conv2DTranspose(4, 3, 2, stride=2),
        Conv2DTranspose(4, 3, 3, stride=2, padding=1, output_padding=1),
        Conv2DTranspose(4, 4, 3, stride=(2, 1), padding=[0, 1, 1, 0], groups=2),
        Conv2DTranspose(4, 4, 3, stride=2, padding=1, groups=4),
        Conv2DTranspose(4, 3, 3, dilation=2, padding=1),
    )
    more = [[rng.standard_normal((1, 4, 3, 6)).astype("float32")]]
    check_op(layers, x, dynamic=[(0, 2, 3)], more=more)


def test_same_padding_and_padding_beyond_the_kernel(check_op, rng):
    x = rng.standard_normal((1, 2, 6, 5)).astype("float32")
    layers = Several(
        Conv2DTranspose(2, 3, 3, padding="SAME"),
        Conv2DTranspose(2, 3, 3, stride=2, padding="SAME"),
        Conv2DTranspose(2, 3, 2, stride=1, padding=2),
    )
    check_op(layers, x, dynamic=[(2, 3)])


def test_a_dynamic_result_that_several_operators_read(check_op, rng):
    def read_twice(x, y, w, v):
        planes, volumes = F.conv2d_transpose(x, w), F.conv3d_transpose(y, v)
        return F.relu(planes) + 1, planes * 2, F.relu(volumes) + 1, volumes * 2

    shapes = [(1, 2, 3, 4), (1, 2, 3, 2, 2), (2, 1, 2, 2), (2, 1, 2, 2, 2)]
    inputs = [rng.standard_normal(shape).astype("float32") for shape in shapes]
    check_op(read_twice, *inputs, dynamic=[(0, 2, 3), (0, 2, 3, 4), (), ()])


def test_output_size(check_op, rng):
    x = rng.standard_normal((1, 2, 4, 4)).astype("float32")
    weight = rng.standard_normal((2, 3, 3, 3)).astype("float32")

    def sizes(x, w):
        return F.conv2d_transpose(x, w, stride=2, output_size=[9, 10])

    check_op(sizes, x, weight, dynamic=None)


def test_output_size_of_another_tensor(check_op, rng):
    x = rng.standard_normal((1, 2, 4, 4)).astype("float32")
    like = rng.standard_normal((1, 1, 8, 7)).astype("float32")
    weight = rng.standard_normal((2, 3, 3, 3)).astype("float32")

    def sizes(x, w, like):
        return F.conv2d_transpose(x, w, stride=2, padding=1, output_size=paddle.shape(like)[2:]) + like

    check_op(sizes, x, weight, like, dynamic=[(0, 2, 3), (), (0, 2, 3)])


def test_channels_last_and_other_ranks(check_op, rng):
    def check(layer, *shape):
        x = rng.standard_normal(shape).astype("float32")
        check_op(layer, x, dynamic=[tuple(axis for axis in range(len(shape)) if shape[axis] != 4)])

    check(Conv2DTranspose(4, 3, 3, stride=2, padding=1, data_format="NHWC"), 1, 3, 5, 4)
    check(Conv1DTranspose(4, 3, 3, stride=2, output_padding=1), 1, 4, 5)
    check(Conv3DTranspose(4, 2, 2, stride=2, padding=1, groups=2), 1, 4, 2, 3, 3)


def test_double(check_op, rng):
    x, weight = rng.standard_normal((1, 2, 3, 3)), rng.standard_normal((2, 1, 2, 2))
    assert x.dtype == np.float64
    check_op(lambda x, w: F.conv2d_transpose(x, w, stride=2), x, weight, dynamic=None)


def test_on_a_size_that_is_a_multiple_of_the_input(check_op, rng):
    def upscale(x, w, skip):
        return F.conv2d_transpose(F.pixel_shuffle(x, 2), w, stride=2, padding=2, output_padding=1) + skip

    x = rng.standard_normal((1, 4, 3, 2)).astype("float32")
    weight = rng.standard_normal((1, 3, 5, 5)).astype("float32")
    skip = rng.standard_normal((1, 3, 12, 8)).astype("float32")
    check_op(upscale, x, weight, skip, dynamic=[(0, 2, 3), (), (0, 2, 3)])


def test_padding_that_cuts_away_all_is_refused(check_op, rng):
    layer = paddle.nn.Conv2DTranspose(3, 5, 3, stride=2, padding=2)
    with pytest.raises(UnsupportedModelError, match="cuts away all"):
        check_op(layer, rng.standard_normal((1, 3, 1, 4)).astype("float32"))
