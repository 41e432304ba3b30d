"""Cumulative operators against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest


def _cumsum(x, axis, flatten, exclusive, reverse):
    return paddle._C_ops.cumsum(x, axis, flatten, exclusive, reverse)


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_cumsum(check_op, rng, dtype):
    def model(x):
        by_axis = [_cumsum(x, axis, False, False, False) for axis in (0, 1, -1)]
        modes = [_cumsum(x, 1, False, *mode) for mode in ((True, False), (False, True), (True, True))]
        return (*by_axis, *modes, paddle.cumsum(x), _cumsum(x, -1, True, True, True))

    x, y = ((10 * rng.standard_normal(shape)).astype(dtype) for shape in ((2, 5, 3), (3, 1, 70)))
    check_op(model, x, more=[[y]])


def test_cumsum_of_int32_and_bool_and_of_a_dtype(check_op):
    def model(x, b):
        return paddle.cumsum(x, 0), paddle.cumsum(x, 0, dtype="float32"), paddle.cumsum(b.astype("int64"))

    check_op(model, np.array([[1, -2], [3, 4]], "int32"), np.array([True, False, True]))


def test_cumprod(check_op, rng):
    def model(x):
        modes = [paddle._C_ops.cumprod(x, 1, *mode) for mode in ((True, False), (False, True), (True, True))]
        return (*(paddle.cumprod(x, axis) for axis in (0, -1)), *modes)

    check_op(model, rng.standard_normal((2, 5, 3)).astype("float32"))


def test_logcumsumexp(check_op):
    def model(x):
        return (
            paddle.logcumsumexp(x, 1),
            paddle.logcumsumexp(x, 0),
            paddle._C_ops.logcumsumexp(x, 1, False, False, True),
            paddle.logcumsumexp(x),
        )

    check_op(model, np.array([[1, 200, -200, 3], [0, -1, 5, 5]], "float32"))


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_cummax_and_cummin(check_op, rng, dtype):
    def model(x):
        return (*paddle.cummax(x, 1), *paddle.cummin(x, 0, dtype="int32"), *paddle.cummax(x, -1))

    check_op(model, rng.integers(-3, 4, (3, 6, 2)).astype(dtype))


def test_cummax_keeps_nan(check_op):
    check_op(lambda x: (*paddle.cummax(x, 0), *paddle.cummin(x, 0)), np.float32([1, np.nan, 0, np.nan, 9, 2]))


def test_zero_size_and_one_element(check_op):
    check_op(
        lambda x, y: (paddle.cumsum(x, 1), paddle.cumsum(y, 0)), np.zeros((2, 0), "float32"), np.float32([3])
    )
