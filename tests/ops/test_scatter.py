"""Writing by index tensors against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

both_index_types = pytest.mark.parametrize("dtype", ["int32", "int64"])


def normal(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


@both_index_types
def test_scatter(check_op, rng, dtype):
    def model(x, i, u):
        return paddle.scatter(x, i, u), paddle.scatter(x, i, u, overwrite=False), paddle.scatter_(x + 0, i, u)

    index = np.array([3, 1, 3], dtype)
    more = [[normal(rng, 6, 70), np.array([5, 0], dtype), normal(rng, 2, 70)]]
    check_op(model, normal(rng, 5, 3), index, normal(rng, 3, 3), more=more)


@both_index_types
def test_scatter_nd(check_op, rng, dtype):
    def model(x, i, u, v):
        return (
            paddle.scatter_nd_add(x, i, u),
            paddle.scatter_nd_add(x, i[:, :1], v),
            paddle.scatter_nd(i, u, [4, 5, 2]),
        )

    index = np.array([[0, 1], [3, 4], [0, 1]], dtype)
    inputs = normal(rng, 4, 5, 2), index, normal(rng, 3, 2), normal(rng, 3, 5, 2)
    check_op(model, *inputs, dynamic=[(0, 1), (0,), (0,), (0, 1)])


@both_index_types
@pytest.mark.parametrize("accumulate", [False, True])
def test_index_put(check_op, rng, dtype, accumulate):
    def model(x, i, j, u):
        return (
            paddle.index_put(x, (i,), u[:1], accumulate),
            paddle.index_put(x, (i, j), u, accumulate),
            paddle.index_put(x, (i.unsqueeze(1), j), u[0, 0], accumulate),
        )

    i, j = np.array([0, 2], dtype), np.array([1, -1], dtype)
    check_op(
        model,
        normal(rng, 3, 4, 5),
        i,
        j,
        normal(rng, 2, 5),
        more=[[normal(rng, 4, 2, 3), i, j, normal(rng, 2, 3)]],
    )


def test_index_put_through_a_mask(check_op, rng):
    def model(x, mask, rows):
        return (
            paddle.index_put(x, (mask,), paddle.full([], 2.0)),
            paddle.index_put(x, (rows,), paddle.full([1], -1.0)),
            paddle.index_put(x, (mask,), paddle.full([1], 0.5), accumulate=True),
        )

    mask = rng.random((3, 4)) > 0.4
    check_op(model, normal(rng, 3, 4), mask, mask[:, 0], more=[[normal(rng, 2, 4), mask[:2], mask[:2, 1]]])


@both_index_types
def test_index_add_and_fill(check_op, rng, dtype):
    def model(x, i, u):
        return (
            paddle.index_add(x, i, 0, u),
            paddle.index_add(x, i, -1, paddle.transpose(u, [1, 0])[:, :3]),
            paddle.index_fill(x, i, 1, 9.0),
        )

    check_op(model, normal(rng, 4, 4), np.array([1, 0, 1], dtype), normal(rng, 3, 4), dynamic=[(), (0,), ()])


@pytest.mark.parametrize("reduce", ["assign", "add", "multiply", "amin", "amax"])
def test_put_along_axis(check_op, rng, reduce):
    def model(x, i, v):
        return (
            paddle.put_along_axis(x, i, v, 1, reduce),
            paddle.put_along_axis(x, i, v, 1, reduce, include_self=False),
        )

    index = np.array([[0, 2], [1, 1], [2, 0]])
    more = [[normal(rng, 3, 5), index[:, :1], normal(rng, 3, 1)]]
    check_op(model, normal(rng, 3, 4), index, normal(rng, 3, 2), more=more)


def test_put_along_axis_broadcasts_a_value_or_covers_a_part(check_op, rng):
    def model(x, i, v):
        return (
            paddle.put_along_axis(x, i, 2.0, 1),
            paddle.put_along_axis(x, i[:2], v[:2], 0, "add", broadcast=False),
        )

    index = np.array([[0, 2], [1, 1], [2, 0]], "int32")
    check_op(
        model,
        normal(rng, 3, 4),
        index,
        normal(rng, 3, 2),
        more=[[normal(rng, 3, 5), index, normal(rng, 3, 2)]],
    )


def test_scatter_of_integers_and_bools(check_op):
    def model(x, y, i):
        return (
            paddle.scatter(x, i, x[:2] * 10),
            paddle.put_along_axis(y, i.unsqueeze(1), y[:, :1] * 5, 1),
            x * 2,
        )

    check_op(
        model,
        np.arange(8, dtype="int64").reshape(4, 2),
        np.arange(6, dtype="int32").reshape(2, 3),
        np.array([3, 0]) % 3,
    )
