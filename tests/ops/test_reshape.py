"""Reshape, transpose and their kin against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddle_tvm.runtime.errors import UnsupportedModelError


def normal(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


def test_reshape_copies_and_infers_dimensions(check_op, rng):
    def model(x):
        return (
            paddle.reshape(x, [0, -1]),
            paddle.reshape(x, [-1]),
            paddle.reshape(x, [-1, 0, 8]),
            paddle.reshape(x, [0, 0, 2, 2, -1]),
            paddle.reshape(x, [1, 0, -1, 4, 2]),
        )

    check_op(
        model, normal(rng, 2, 3, 8), dynamic=[(0, 1)], more=[[normal(rng, 4, 3, 8)], [normal(rng, 1, 1, 8)]]
    )


def test_reshape_of_scalars_and_integers(check_op):
    def model(x, y):
        return paddle.reshape(x, [1, 1]), paddle.reshape(y, []), paddle.flatten(x), paddle.reshape(y, [-1])

    check_op(model, np.array(3, "int64"), np.array([4], "int32"), dynamic=None)


def test_reshape_of_no_elements(check_op):
    def model(x):
        return (
            paddle.reshape(x, [3, 0]),
            paddle.reshape(x, [-1, 3]),
            paddle.reshape(x, [0, -1]),
            x.transpose([1, 0]),
            paddle.flatten(x),
        )

    check_op(model, np.zeros((0, 3), "float32"), dynamic=None)


def test_flatten(check_op, rng):
    def model(x):
        return paddle.flatten(x), paddle.flatten(x, 1, 2), paddle.flatten(x, -3, -2), paddle.flatten(x, 2)

    check_op(model, normal(rng, 2, 3, 4, 5), more=[[normal(rng, 1, 6, 2, 3)]])


def test_squeeze_and_unsqueeze(check_op, rng):
    def model(x):
        return (
            paddle.squeeze(x, 1),
            paddle.squeeze(x, [-1, 1]),
            paddle.squeeze(x, 0),
            paddle.unsqueeze(x, 0),
            paddle.unsqueeze(x, [-1, 2]),
            paddle.unsqueeze(x, [1, 0, 1]),
        )

    check_op(model, normal(rng, 3, 1, 4, 1), dynamic=[(2,)], more=[[normal(rng, 3, 1, 1, 1)]])


def test_squeeze_of_a_dynamic_axis_takes_it_to_be_one(check_op, rng):
    check_op(lambda x: paddle.squeeze(x, 1), normal(rng, 3, 1, 4), more=[[normal(rng, 2, 1, 5)]])


def test_squeeze_without_axes(check_op, rng):
    check_op(lambda x: (paddle.squeeze(x), x + 1), normal(rng, 1, 3, 1, 4), dynamic=None)
    with pytest.raises(UnsupportedModelError, match="--shape"):
        check_op(paddle.squeeze, normal(rng, 3, 1))


def test_transpose(check_op, rng):
    def model(x):
        return x.transpose([2, 0, 1]), x.transpose([-1, 1, 0]), x.T, paddle.moveaxis(x, 0, -1)

    check_op(model, normal(rng, 2, 3, 4), more=[[normal(rng, 5, 1, 2)]])
    check_op(lambda x: paddle.t(x) + 1, normal(rng, 4), dynamic=None)


def test_in_place_forms(check_op, rng):
    def model(x):
        return paddle.unsqueeze_(paddle.flatten_(paddle.squeeze_(paddle.reshape_(x + 0, [2, 1, -1]), 1)), 0)

    check_op(model, normal(rng, 2, 6), dynamic=[(1,)], more=[[normal(rng, 2, 3)]])
