"""Windows of an image as columns, and back, against Paddle."""

from __future__ import annotations

import paddle.nn.functional as F


def test_unfold(check_op, rng):
    def unfolds(x):
        return (
            F.unfold(x, 3),
            F.unfold(x, (2, 3), strides=(2, 1), paddings=1),
            F.unfold(x, 2, paddings=(0, 1, 2, 1), dilations=(2, 1)),
        )

    x = rng.standard_normal((2, 3, 6, 5)).astype("float32")
    check_op(unfolds, x, dynamic=[(0, 2, 3)])


def test_fold(check_op, rng):
    def folds(x, y):
        return (
            F.fold(x, (4, 5), 2),
            F.fold(y, (5, 4), (3, 2), strides=(2, 1), paddings=(1, 0)),
        )

    x = rng.standard_normal((2, 12, 12)).astype("float32")
    y = rng.standard_normal((1, 12, 9)).astype("float32")
    check_op(folds, x, y, dynamic=None)


def test_unfold_of_data_short_by_less_than_a_stride(check_op, rng):
    check_op(lambda x: F.unfold(x, 3, 2), rng.standard_normal((1, 3, 2, 5)).astype("float32"), dynamic=None)
