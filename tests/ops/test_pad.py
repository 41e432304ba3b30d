"""Padding against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_pad_spatial(check_op, rng, mode):
    def pads(x, y, z):
        return (
            F.pad(x, [1, 2, 3, 0], mode=mode),
            F.pad(x, [2, 1, 0, 3], mode=mode, data_format="NHWC"),
            F.pad(y, [2, 1], mode=mode, data_format="NCL"),
            F.pad(z, [1, 0, 2, 1, 1, 1], mode=mode, data_format="NCDHW"),
            F.pad(z, [0, 1, 1, 2, 1, 0], mode=mode, data_format="NDHWC"),
        )

    inputs = [rng.standard_normal(s).astype("float32") for s in [(2, 5, 6, 4), (2, 3, 5), (1, 3, 4, 5, 3)]]
    check_op(pads, *inputs)


def test_pad_values_and_dtypes(check_op, rng):
    def pads(x, i, j, d):
        return (
            F.pad(x, [1, 2, 0, 1], value=-np.inf),
            F.pad(i, [1, 2, 0, 1], value=7),
            F.pad(j, [1, 0, 0, 1], mode="reflect"),
            F.pad(d, [1, 1, 1, 1], value=0.1),
        )

    x = rng.standard_normal((2, 1, 3, 4)) * 9
    check_op(pads, *(x.astype(dtype) for dtype in ("float32", "int32", "int64", "float64")))


def test_negative_padding_crops(check_op, rng):
    check_op(
        lambda x: (F.pad(x, [-1, 1, 2, -2]), F.pad(x, [-1, -1, 0, 0], mode="replicate")),
        rng.standard_normal((2, 3, 4, 5)).astype("float32"),
        dynamic=[(0, 2, 3)],
    )


def test_pad_every_axis(check_op, rng):
    x = rng.standard_normal((2, 3, 4)).astype("float32")
    check_op(lambda x: (F.pad(x, [0, 1, 2, 3, 1, 0], value=2.5), F.pad(x, [1, 1, 0, 0, 0, 2])), x)
    check_op(lambda x: F.pad(x, [0, 1, 2, 3]), np.arange(6).reshape(2, 3))


def test_padding_by_the_size_of_another_tensor(check_op, rng):
    def pad(x, like):
        size = paddle.shape(like)
        wide = size[3] - paddle.shape(x)[3]
        high = size[2] - paddle.shape(x)[2]
        pads = [wide // 2, wide - wide // 2, high // 2, high - high // 2, 0, 0]
        pads = [part if isinstance(part, int) else part.reshape([1]) for part in pads]
        pads = paddle.concat([paddle.full([1], p, "int64") if isinstance(p, int) else p for p in pads])
        return paddle._C_ops.pad3d(x.unsqueeze(2), pads, "constant", 0.0, "NCDHW").squeeze(2)

    x = rng.standard_normal((1, 2, 3, 4)).astype("float32")
    like = rng.standard_normal((1, 1, 8, 7)).astype("float32")
    check_op(lambda x, like: pad(x, like) + like, x, like, dynamic=[(2, 3), (2, 3)])
