"""Diagonals and triangles against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest


def normal(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


def test_triangles(check_op, rng):
    def model(x):
        return [
            *(paddle.tril(x, offset) for offset in (0, 1, -2)),
            *(paddle.triu(x, offset) for offset in (0, 2, -1)),
        ]

    x = normal(rng, 2, 4, 5)
    x[0, 0, 4] = np.nan
    check_op(model, x, more=[[normal(rng, 1, 3, 2)]])


@pytest.mark.parametrize("dtype", ["int64", "int32", "bool"])
def test_triangles_of_other_types(check_op, dtype):
    check_op(lambda x: (paddle.tril(x), paddle.triu(x, 1)), np.arange(9).reshape(3, 3).astype(dtype))


def test_diagonals(check_op, rng):
    def model(x):
        return (
            paddle.diagonal(x),
            paddle.diagonal(x, 1, 1, 2),
            paddle.diagonal(x, -1, -1, 0),
            paddle.trace(x),
            paddle.trace(x, 1, -1, 0),
            paddle.diag(x[0]),
            paddle.diag(x[0], 1),
            paddle.diag(x[0], -1),
        )

    check_op(model, normal(rng, 3, 4, 5), more=[[normal(rng, 4, 4, 4)]])


def test_diagonal_matrices(check_op, rng):
    def model(x):
        return (
            paddle.diag_embed(x),
            paddle.diag_embed(x, 1),
            paddle.diag_embed(x, -2, 0, 2),
            paddle.diag_embed(x, 0, 2, 1),
            paddle.diag(x[0], 1, padding_value=3),
            paddle.diag(x[0], -1),
            paddle.diagflat(x),
        )

    check_op(model, normal(rng, 2, 3), more=[[normal(rng, 1, 2)]])


def test_trace_of_integers(check_op):
    check_op(lambda x: (paddle.trace(x), paddle.diag(x)), np.arange(12, dtype="int64").reshape(3, 4))
