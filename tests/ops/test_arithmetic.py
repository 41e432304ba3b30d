"""Arithmetic against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.5, 3.0], dtype="float32")


def _pairs(values):
    left, right = np.meshgrid(values, values, indexing="ij")
    return left.flatten().copy(), right.flatten().copy()


def test_floats_broadcast_over_any_axis(check_op, rng):
    def model(x, y, z, s):
        return x + y, x - y, x * z, z - x, x / (y * y + 1), paddle.maximum(x, s), paddle.minimum(s, y), s * x

    x, y, z = (rng.standard_normal(shape).astype("float32") for shape in ((2, 3, 4), (3, 1), (2, 1, 4)))
    s = np.array(0.25, dtype="float32")
    more = [[rng.standard_normal(shape).astype("float32") for shape in ((5, 2, 7), (2, 1), (5, 1, 7), ())]]
    check_op(model, x, y, z, s, dynamic=[(0, 1, 2), (0,), (0, 2), ()], more=more)


def test_in_place_forms(check_op, rng):
    def model(x, y):
        z = paddle._C_ops.add_(x * 1.5, y)
        z = paddle._C_ops.multiply_(z, y)
        z = paddle._C_ops.subtract_(z, x)
        z = paddle._C_ops.scale_(z, 2.0, 1.0, True)
        return paddle._C_ops.clip_(z, -3.0, 3.0)

    check_op(model, *(rng.standard_normal((3, 4)).astype("float32") for _ in range(2)))


def test_special_values_of_two_floats(check_op):
    def model(x, y):
        return (
            x + y,
            x * y,
            x / y,
            paddle.maximum(x, y),
            paddle.minimum(x, y),
            paddle.fmax(x, y),
            paddle.fmin(x, y),
            paddle.pow(x, y),
        )

    check_op(model, *_pairs(SPECIAL))


def test_division_of_floats_rounds_as_paddle_does(check_op, rng):
    def model(x, y):
        return x // y, x % y

    x, y = _pairs(np.array([7.0, -7.0, 0.3, -0.3, 6.0, -6.0, 0.1, 1e6], dtype="float32"))
    check_op(model, x, y, more=[[np.array([3.0, -3.0], "float32"), np.array([0.1, 0.1], "float32")]])


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_integers(check_op, dtype):
    def model(x, y):
        return (
            x + y,
            x - y,
            x * y,
            x // y,
            x % y,
            paddle.maximum(x, y),
            paddle.minimum(x, y),
            paddle.fmax(x, y),
            x / y,
            x // 3,
            x % -3,
            x * 2 + 1,
            x**2,
            7 - x,
        )

    check_op(model, *_pairs(np.array([7, -7, 1, -1, 3, -3, 100, 2], dtype=dtype)))


def test_integer_powers(check_op):
    x, y = _pairs(np.array([0, 1, 2, 3, -2, -1, 5], dtype="int64"))
    check_op(paddle.pow, x, np.abs(y))


def test_float64_and_bool(check_op, rng):
    def model(x, y, p, q):
        return x + y, x / y, x % y, paddle.add(p, q), paddle.multiply(p, q)

    p = np.array([True, True, False, False])
    q = np.array([True, False, True, False])
    check_op(model, rng.standard_normal(4), rng.standard_normal(4), p, q)


@pytest.mark.parametrize("exponent", [2, 3, 0.5, -1, 1, 2.5, -0.5, 0])
def test_powers_of_special_values(check_op, exponent):
    # Paddle's vectorised power loses the sign of an odd power of -Inf and of -0, C's pow does not.
    values = SPECIAL[~np.isneginf(SPECIAL) & ~((SPECIAL == 0) & np.signbit(SPECIAL))]
    check_op(lambda x: paddle.pow(x, exponent), values, dynamic=None)


def test_a_constant_zero_hides_no_nan(check_op):
    def model(x, y):
        zero = paddle.zeros([1])
        return x * 0.0, x * zero, zero / x, x / zero, paddle.zeros_like(x) / x, x * paddle.zeros_like(y)

    # Not -0, to which Paddle adds a bias of 0.
    check_op(model, *_pairs(np.unique(SPECIAL)))


def test_what_is_added_and_taken_away_leaves_its_trace(check_op):
    def model(x, y):
        return x + y - y, (x + 1.0) - (x + 1.0)

    check_op(model, *_pairs(np.append(SPECIAL, np.float32(1e9))))


def test_scale_takes_numbers_and_tensors(check_op, rng):
    def model(x, s, k):
        return (
            paddle.scale(x, 2.0, 1.0),
            paddle.scale(x, 2.0, 1.0, bias_after_scale=False),
            paddle.scale(x, s, -0.5),
            paddle.scale(x, s, 3.0, bias_after_scale=False),
            paddle.scale(k, 3, 2, bias_after_scale=False),
            -x,
            1.0 - x,
        )

    x, k = rng.standard_normal((2, 3)).astype("float32"), np.array([-3, 0, 4], "int64")
    check_op(model, x, np.array([1.7], "float32"), k, dynamic=[(0, 1), (), (0,)])


def test_clip_takes_numbers_and_tensors_and_keeps_nan(check_op):
    def model(x, low, k):
        return (
            paddle.clip(x, -1.0, 2.0),
            paddle.clip(x, min=0.5),
            paddle.clip(x, max=0.5),
            paddle.clip(x, low, 2.0),
            paddle.clip(k, -1, 2),
        )

    k = np.array([-5, -1, 0, 2, 9], "int64")
    check_op(model, SPECIAL, np.array([-0.25], "float32"), k, dynamic=[(0,), (), (0,)])


def test_lerp_and_sums_of_several(check_op, rng):
    def model(x, y):
        return paddle.lerp(x, y, 0.3), paddle.lerp(x, y, y), paddle.add_n([x, y, x]), paddle.atan2(x, y)

    check_op(model, *(rng.standard_normal((3, 4)).astype("float32") for _ in range(2)))


def test_zero_size_and_0d(check_op):
    def model(x, y):
        return x + x, x * 2.0, y * y, y + 1.0, paddle.maximum(y, y)

    check_op(model, np.zeros((0, 3), "float32"), np.array(-1.5, "float32"))


def test_constant_operands_of_one_element_keep_the_rank(check_op, rng):
    def model(x):
        one = paddle.full([1], 2.0)
        deep = paddle.full([1, 1, 1], 3.0)
        return x + one, x * deep, deep - x, paddle.maximum(x, deep)

    check_op(model, rng.standard_normal((2, 3)).astype("float32"))
