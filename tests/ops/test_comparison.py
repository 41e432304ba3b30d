"""Comparisons, logic and choice against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.5], dtype="float32")


def _pairs(values):
    left, right = np.meshgrid(values, values, indexing="ij")
    return left.flatten().copy(), right.flatten().copy()


def _compare(x, y):
    return (x == y, x != y, x < y, x <= y, x > y, x >= y)


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64", "bool", "float64"])
def test_comparisons(check_op, dtype):
    values = SPECIAL if dtype.startswith("float") else np.array([0, 1, -1, 5])
    check_op(_compare, *_pairs(values.astype(dtype)))


def test_comparisons_of_nan_hold_where_they_are_fused(check_op):
    def model(x, y):
        undecided = paddle.logical_not(x < y)
        return (
            (x == x).astype("float32"),
            (x != x).astype("float32"),
            paddle.where(x + 0.5 == x + 0.5, x, paddle.zeros_like(x)),
            paddle.where(undecided, x, y),
            paddle.bitwise_not(x >= y).astype("int32"),
            paddle.logical_not(x == y).astype("int32"),
            ((x < y) | (x >= y)).astype("int32"),
            ((y <= x) | (y > x)).astype("int32"),
            paddle.where(x < 0, x + 1, paddle.where(x >= 0, x + 2, paddle.full_like(x, 3))),
        )

    check_op(model, *_pairs(SPECIAL))


def test_comparisons_broadcast_and_take_numbers(check_op, rng):
    x, y = rng.integers(-2, 3, (2, 3, 4)), rng.integers(-2, 3, (3, 1))
    check_op(lambda x, y: (x < y, y == x, x >= 1, x != 0), x, y, dynamic=[(0, 2), ()])


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_logic_takes_every_dtype(check_op, dtype):
    def model(x, y):
        return (
            paddle.logical_and(x, y),
            paddle.logical_or(x, y),
            paddle.logical_xor(x, y),
            paddle.logical_not(x),
        )

    values = SPECIAL if dtype == "float32" else np.array([0, 1, -1, 2])
    check_op(model, *_pairs(values.astype(dtype)))


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
def test_bits(check_op, dtype):
    check_op(
        lambda x, y: (
            paddle.bitwise_and(x, y),
            paddle.bitwise_or(x, y),
            paddle.bitwise_xor(x, y),
            paddle.bitwise_not(x),
        ),
        *_pairs(np.array([0, 1, 2, 100, 37]).astype(dtype)),
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_classes_of_values(check_op, dtype):
    values = SPECIAL if dtype.startswith("float") else np.array([1, 0, -4])
    check_op(lambda x: (paddle.isnan(x), paddle.isinf(x), paddle.isfinite(x)), values.astype(dtype))


def test_where(check_op, rng):
    def model(c, x, y, k):
        return paddle.where(c, x, y), paddle.where(c, k, k * 2), paddle._C_ops.where(x > y, x, y)

    c = rng.integers(0, 2, (3, 4)).astype(bool)
    x, y = (rng.standard_normal((3, 4)).astype("float32") for _ in range(2))
    check_op(model, c, x, y, rng.integers(0, 9, (3, 4)))


def test_0d_and_zero_size(check_op):
    def model(x, y):
        return x > 0, x == x, paddle.isnan(x), y < 1, paddle.logical_not(y > 0)

    check_op(model, np.array(2.0, "float32"), np.zeros((0, 2), "float32"))
