"""Exponentials and their kin, as the x86 target writes them out, against double precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
from kernel_build import run_graph
from tvm import relax

LIMITS = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 3e38, -3e38, 1e-20, -1e-20]
VALUES = np.concatenate(
    [LIMITS, np.linspace(-110, 95, 60001), np.linspace(-1, 1, 40001), np.geomspace(1e-38, 1e38, 30001)]
).astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("mcpu", ["haswell", None])
@pytest.mark.parametrize(
    ("operator", "exact"),
    [
        (relax.op.exp, np.exp),
        (relax.op.log, np.log),
        (relax.op.sigmoid, sigmoid),
        (relax.op.tanh, np.tanh),
        (relax.op.erf, np.vectorize(math.erf)),
    ],
)
def test_error_is_a_few_units_in_the_last_place(operator, exact, mcpu):
    with np.errstate(all="ignore"):
        expected = exact(VALUES.astype("float64")).astype("float32")
    actual = run_graph([VALUES.shape], lambda builder, x: operator(x), VALUES, mcpu=mcpu)
    special = ~np.isfinite(expected)
    np.testing.assert_array_equal(actual[special], expected[special])
    # Beyond are numbers that have fewer digits.
    np.testing.assert_allclose(actual[~special], expected[~special], rtol=2e-6, atol=1e-37)


@pytest.mark.parametrize("operator", [relax.op.tanh, relax.op.erf])
def test_limits_are_reached(operator):
    far = np.array([-1e30, -100, -9.5, 9.5, 100, 1e30], "float32")
    np.testing.assert_array_equal(run_graph([far.shape], lambda builder, x: operator(x), far), np.sign(far))
