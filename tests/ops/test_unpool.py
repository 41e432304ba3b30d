"""The inverse of maximum pooling, against Paddle."""

from __future__ import annotations

import paddle.nn.functional as F


def test_unpool(check_op, rng):
    def unpool(x):
        pooled, index = F.max_pool2d(x, 2, return_mask=True)
        return F.max_unpool2d(pooled, index, 2), F.max_unpool2d(pooled, index, 2, output_size=[9, 6])

    check_op(unpool, rng.standard_normal((2, 3, 8, 6)).astype("float32"), dynamic=[(0,)])


def test_unpool_3d_and_1d(check_op, rng):
    def unpool(x, y):
        return (
            F.max_unpool3d(*F.max_pool3d(x, 2, return_mask=True), 2),
            F.max_unpool1d(*F.max_pool1d(y, 2, return_mask=True), 2),
        )

    x = rng.standard_normal((1, 2, 4, 4, 6)).astype("float32")
    check_op(unpool, x, rng.standard_normal((1, 2, 8)).astype("float32"), dynamic=None)
