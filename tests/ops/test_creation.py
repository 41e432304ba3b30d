"""Operators that make tensors, against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle.nn import functional as F


def normal(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


class SizedBy(paddle.nn.Layer):
    """Results whose sizes are those of the input, and the input, so that it is used."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x, x.shape[0], x.shape[1]), x + 1


def test_constants(check_op, rng):
    def model(x):
        return (
            x + paddle.full([2, 1], 3, "float32"),
            paddle.full([], 7, "int64"),
            paddle.ones([2, 2], "bool"),
            paddle.zeros([0, 3]),
            paddle.assign(np.array([[1, -2], [3, 4]], "int64")),
            paddle.assign(np.array([True, False])),
            paddle.to_tensor(np.float64(0.1)),
            paddle.full([2], float("-inf")),
            paddle.eye(3, 4),
            paddle.eye(2, dtype="int64"),
            paddle.tril_indices(3, 4, 1),
            paddle.triu_indices(4, 3, -1),
            paddle.linspace(0, 10, 5),
            paddle.linspace(5, -5, 4, dtype="int32"),
            paddle.linspace(1, 2, 1),
        )

    check_op(model, normal(rng, 2, 3))


def test_ranges(check_op, rng):
    def model(x):
        return (
            x + paddle.arange(3, dtype="float32"),
            paddle.arange(5),
            paddle.arange(2, 11, 3),
            paddle.arange(9, 0, -2),
            paddle.arange(0, 1, 0.1),
            paddle.arange(1.5, 4),
            paddle.arange(3, 3),
            paddle.arange(5, dtype="int32"),
        )

    check_op(model, normal(rng, 2, 3))


def test_like_another_tensor(check_op, rng):
    def model(x, y):
        return (
            paddle.zeros_like(x),
            paddle.ones_like(x, dtype="int64"),
            paddle.full_like(y, 2.7),
            paddle.full_like(x, -1e30),
            paddle.full_like(x, True, dtype="bool"),
            x * 2,
            y + 1,
        )

    more = [[normal(rng, 1, 5), np.arange(2)]]
    check_op(model, normal(rng, 2, 3), np.arange(4), more=more)


def test_sizes_from_a_dynamic_shape(check_op, rng):
    def sized(x, rows, columns):
        return (
            paddle.full([rows, columns], 1.5),
            paddle.zeros([rows, 2, columns + 1], "int32"),
            paddle.full([columns], x[0, 0]),
            paddle.arange(rows, columns + 5),
            paddle.arange(columns, 0, -1),
            paddle.arange(0, columns, 2, dtype="float32"),
            paddle.eye(rows, columns),
            paddle.linspace(-1, 1, columns),
            paddle.ones([columns, columns], "bool"),
        )

    check_op(SizedBy(sized), normal(rng, 3, 4), more=[[normal(rng, 2, 7)], [normal(rng, 1, 1)]])


def test_assignments(check_op, rng):
    def model(x):
        return paddle.assign(x), paddle.clone(x), x.detach() + 1, paddle.assign(x, paddle.zeros([2, 3]))

    check_op(model, normal(rng, 2, 3), dynamic=[(0,)])


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_one_hot_and_sequence_mask(check_op, dtype):
    def model(x):
        return (
            F.one_hot(x, 6),
            F.one_hot(x[0, 0].reshape([1]), 6),
            F.sequence_mask(x, 4),
            F.sequence_mask(x, 3, dtype="float32"),
        )

    check_op(model, np.array([[0, 5, 2], [3, 1, 4]], dtype), more=[[np.array([[1], [5], [0]], dtype)]])


def test_sequence_mask_as_long_as_the_input(check_op, rng):
    class Mask(paddle.nn.Layer):
        def forward(self, x, lengths):
            return F.sequence_mask(lengths, x.shape[1], dtype="float32") * x

    more = [[normal(rng, 3, 7), np.array([7, 0, 2])]]
    check_op(Mask(), normal(rng, 2, 5), np.array([3, 5]), more=more)


def test_range_from_a_dynamic_start_joins_what_follows(check_op, rng):
    def positions(x, past):
        begin, length = paddle.shape(past)[0], paddle.shape(x)[0]
        return paddle.exp(paddle.arange(begin, begin + length).astype("float32") * -0.5), x

    check_op(positions, normal(rng, 5), normal(rng, 3), more=[[normal(rng, 2), normal(rng, 7)]])


def test_infinite_filling_of_dynamic_size(check_op, rng):
    def mask(x):
        size = paddle.shape(x)[0]
        return x + paddle.triu(paddle.full([size, size], -np.inf, "float32"), 1)

    check_op(mask, normal(rng, 4, 4), more=[[normal(rng, 2, 2)]])
