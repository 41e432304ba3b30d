"""Reductions against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

CASES = [(None, False), (None, True), (0, True), (-1, False), ([0, 2], True), ([-2], False)]


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod", "logsumexp"])
def test_floats_over_axes(check_op, rng, name):
    def model(x):
        return [getattr(paddle, name)(x, axis=axis, keepdim=keepdim) for axis, keepdim in CASES]

    x, y = (rng.standard_normal(shape).astype("float32") for shape in ((2, 3, 4), (3, 1, 5)))
    check_op(model, x, more=[[y]])


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_integers(check_op, rng, dtype):
    def model(x):
        names = ("sum", "max", "min", "amax", "amin", "prod")
        return [getattr(paddle, name)(x, axis=axis) for name in names for axis in (None, [-1])]

    check_op(model, rng.integers(-5, 6, (3, 4)).astype(dtype))


def test_sums_of_bools_and_of_a_dtype(check_op, rng):
    def model(b, x, k):
        return b.sum(), b.sum(axis=0), x.sum(dtype="float64"), k.sum(dtype="float32"), x.sum(dtype="int32")

    b = rng.integers(0, 2, (3, 4)).astype(bool)
    check_op(
        model, b, rng.standard_normal((3, 4)).astype("float32"), rng.integers(0, 9, (2, 3)).astype("int32")
    )


def test_a_sum_of_many_keeps_its_digits(check_op, rng):
    x = (1000 + rng.standard_normal((2, 40000))).astype("float32")
    check_op(lambda x: (x.sum(), x.mean(axis=1), x.mean()), x)


@pytest.mark.parametrize("dtype", ["bool", "float32", "int32"])
def test_all_and_any(check_op, rng, dtype):
    def model(x):
        return [
            getattr(paddle, name)(x, axis=axis, keepdim=keepdim)
            for name in ("all", "any")
            for axis, keepdim in ((None, False), (0, True), ([1, 2], False))
        ]

    x = rng.integers(0, 2, (2, 3, 2))
    x[0] = 1
    check_op(model, x.astype(dtype))


def test_extremes_of_special_values(check_op):
    x = np.array(
        [[np.nan, 1, 2], [1, np.nan, 2], [1, 2, np.nan], [-np.inf, -np.inf, -np.inf], [np.inf, 0, -np.inf]],
        "float32",
    )
    check_op(lambda x: (x.max(axis=1), x.min(axis=1), x.sum(axis=1), x.mean(axis=1)), x)


def test_logsumexp_of_large_and_infinite_values(check_op):
    x = np.array([[1e4, 1e4, -1e4], [-np.inf, 0, 1], [-200, -201, -np.inf]], "float32")
    check_op(lambda x: (paddle.logsumexp(x, axis=1), paddle.logsumexp(x, axis=0, keepdim=True)), x)


def test_logsumexp_of_rows_with_infinite_maximum(check_op):
    x = np.zeros((5, 9), "float32")
    x[0, 3], x[1], x[2, :2], x[3, 8] = np.inf, -np.inf, (np.inf, -np.inf), np.nan
    check_op(lambda x: (paddle.logsumexp(x, axis=1), paddle.logsumexp(x, axis=0), paddle.logsumexp(x)), x)


@pytest.mark.parametrize("order", [0, 1, 2, 3, 0.5, float("inf"), float("-inf")])
def test_norms(check_op, rng, order):
    def model(x):
        norm = paddle.linalg.norm
        return (
            norm(x, order, 1),
            norm(x, order, -1, True),
            paddle._C_ops.p_norm(x, order, -1, 1e-12, False, True),
        )

    x = rng.standard_normal((2, 3, 4)).astype("float32")
    x[0, 0, 0] = 0
    check_op(model, x)


def test_norms_of_matrices_and_dot(check_op, rng):
    def model(x, y):
        norm = paddle.linalg.norm
        return (
            norm(x, "fro", [0, 1]),
            norm(x, "fro", [1, 2], True),
            norm(x),
            norm(x, keepdim=True),
            paddle._C_ops.squared_l2_norm(x),
            paddle.nn.functional.normalize(x),
            paddle.dot(y, y * 2),
        )

    check_op(
        model, rng.standard_normal((2, 3, 4)).astype("float32"), rng.standard_normal((3, 5)).astype("float32")
    )


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
def test_argmax_and_argmin(check_op, rng, dtype):
    def model(x):
        return [
            function(x, *arguments)
            for function in (paddle.argmax, paddle.argmin)
            for arguments in ((), (0,), (-1, True), (1, False, "int32"), (None, True))
        ]

    # Many ties: the first counts.
    x = rng.integers(0, 3, (3, 4, 5)).astype(dtype)
    check_op(model, x, more=[[rng.integers(-3, 3, (2, 7, 1)).astype(dtype)]])


def test_argmax_of_infinities(check_op):
    x = np.array([[-np.inf, -np.inf], [np.inf, np.inf], [-1e38, -np.inf]], "float32")
    check_op(lambda x: (x.argmax(axis=1), x.argmin(axis=1)), x)


@pytest.mark.parametrize("length", [5, 64])
def test_argmax_passes_over_nan(check_op, length):
    rows = np.float32(np.arange(6 * length).reshape(6, length) % 7)
    rows[0, 2], rows[1, 0], rows[2, -1], rows[3] = np.nan, np.nan, np.nan, np.nan
    # Nothing here is above the lowest finite number, or below the highest.
    lowest = np.finfo("float32").min
    rows[4], rows[4, :3] = lowest, [np.nan, -np.inf, -np.inf]
    rows[5], rows[5, :3] = -lowest, [np.nan, np.inf, np.inf]
    check_op(lambda x: [f(x, axis=axis) for f in (paddle.argmax, paddle.argmin) for axis in (0, 1)], rows)


def test_0d(check_op):
    def model(x):
        return x.sum(), x.mean(), x.max(), x.min(), x.prod(), paddle.logsumexp(x), x.any(), x.argmax()

    check_op(model, np.array(-1.5, "float32"))


def test_zero_size(check_op):
    def model(x):
        return (
            x.sum(),
            x.sum(axis=0),
            x.sum(axis=1),
            x.prod(),
            x.max(axis=1),
            x.any(),
            x.all(axis=0),
            x.mean(),
        )

    check_op(model, np.zeros((0, 3), "float32"))


def test_float64(check_op, rng):
    check_op(lambda x: (x.sum(), x.mean(axis=0), x.max(), paddle.logsumexp(x)), rng.standard_normal((3, 4)))
