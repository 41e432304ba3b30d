"""Pooling against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddle_tvm.runtime.errors import UnsupportedModelError

SPATIAL = [(0, 2, 3)]


@pytest.fixture
def x(rng):
    return rng.standard_normal((2, 3, 9, 8)).astype("float32")


def test_max_pool2d(check_op, rng, x):
    def pools(x):
        return (
            F.max_pool2d(x, 2),
            F.max_pool2d(x, (3, 2), stride=(2, 1), padding=1),
            F.max_pool2d(x, 3, stride=2, padding=[0, 1, 1, 0]),
            F.max_pool2d(x, 3, stride=2, ceil_mode=True),
            F.max_pool2d(x, 3, stride=2, padding="SAME"),
            F.max_pool2d(x, 2, stride=3, padding="VALID"),
        )

    check_op(pools, x, dynamic=SPATIAL, more=[[rng.standard_normal((1, 3, 6, 11)).astype("float32")]])


def test_average_pool2d_counts_padding_or_not(check_op, rng, x):
    def pools(x):
        return (
            F.avg_pool2d(x, 2),
            F.avg_pool2d(x, 3, stride=2, padding=1),
            F.avg_pool2d(x, 3, stride=2, padding=1, exclusive=False),
            F.avg_pool2d(x, 3, stride=2, padding=[0, 1, 1, 0]),
            F.avg_pool2d(x, 3, stride=2, padding=[0, 1, 1, 0], exclusive=False),
            F.avg_pool2d(x, (2, 3), divisor_override=5),
        )

    check_op(pools, x, dynamic=SPATIAL, more=[[rng.standard_normal((1, 3, 6, 11)).astype("float32")]])


def test_average_pool2d_ceil_and_same(check_op, rng, x):
    def pools(x):
        return (
            F.avg_pool2d(x, 3, stride=2, ceil_mode=True),
            F.avg_pool2d(x, 2, stride=2, padding=1, ceil_mode=True, exclusive=False),
            F.avg_pool2d(x, 3, stride=2, padding="SAME"),
            F.avg_pool2d(x, 3, stride=2, padding="SAME", exclusive=False),
        )

    check_op(pools, x, dynamic=SPATIAL, more=[[rng.standard_normal((1, 3, 6, 11)).astype("float32")]])


def test_adaptive_average_pool2d(check_op, rng, x):
    def pools(x):
        return (
            F.adaptive_avg_pool2d(x, 1),
            F.adaptive_avg_pool2d(x, (3, 4)),
            F.adaptive_avg_pool2d(x, (5, 3)),
            F.adaptive_avg_pool2d(x, (1, 12)),
        )

    sizes = [(1, 3, 4, 13), (2, 3, 16, 3)]
    check_op(pools, x, dynamic=SPATIAL, more=[[rng.standard_normal(s).astype("float32")] for s in sizes])


def test_adaptive_pool2d_to_the_size_of_another_tensor(check_op, rng, x):
    like = rng.standard_normal((2, 1, 4, 3)).astype("float32")

    def pool(x, like):
        return paddle._C_ops.pool2d(
            x, paddle.shape(like)[2:], [1, 1], [0, 0], False, True, "NCHW", "avg", False, True, "EXPLICIT"
        )

    check_op(pool, x, like, dynamic=[(2, 3), (2, 3)])


def test_adaptive_maximum_and_indices(check_op, rng, x):
    def pools(x):
        return (
            *F.adaptive_max_pool2d(x, (5, 3), return_mask=True),
            F.adaptive_max_pool2d(x, 1),
            *F.max_pool2d(x, 3, stride=2, padding=1, return_mask=True),
            *F.max_pool2d(x, 2, stride=2, ceil_mode=True, return_mask=True),
        )

    check_op(pools, x, dynamic=SPATIAL, more=[[rng.standard_normal((1, 3, 6, 11)).astype("float32")]])


@pytest.mark.parametrize("kind", ["max", "avg"])
def test_global_pool2d(check_op, x, kind):
    def pool(x):
        pool2d = paddle._C_ops.pool2d
        return pool2d(x, [2, 2], [1, 1], [1, 1], False, True, "NCHW", kind, True, False, "EXPLICIT")

    check_op(pool, x, dynamic=SPATIAL)


def test_channels_last(check_op, x):
    def pools(x):
        return (
            F.max_pool2d(x, 3, stride=2, padding=1, data_format="NHWC"),
            F.avg_pool2d(x, 3, stride=2, padding=[1, 0, 0, 1], exclusive=False, data_format="NHWC"),
            F.adaptive_avg_pool2d(x, (2, 5), data_format="NHWC"),
        )

    check_op(pools, x.transpose(0, 2, 3, 1).copy(), dynamic=[(0, 1, 2)])


def test_pool1d(check_op, rng):
    def pools(x):
        return (
            F.max_pool1d(x, 3, stride=2, padding=1),
            F.avg_pool1d(x, 3, stride=2, padding=1, exclusive=False),
            F.adaptive_avg_pool1d(x, 4),
            F.adaptive_max_pool1d(x, 4),
        )

    check_op(pools, rng.standard_normal((2, 3, 9)).astype("float32"), dynamic=[(0, 2)])


def test_pool3d(check_op, rng):
    def pools(x):
        return (
            F.max_pool3d(x, 3, stride=2, padding=1, ceil_mode=True),
            F.avg_pool3d(x, 2, stride=2, padding=1, exclusive=False),
            F.avg_pool3d(x, (3, 1, 1), stride=1),
            F.adaptive_avg_pool3d(x, 1),
            F.adaptive_avg_pool3d(x, (2, 3, 4)),
            *F.max_pool3d(x, 2, return_mask=True),
        )

    check_op(pools, rng.standard_normal((1, 2, 5, 4, 6)).astype("float32"), dynamic=[(0, 2, 3, 4)])


def test_pool3d_channels_last(check_op, rng):
    def pools(x):
        return F.avg_pool3d(x, 2, data_format="NDHWC"), F.max_pool3d(x, 2, data_format="NDHWC")

    check_op(pools, rng.standard_normal((1, 5, 4, 6, 2)).astype("float32"), dynamic=[(0, 1, 2, 3)])


def test_p_norm_pool(check_op, rng, x):
    def pools(x):
        return F.lp_pool2d(x, 2, 3), F.lp_pool2d(x, 3, 2, stride=1, padding=1), F.lp_pool2d(x, 1, (2, 3))

    check_op(pools, np.abs(x), dynamic=SPATIAL)
    check_op(lambda x: F.lp_pool2d(x, 3, 2), x, dynamic=None)


def test_special_values(check_op):
    x = np.ones((1, 1, 4, 4), "float32")
    x[0, 0, 0, 1], x[0, 0, 2, 2], x[0, 0, 3, 0] = np.inf, -np.inf, np.nan
    check_op(
        lambda x: (F.max_pool2d(x, 2), F.avg_pool2d(x, 2), F.adaptive_avg_pool2d(x, 1)), x, dynamic=SPATIAL
    )


def test_double_and_empty_batch(check_op, x):
    def pools(x):
        return F.max_pool2d(x, 2), F.avg_pool2d(x, 2, padding=1), F.adaptive_avg_pool2d(x, 4)

    check_op(pools, x.astype("float64"), dynamic=SPATIAL, more=[[x[:0].astype("float64")]])


@pytest.mark.parametrize("channels", [3, 20])
def test_maxima_of_windows_with_nan(check_op, rng, channels):
    """A NaN shows where it is the last of its window; not at all where places of maxima are asked for."""

    def pools(x):
        return (
            F.max_pool2d(x, 2),
            F.max_pool2d(x, 3, 1, 1),
            F.max_pool2d(x, 5, 2, 2),
            F.max_pool2d(x, 3, 2, "SAME"),
            F.max_pool2d(x, 3, 2, ceil_mode=True),
            F.adaptive_max_pool2d(x, 1),
            F.adaptive_max_pool2d(x, 3),
            *F.max_pool2d(x, 2, return_mask=True),
        )

    x = rng.standard_normal((2, channels, 9, 9)).astype("float32")
    kinds = rng.random(x.shape)
    x[kinds < 0.15], x[(kinds > 0.15) & (kinds < 0.25)], x[kinds > 0.7] = np.nan, np.inf, -np.inf
    check_op(pools, x, dynamic=SPATIAL, more=[[np.full_like(x, np.nan)], [np.full_like(x, -np.inf)]])


def test_maxima_of_windows_with_nan_in_3d(check_op, rng):
    x = rng.standard_normal((1, 2, 5, 6, 7)).astype("float32")
    x[rng.random(x.shape) < 0.2] = np.nan
    check_op(lambda x: F.max_pool3d(x, 3, 2, 1), x, dynamic=[(0, 2, 3, 4)])


def test_maxima_of_windows_beyond_the_data(check_op, rng):
    x = rng.standard_normal((1, 2, 5, 4)).astype("float32")
    check_op(lambda x: F.max_pool2d(x, 1, 4, 0, ceil_mode=True), x, dynamic=SPATIAL)


def test_maxima_with_nan_behind_a_convolution(check_op):
    class Net(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.conv = paddle.nn.Conv2D(3, 24, 1)

        def forward(self, x):
            x = self.conv(x)
            return F.max_pool2d(x, 3, 2, 1), F.adaptive_max_pool2d(x, 1), F.max_pool2d(x, 2, 1)

    paddle.seed(0)
    x = np.ones((1, 3, 13, 14), "float32")
    x[0, 1, 3, 5], x[0, 0, 12, 4], x[0, 2, 0, 13] = np.nan, np.nan, np.inf
    check_op(Net(), x, dynamic=SPATIAL)


@pytest.mark.parametrize("known_batch", [True, False])
def test_maxima_beside_their_data(check_op, rng, known_batch):
    class Net(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.flat = paddle.nn.Conv2D(64, 15, 1)
            self.deep = paddle.nn.Conv3D(32, 15, 1)

        def forward(self, x):
            volume = x.reshape([0, 16, 2, paddle.shape(x)[2], paddle.shape(x)[3]])
            return (
                self.flat(paddle.concat([F.max_pool2d(x, 3, 1, 1), x], 1)),
                self.deep(paddle.concat([F.max_pool3d(volume, 3, 1, 1), volume], 1)),
            )

    sizes = [(1, 32, 6, 9), (1, 32, 11, 4)]
    x, other = (rng.standard_normal(shape).astype("float32") for shape in sizes)
    check_op(Net(), x, dynamic=[(2, 3) if known_batch else (0, 2, 3)], more=[[other]])


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_data_short_by_less_than_a_stride_has_one_window(check_op, rng, ceil_mode):
    kernel = 4 if ceil_mode else 3

    def pools(x):
        options = {"kernel_size": kernel, "stride": 2, "ceil_mode": ceil_mode}
        return (
            F.max_pool2d(x, **options),
            F.avg_pool2d(x, **options),
            F.avg_pool2d(x, **options, exclusive=False),
            F.max_pool2d(x, kernel, 2, return_mask=True)[0] if not ceil_mode else x,
        )

    check_op(pools, rng.standard_normal((1, 3, 2, 9)).astype("float32"), dynamic=None)


def test_data_too_short_for_any_window_is_refused(check_op, rng):
    with pytest.raises(UnsupportedModelError, match=r"window of 5 elements.*does not fit.*1 elements"):
        check_op(lambda x: F.max_pool2d(x, 5, 2, 1), rng.standard_normal((1, 3, 1, 9)).astype("float32"))


def test_windows_that_rounding_up_adds_beyond_the_data(check_op, rng):
    x = rng.standard_normal((1, 5, 14, 7)).astype("float32")

    def pools(x):
        wide = F.max_pool2d(paddle.concat([x, x, x, x], 1), 3, 3, 0, ceil_mode=True)
        return (
            F.avg_pool2d(x, 2, 3, [0, 1], ceil_mode=True),
            F.avg_pool2d(x, 2, 3, [0, 1], ceil_mode=True, exclusive=False),
            F.max_pool2d(x, 2, 3, [0, 1], ceil_mode=True),
            F.pixel_shuffle(wide, 2),
            F.avg_pool3d(x.unsqueeze(1), 2, 3, [0, 0, 1], ceil_mode=True),
            F.avg_pool1d(x[:, :, 0], 2, 3, 1, ceil_mode=True),
        )

    check_op(pools, x, dynamic=SPATIAL)
