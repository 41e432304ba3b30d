"""Concatenation, stacking and splitting against Paddle."""

from __future__ import annotations

import numpy as np
import paddle


def normal(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


def test_concat(check_op, rng):
    def model(x, y):
        return paddle.concat([x, y], 1), paddle.concat([y, x, y], axis=-2), paddle.concat([x])

    more = [[normal(rng, 1, 1, 5), normal(rng, 1, 2, 5)]]
    check_op(model, normal(rng, 2, 3, 4), normal(rng, 2, 5, 4), more=more)


def test_concat_of_other_types(check_op):
    def model(x, y, z):
        return (
            paddle.concat([x, x], 0),
            paddle.concat([y, y], 1),
            paddle.concat([z, z], 0),
            paddle.concat([z[:0], z]),
        )

    check_op(
        model, np.array([True, False]), np.arange(6).reshape(2, 3), np.arange(4, dtype="int32"), dynamic=None
    )


def test_stack(check_op, rng):
    def model(x, y):
        return paddle.stack([x, y]), paddle.stack([x, y, x], axis=-1), paddle.stack([y, x], axis=1)

    check_op(model, normal(rng, 2, 3), normal(rng, 2, 3), more=[[normal(rng, 4, 1), normal(rng, 4, 1)]])
    check_op(lambda x: paddle.stack([x, x]), np.array(3, "int64"), dynamic=None)


def test_split_into_sections(check_op, rng):
    def model(x):
        return [
            *paddle.split(x, [1, -1, 2], 1),
            *paddle.split(x, [3, 3], -1),
            *paddle.split(x, 3, axis=2),
            *paddle.chunk(x, 2, 2),
        ]

    check_op(model, normal(rng, 2, 5, 6), dynamic=[(0, 1)], more=[[normal(rng, 1, 9, 6)]])


def test_split_of_a_dynamic_axis_into_equal_parts(check_op, rng):
    check_op(lambda x: paddle.split(x, 3, 1), normal(rng, 2, 6), more=[[normal(rng, 1, 12)]])


def test_unbind_and_unstack(check_op, rng):
    def model(x):
        return [*paddle.unbind(x, 1), *paddle.unbind(x, -1), *paddle.unstack(x, axis=1), *x.unbind(-2)]

    check_op(model, normal(rng, 2, 3, 4), dynamic=[(0,)], more=[[normal(rng, 5, 3, 4)]])
