"""Normalisations against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from paddle_tvm.runtime.errors import UnsupportedModelError


@pytest.fixture
def randomised(rng):
    """Parameters and statistics that are not those of initialisation."""

    def randomise(layer):
        for name, value in layer.state_dict().items():
            low = 0.5 if "var" in name else -1.0
            value.set_value(rng.uniform(low, 2, value.shape).astype(str(value.dtype).split(".")[-1]))
        return layer

    return randomise


def normal(rng, *shape, offset=0.5, dtype="float32"):
    return (rng.standard_normal(shape) + offset).astype(dtype)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm2D(3), (2, 3, 4, 5)),
        (nn.BatchNorm2D(3, weight_attr=False, bias_attr=False, epsilon=1e-3), (2, 3, 4, 5)),
        (nn.BatchNorm2D(3, data_format="NHWC"), (2, 4, 5, 3)),
        (nn.BatchNorm1D(3), (4, 3)),
        (nn.BatchNorm1D(3), (4, 3, 5)),
        (nn.BatchNorm1D(3, data_format="NLC"), (4, 5, 3)),
        (nn.BatchNorm3D(3), (1, 3, 2, 3, 2)),
        (nn.BatchNorm2D(3, use_global_stats=True), (2, 3, 4, 5)),
    ],
)
def test_batch_norm(check_op, rng, randomised, layer, shape):
    check_op(randomised(layer), normal(rng, *shape))


def test_batch_norm_of_statistics_that_are_inputs(check_op, rng):
    def norm(x, mean, variance, scale, bias):
        return F.batch_norm(x, mean, variance, scale, bias), F.batch_norm(x, mean, variance, None, None)

    vectors = [normal(rng, 3), rng.uniform(0.5, 2, 3).astype("float32"), normal(rng, 3), normal(rng, 3)]
    check_op(norm, normal(rng, 2, 3, 4), *vectors)


def test_batch_norm_by_its_own_batch_is_refused(check_op, rng):
    def norm(x, mean, variance):
        flags = (True, 0.9, 1e-5, "NCHW", False, True)
        return paddle._C_ops.batch_norm(x, mean, variance, None, None, *flags)[0]

    vectors = [np.ones(3, "float32")] * 2
    with pytest.raises(UnsupportedModelError, match=r"batch_norm.*training"):
        check_op(norm, normal(rng, 2, 3, 4, 4), *vectors)


def test_layer_norm(check_op, rng):
    def norms(x, scale, bias, flat):
        return (
            F.layer_norm(x, [6], scale, bias),
            F.layer_norm(x, [6], None, bias, epsilon=1e-3),
            F.layer_norm(x, [6]),
            F.layer_norm(x, [4, 6], flat, flat),
            F.layer_norm(x, [4, 6]),
        )

    inputs = [normal(rng, 2, 4, 6), normal(rng, 6), normal(rng, 6), normal(rng, 24)]
    check_op(norms, *inputs, dynamic=[(0,), (), (), ()], more=[[normal(rng, 5, 4, 6), *inputs[1:]]])


def test_layer_norm_far_from_zero_double_and_dynamic(check_op, rng):
    check_op(nn.LayerNorm(64), normal(rng, 2, 3, 64, offset=10), dynamic=[(0, 1)])
    inputs = [normal(rng, 3, 6, dtype="float64"), normal(rng, 6, dtype="float64")]
    check_op(lambda x, scale: F.layer_norm(x, [6], scale), *inputs, dynamic=[(0,), ()])


def test_group_norm(check_op, rng, randomised):
    class Norms(nn.Layer):
        def __init__(self):
            super().__init__()
            self.affine = nn.GroupNorm(2, 6)
            self.plain = nn.GroupNorm(3, 6, epsilon=1e-2, weight_attr=False, bias_attr=False)
            self.last = nn.GroupNorm(2, 6, data_format="NHWC")

        def forward(self, x, y):
            return self.affine(x), self.plain(x), self.last(y)

    inputs = [normal(rng, 2, 6, 4, 5), normal(rng, 2, 4, 5, 6)]
    check_op(randomised(Norms()), *inputs, dynamic=[(0, 2, 3), (0, 1, 2)])


@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 5), (2, 6, 2, 3, 2)])
def test_group_norm_of_other_ranks(check_op, rng, randomised, shape):
    check_op(randomised(nn.GroupNorm(3, 6)), normal(rng, *shape), dynamic=[(0, *range(2, len(shape)))])


def test_instance_norm(check_op, rng, randomised):
    check_op(randomised(nn.InstanceNorm2D(3)), normal(rng, 2, 3, 4, 5), dynamic=[(0, 2, 3)])
    check_op(nn.InstanceNorm1D(3, weight_attr=False, bias_attr=False), normal(rng, 2, 3, 7))
    check_op(randomised(nn.InstanceNorm3D(2)), normal(rng, 1, 2, 3, 2, 4), dynamic=[(0,)])


def test_rms_norm(check_op, rng):
    from paddle.incubate.nn.functional import fused_rms_norm

    def norms(x, scale, bias):
        return (
            fused_rms_norm(x, scale, bias, 1e-5, 2)[0],
            fused_rms_norm(x, scale, None, 1e-2, 2)[0],
            *fused_rms_norm(x, scale, bias, 1e-5, 2, bias=bias, residual=x * 2.0)[:2],
        )

    inputs = [normal(rng, 2, 3, 6), normal(rng, 6), normal(rng, 6)]
    check_op(norms, *inputs, dynamic=[(0, 1), (), ()])


def test_local_response_norm_and_normalise(check_op, rng):
    check_op(lambda x: F.local_response_norm(x, 3), normal(rng, 2, 5, 3, 4), dynamic=None)
    check_op(lambda x: F.normalize(x, axis=1), normal(rng, 2, 5, 3), dynamic=None)


def test_constant_rows_and_special_values(check_op):
    x = np.zeros((3, 4), "float32")
    x[1], x[2] = 7, [np.inf, 1, np.nan, 2]
    check_op(lambda x: F.layer_norm(x, [4]), x, dynamic=[(0,)])
