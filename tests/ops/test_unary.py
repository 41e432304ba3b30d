"""Mathematical functions against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

NEAR_ZERO = [0.0, -0.0, 1e-3, -1e-3, 3e-5, 0.1, -0.25]
FINITE = np.array([*NEAR_ZERO, 0.5, -0.5, 0.99, -0.99, 1.0, -1.0, 2.5, -2.5, 7.0, -7.0], dtype="float32")
LARGE = np.array([20, -20, 80, -80, 88.5, -90, 1e4, -1e4, 1e30, np.inf, -np.inf, np.nan], dtype="float32")
ALL = np.concatenate([FINITE, LARGE])


def _functions(*names):
    return lambda x: [getattr(paddle, name)(x) for name in names]


def test_functions_defined_everywhere(check_op):
    names = [
        "exp",
        "expm1",
        "abs",
        "floor",
        "ceil",
        "trunc",
        "square",
        "reciprocal",
        "sign",
        "erf",
        "atan",
        "sinh",
        "cosh",
        "asinh",
        "tanh",
    ]
    check_op(_functions(*names), ALL)


def test_functions_with_domains(check_op):
    check_op(
        _functions("sqrt", "rsqrt", "log", "log2", "log10", "log1p", "asin", "acos", "acosh", "atanh"), ALL
    )


def test_periodic_functions(check_op):
    check_op(_functions("sin", "cos", "tan"), np.append(FINITE, [20, -80, 1000]).astype("float32"))


def test_lgamma_and_logit(check_op):
    x = np.array([0.1, 0.5, 0.9, 1.5, 3.0, 20.0], dtype="float32")
    check_op(lambda x: (paddle.lgamma(x), paddle.logit(x), paddle.logit(x, 0.2)), x)


def test_small_values_keep_their_digits(check_op):
    x = np.array([1e-4, -1e-4, 2e-6, 3e-8, -4e-10], dtype="float32")
    scaled = lambda x: [getattr(paddle, name)(x) * 1e10 for name in ("expm1", "log1p", "sinh", "atanh")]  # noqa: E731
    check_op(scaled, x)


def test_round_goes_to_even(check_op):
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 2.345, -2.355, 1e20, np.inf, np.nan], dtype="float32")
    check_op(lambda x: (paddle.round(x), paddle.round(x, 2), paddle.round(x * 100, -1)), x)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_integers(check_op, dtype):
    names = [
        "abs",
        "floor",
        "ceil",
        "round",
        "square",
        "sign",
        "sqrt",
        "exp",
        "log1p",
        "sin",
        "reciprocal",
        "rsqrt",
    ]
    check_op(_functions(*names), np.array([1, 4, 7, 12], dtype=dtype))
    check_op(_functions("abs", "sign", "square"), np.array([-3, 0, 5], dtype=dtype), dynamic=None)


def test_float64(check_op):
    check_op(
        _functions("exp", "log", "sqrt", "tanh", "erf", "expm1", "sinh", "floor"), np.array([0.1, 2.0, 30.0])
    )


def test_in_place_forms(check_op):
    def model(x):
        y = x * 1.0
        for name in ("exp_", "sqrt_", "reciprocal_", "floor_", "tanh_"):
            y = getattr(paddle._C_ops, name)(y)
        return y

    check_op(model, np.array([0.3, -2.0, 1.0], dtype="float32"))


@pytest.mark.parametrize("source", ["float32", "float64", "int32", "int64", "bool", "uint8"])
def test_cast(check_op, source):
    values = (
        np.array([0, 1, 2, 100, 7]) if source in ("bool", "uint8") else np.array([0, 0.5, -1.7, 2.9, -100])
    )
    targets = ("float32", "float64", "int32", "int64", "bool")
    check_op(lambda x: [x.astype(target) for target in targets], values.astype(source))


def test_0d_and_zero_size(check_op):
    def model(x, y):
        return paddle.exp(x), paddle.floor(x), paddle.exp(y), paddle.log10(y)

    check_op(model, np.array(1.5, "float32"), np.zeros((2, 0), "float32"))
