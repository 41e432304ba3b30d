"""Operators that move or scale channels, against Paddle."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F


def test_shuffles(check_op, rng):
    def shuffles(x, y):
        return (
            F.pixel_shuffle(x, 2),
            F.pixel_shuffle(y, 2, data_format="NHWC"),
            F.pixel_unshuffle(x, 2),
            F.pixel_unshuffle(y, 2, data_format="NHWC"),
            F.channel_shuffle(x, 4),
            F.channel_shuffle(y, 2, data_format="NHWC"),
        )

    x = rng.standard_normal((2, 8, 4, 6)).astype("float32")
    check_op(shuffles, x, x.transpose(0, 2, 3, 1).copy(), dynamic=[(0,), (0,)])


def test_pixel_shuffle_of_any_size(check_op, rng):
    x = rng.standard_normal((2, 8, 3, 5)).astype("float32")
    check_op(lambda x: F.pixel_shuffle(x, 2), x, dynamic=[(0, 2, 3)])


def test_channel_shuffle_of_any_size(check_op, rng):
    x = rng.standard_normal((2, 6, 4, 6)).astype("float32")
    check_op(lambda x: F.channel_shuffle(x, 3), x, dynamic=[(0, 2, 3)])


def test_temporal_shift(check_op, rng):
    x = rng.standard_normal((6, 8, 2, 3)).astype("float32")

    def shift(x):
        return F.temporal_shift(x, 3, 0.25), F.temporal_shift(x, 2, 0.2, data_format="NHWC")

    check_op(shift, x, dynamic=None)
    check_op(lambda x: F.temporal_shift(x, 3, 0.25), x, dynamic=[(0, 2, 3)])


def test_affine_channel(check_op, rng):
    def affine(x, y, scale, bias):
        operator = paddle._C_ops.affine_channel
        return operator(x, scale, bias, "NCHW"), operator(y, scale, bias, "NHWC")

    x = rng.standard_normal((2, 3, 4, 5)).astype("float32")
    scale, bias = rng.standard_normal((2, 3)).astype("float32")
    check_op(affine, x, x.transpose(0, 2, 3, 1).copy(), scale, bias, dynamic=[(0, 2, 3), (0, 1, 2), (), ()])
