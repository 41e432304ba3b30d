"""Activation functions against Paddle."""

from __future__ import annotations

import numpy as np
import paddle


def test_relu(check_op, rng):
    x = rng.standard_normal((2, 3, 5)).astype("float32")
    check_op(paddle.nn.functional.relu, x, more=[[rng.standard_normal((4, 1, 7)).astype("float32")]])
