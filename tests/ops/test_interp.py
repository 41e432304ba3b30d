"""Interpolation against Paddle."""

from __future__ import annotations

import itertools

import paddle
import paddle.nn.functional as F
import pytest

RANKS = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5, "nearest": 4}
SHAPES = {3: (2, 2, 9), 4: (1, 2, 7, 6), 5: (1, 2, 4, 3, 5)}


def interpolate(x, method, sizes=None, scale=None, aligned=False, mode=1, data_format="NCHW", operands=()):
    """Paddle's operator itself: its Python interface refuses some forms that saved models hold."""
    rank = x.ndim - 2
    attributes = [-1] * (3 - rank) + list(sizes or [-1] * rank)
    tensors = list(operands) or [None, None, None]
    operator = getattr(paddle._C_ops, f"{method}_interp")
    return operator(x, *tensors, data_format, *attributes, list(scale or ()), method, aligned, mode)


def spatial(shape):
    return (0, *range(2, len(shape)))


@pytest.mark.parametrize("method", ["nearest", "linear", "bilinear", "bicubic", "trilinear"])
def test_alignments_and_sizes(check_op, rng, method):
    shape = SHAPES[RANKS[method]]
    rank = len(shape) - 2

    def forms(x):
        results = []
        for aligned, mode in [(False, 0), (False, 1), (True, 0)]:
            kwargs = {"method": method, "aligned": aligned, "mode": mode}
            results.append(interpolate(x, sizes=(11, 5, 8)[:rank], **kwargs))
            results.append(interpolate(x, scale=(2.0, 0.5, 1.3)[:rank], **kwargs))
        results.append(interpolate(x, method, sizes=(1, 2, 1)[:rank]))
        return results

    larger = [4 if axis == 0 else size + 3 * (axis > 1) for axis, size in enumerate(shape)]
    more = [[rng.standard_normal(larger).astype("float32")]]
    check_op(forms, rng.standard_normal(shape).astype("float32"), dynamic=[spatial(shape)], more=more)


@pytest.mark.parametrize(("method", "layout"), [("nearest", "NHWC"), ("bilinear", "NHWC"), ("linear", "NWC")])
def test_channels_last(check_op, rng, method, layout):
    x = rng.standard_normal((2, 4, 5, 3) if layout == "NHWC" else (2, 5, 3)).astype("float32")
    scale = [2, 1.5][: x.ndim - 2]

    def forms(x):
        return (
            interpolate(x, method, scale=scale, data_format="NHWC", mode=0),
            interpolate(x, method, sizes=[3] * (x.ndim - 2), data_format="NHWC", aligned=True),
        )

    check_op(forms, x, dynamic=[tuple(range(x.ndim - 1))])


def test_nearest_3d_and_integers(check_op, rng):
    x = rng.standard_normal((1, 2, 3, 4, 2)).astype("float32")
    check_op(lambda x: F.interpolate(x, size=[2, 7, 5], mode="nearest"), x, dynamic=[(2, 3, 4)])
    i = rng.integers(-9, 9, (1, 2, 3, 4))
    check_op(
        lambda i, j: (F.interpolate(i, scale_factor=3), F.interpolate(j, scale_factor=2)),
        i,
        i.astype("int32"),
    )


@pytest.mark.parametrize("aligned", [False, True])
def test_nearest_of_scales_that_round(check_op, rng, aligned):
    """int(90 * 1.3) is 117 in double and 116 in single precision, and 1/3 is not exact in either."""
    x = rng.standard_normal((1, 1, 90, 50)).astype("float32")
    scales = [(1.3, 2.3), (0.7, 1 / 3), (3.0, 7.0), (1.1, 0.3)]
    more = [[rng.standard_normal((1, 1, h, w)).astype("float32")] for h, w in [(33, 97), (70, 10), (9, 30)]]

    def forms(x):
        return [interpolate(x, "nearest", scale=scale, aligned=aligned) for scale in scales]

    check_op(forms, x, dynamic=[(2, 3)], more=more)


def test_nearest_indices_of_many_sizes(check_op, rng):
    sizes = [(3, 17), (41, 60), (59, 61), (64, 120), (100, 7)]

    def forms(x):
        return [
            interpolate(x, "nearest", sizes=size, aligned=aligned)
            for size, aligned in itertools.product(sizes, (False, True))
        ]

    check_op(forms, rng.standard_normal((1, 1, 41, 59)).astype("float32"), dynamic=[(2, 3)])


def test_a_scale_that_changes_nothing_copies(check_op, rng):
    x = rng.standard_normal((1, 2, 8, 9)).astype("float32")

    def forms(x):
        return [
            interpolate(x, method, scale=(1.05, 1.1), aligned=aligned, mode=0)
            for method, aligned in itertools.product(("nearest", "bilinear"), (False, True))
        ]

    check_op(forms, x, dynamic=[(2, 3)], more=[[rng.standard_normal((1, 2, 30, 30)).astype("float32")]])


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_to_the_size_of_another_tensor(check_op, rng, mode):
    def forms(x, like):
        shape = paddle.shape(like)
        return (
            F.interpolate(x, size=shape[2:], mode=mode),
            F.interpolate(x, size=[shape[2], 5], mode=mode) + like[:, :, :, :5],
        )

    x = rng.standard_normal((1, 2, 4, 5)).astype("float32")
    likes = [rng.standard_normal((1, 1, h, w)).astype("float32") for h, w in [(8, 7), (3, 15)]]
    check_op(forms, x, likes[0], dynamic=[(2, 3), (2, 3)], more=[[x, likes[1]]])


def test_scale_operand(check_op, rng):
    def forms(x):
        one, two = paddle.full([1], 2.0), paddle.assign([2.0, 1.5]).astype("float32")
        return (
            interpolate(x, "bilinear", operands=[None, None, one]),
            interpolate(x, "nearest", operands=[None, None, two]),
        )

    check_op(forms, rng.standard_normal((1, 2, 4, 5)).astype("float32"), dynamic=[(2, 3)])


def test_double(check_op, rng):
    def forms(x):
        return [F.interpolate(x, scale_factor=1.7, mode=mode) for mode in ("nearest", "bilinear", "bicubic")]

    check_op(forms, rng.standard_normal((1, 1, 5, 7)), dynamic=None)


def test_upsampling_layers(check_op, rng):
    layers = paddle.nn.Sequential(
        paddle.nn.Upsample(scale_factor=2, mode="nearest"),
        paddle.nn.Upsample(scale_factor=4, mode="bilinear", align_corners=True),
        paddle.nn.UpsamplingBilinear2D(scale_factor=2),
    )
    check_op(layers, rng.standard_normal((1, 2, 3, 4)).astype("float32"))
