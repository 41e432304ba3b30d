"""Sampling at positions that are data, against Paddle."""

from __future__ import annotations

import itertools

import numpy as np
import paddle.nn.functional as F
import pytest
from paddle.vision.ops import deform_conv2d


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_grid_sample(check_op, rng, padding):
    def forms(x, grid):
        return [
            F.grid_sample(x, grid, mode=mode, padding_mode=padding, align_corners=aligned)
            for mode, aligned in itertools.product(("bilinear", "nearest"), (False, True))
        ]

    x = rng.standard_normal((2, 3, 5, 6)).astype("float32")
    grid = rng.uniform(-1.7, 1.7, (2, 4, 3, 2)).astype("float32")
    # On an element, between two, and at the edges.
    grid[0, 0] = [[-1, 1], [0, 0], [1, -1]]
    check_op(forms, x, grid, dynamic=[(0, 1, 2, 3), (0, 1, 2)])


def test_grid_sample_of_volumes(check_op, rng):
    def forms(x, grid):
        return [F.grid_sample(x, grid, padding_mode=padding) for padding in ("zeros", "border")]

    x = rng.standard_normal((1, 2, 3, 4, 5)).astype("float32")
    check_op(forms, x, rng.uniform(-1.5, 1.5, (1, 2, 3, 2, 3)).astype("float32"), dynamic=None)


def test_affine_grid(check_op, rng):
    theta = rng.standard_normal((2, 2, 3)).astype("float32")

    def grids(theta):
        return [F.affine_grid(theta, [2, 3, 4, 5], align_corners=aligned) for aligned in (False, True)]

    check_op(grids, theta, dynamic=[(0,)])
    volume = rng.standard_normal((1, 3, 4)).astype("float32")
    check_op(lambda theta: F.affine_grid(theta, [1, 3, 4, 5, 2]), volume, dynamic=None)


@pytest.mark.parametrize(
    ("groups", "deformable_groups", "stride", "padding", "dilation"),
    [(1, 1, 1, 0, 1), (2, 2, (2, 1), (1, 2), (1, 2))],
)
def test_deformable_convolution(check_op, rng, groups, deformable_groups, stride, padding, dilation):
    def normal(*shape):
        return rng.standard_normal(shape).astype("float32")

    options = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "deformable_groups": deformable_groups,
    }

    def forms(x, offset, mask, weight):
        return (
            deform_conv2d(x, offset, weight, mask=mask, **options),
            deform_conv2d(x, offset, weight, **options),
        )

    x, weight = normal(2, 4, 6, 7), normal(4, 4 // groups, 3, 2)
    steps = np.broadcast_to(stride, 2), np.broadcast_to(padding, 2), np.broadcast_to(dilation, 2)
    sizes = [
        (size + 2 * pad - step * (extent - 1) - 1) // hop + 1
        for size, extent, hop, pad, step in zip((6, 7), (3, 2), *steps, strict=True)
    ]
    inputs = [x, normal(2, 12 * deformable_groups, *sizes), normal(2, 6 * deformable_groups, *sizes)]
    check_op(forms, *inputs, weight, dynamic=None)
