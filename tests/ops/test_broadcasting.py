"""Expand, tile, repeat and their kin against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest


def normal(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


def test_expand(check_op, rng):
    def model(x):
        return (
            paddle.expand(x, [3, 4]),
            paddle.expand(x, [2, 3, 4]),
            paddle.expand(x, [5, -1, 4]),
            paddle.broadcast_to(x, [2, 2, 3, 4]),
            x.expand([-1, -1]),
        )

    check_op(model, normal(rng, 3, 1), dynamic=[(0,)])
    check_op(lambda x: paddle.expand(x, [2, 3]), np.array(7, "int32"), dynamic=None)


def test_expand_as(check_op, rng):
    more = [[normal(rng, 1, 5), normal(rng, 2, 3, 5)]]
    check_op(paddle.expand_as, normal(rng, 1, 4), normal(rng, 2, 3, 4), dynamic=[(1,), (0, 1, 2)], more=more)


def test_broadcast_tensors_and_meshgrid(check_op, rng):
    check_op(
        lambda x, y: paddle.broadcast_tensors([x, y]),
        normal(rng, 3, 1),
        normal(rng, 2, 1, 4),
        dynamic=[(0,), (0, 2)],
    )
    x, y, z = np.arange(3, dtype="int64"), np.arange(4, dtype="int64"), np.arange(2, dtype="int64")
    check_op(lambda *xs: paddle.meshgrid(*xs), x, y, z, more=[[y, z, x]])


@pytest.mark.parametrize("repeats", [[2, 3], [1, 4, 1], [2, 1, 1, 3], [2]])
def test_tile(check_op, rng, repeats):
    check_op(lambda x: paddle.tile(x, repeats), normal(rng, 2, 1, 3), more=[[normal(rng, 1, 2, 2)]])


def test_tile_of_scalar_integer_and_bool(check_op):
    def model(x, y):
        return paddle.tile(x, [3]), paddle.tile(x, []), paddle.tile(y, [2, 2])

    check_op(model, np.array(5, "int64"), np.array([True, False]), dynamic=[(), (0,)])


def test_repeat_interleave(check_op, rng):
    def model(x):
        return (
            paddle.repeat_interleave(x, 2, 1),
            paddle.repeat_interleave(x, 3, -1),
            paddle.repeat_interleave(x, 2),
        )

    check_op(model, normal(rng, 2, 3, 4), more=[[normal(rng, 1, 2, 5)]])
