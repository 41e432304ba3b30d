"""Slices against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest


def normal(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


def test_slice_bounds(check_op, rng):
    def model(x):
        return (
            x[:, 1:3],
            x[:, :-1],
            x[-2:, -3:-1],
            x[:, 2:],
            x[:, :100],
            x[-100:, 1:],
            x[..., 1],
            x[0],
            x[-1, :, 2:],
            x[:, -1],
            x[:, 1:2, 0],
        )

    check_op(model, normal(rng, 3, 5, 4), more=[[normal(rng, 2, 4, 6)], [normal(rng, 4, 3, 3)]])


def test_slice_to_a_scalar(check_op):
    def model(x):
        return x[1, 2], x[-1, -1]

    check_op(model, np.arange(6).reshape(2, 3), more=[[np.arange(20).reshape(4, 5)]])


def test_slice_that_is_longer_than_the_axis(check_op, rng):
    check_op(lambda x: x[:, 2:6] + 1, normal(rng, 2, 8), more=[[normal(rng, 2, 4)], [normal(rng, 3, 3)]])


def test_strided_slice(check_op, rng):
    def model(x):
        return (
            x[:, ::2],
            x[:, 1::3, 1:-1:2],
            x[..., ::-1],
            x[:, ::-2],
            x[:, 4:1:-1],
            x[:, -2:-5:-2],
            paddle.strided_slice(x, [0, 2], [0, 3], [2, 0], [1, -1]),
            x[::-1, :, ::3],
        )

    check_op(model, normal(rng, 3, 7, 5), more=[[normal(rng, 2, 6, 6)], [normal(rng, 4, 5, 4)]])


def test_slice_of_integers_and_bools(check_op):
    def model(x, y):
        return x[1:, ::2], y[::-1], x[:, 1]

    check_op(model, np.arange(12, dtype="int32").reshape(3, 4), np.array([True, False, False]))


def test_slice_at_an_index_from_the_input(check_op, rng):
    class Rows(paddle.nn.Layer):
        def forward(self, x, i):
            return x[i]

    more = [[normal(rng, 2, 5), np.array(-1, "int64")]]
    check_op(Rows(), normal(rng, 3, 4), np.array(1, "int64"), more=more)


def test_crop_and_flip(check_op, rng):
    def model(x):
        return (
            paddle.crop(x, [2, 2], [0, 1]),
            paddle.crop(x, [-1, 3], [1, 0]),
            paddle.flip(x, [0]),
            paddle.flip(x, [-1, 0]),
            paddle.rot90(x),
            paddle.rot90(x, 2),
        )

    check_op(model, normal(rng, 3, 4), dynamic=None)
    check_op(
        lambda x: (paddle.flip(x, [1]), paddle.rot90(x, -1)), normal(rng, 3, 4), more=[[normal(rng, 1, 2)]]
    )


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_set_value(check_op, dtype):
    def model(x):
        y = paddle.static.setitem(
            x + paddle.zeros([1], dtype) if dtype != "bool" else paddle.assign(x), (slice(None), 0), 1
        )
        y = paddle.static.setitem(y, (-1, slice(1, 3)), 0)
        y = paddle.static.setitem(y, (slice(None, None, 2), slice(None, None, 3)), 1)
        return paddle.static.setitem(y, (slice(None, None, -2), -1), 0)

    x = np.arange(30).reshape(5, 6).astype(dtype)
    check_op(model, x, more=[[x[:3, :5]]])


def test_set_value_with_tensor(check_op, rng):
    def model(x, v):
        a = paddle.static.setitem(x * 1, (slice(1, 3),), v)
        b = paddle.static.setitem(x * 2, (slice(None), slice(None, None, 2)), v[:1, 1:3])
        c = paddle.static.setitem(x * 3, (0,), v[0])
        d = paddle.static.setitem(x * 4, (slice(None), None, slice(-2, None)), v[:1, None, :2])
        e = paddle.static.setitem(x * 5, (slice(2, None, -1), slice(None, None, -1)), v[0])
        return a, b, c, d, e

    check_op(
        model,
        normal(rng, 4, 4),
        normal(rng, 2, 4),
        dynamic=[(0,), ()],
        more=[[normal(rng, 6, 4), normal(rng, 2, 4)]],
    )


def test_set_value_of_a_whole_tensor(check_op, rng):
    check_op(lambda x: paddle.static.setitem(x, (slice(None),), 2.5), normal(rng, 2, 3))
    check_op(
        lambda x: paddle.static.setitem(x, (Ellipsis, 1), np.arange(3, dtype="float32")),
        normal(rng, 3, 2),
        dynamic=[(1,)],
    )


def test_assignment_changes_the_tensor_for_later_readers(check_op, rng):
    def model(x, y):
        doubled = x * 2
        paddle.static.setitem(doubled, (slice(None), 0), 5.0)
        after = doubled + 1
        total = paddle.zeros([2, 3])
        paddle.assign(y, total)
        return after, paddle.nn.functional.relu_(y + 0), total * 2

    check_op(
        model,
        normal(rng, 2, 3),
        normal(rng, 2, 3),
        dynamic=[(0,), ()],
        more=[[normal(rng, 4, 3), normal(rng, 2, 3)]],
    )


def test_masked_fill(check_op, rng):
    def model(x, mask):
        return paddle.masked_fill(x, mask, -1.0), paddle.masked_fill(x, mask[0], x[0, 0])

    x, mask = normal(rng, 3, 4), rng.random((3, 4)) > 0.5
    check_op(model, x, mask, more=[[x[:2], mask[1:]]])


def test_backwards_over_an_axis_of_unknown_size(check_op, rng):
    x = rng.standard_normal((1, 5, 8, 7)).astype("float32")
    more = [[rng.standard_normal((1, 5, 1, 1)).astype("float32")]]
    check_op(lambda x: (x[:, :, ::-1], x[:, :, ::-2] * 2, x[..., ::-1]), x, dynamic=[(2, 3)], more=more)
