"""Dropout against Paddle."""

from __future__ import annotations

import paddle.nn.functional as F
from paddle import nn


def test_dropout_in_inference(check_op, rng):
    def dropouts(x):
        return (
            F.dropout(x, 0.3, training=False),
            F.dropout(x, 0.3, training=False, mode="downscale_in_infer"),
            F.dropout(x + 1, 0.0),
        )

    check_op(dropouts, rng.standard_normal((2, 3)).astype("float32"))


def test_dropout_layers(check_op, rng):
    layers = nn.Sequential(nn.Dropout(0.5), nn.Dropout2D(0.5), nn.Dropout(0.5, mode="downscale_in_infer"))
    check_op(layers, rng.standard_normal((2, 3, 4, 5)).astype("float32"))
