"""Quantisation against Paddle.

Its executor for saved programs gives what ``dequantize_linear`` reads instead of what it computes (Paddle
3.3.1, on CPUs), so where that is in a program the reference is the layer itself, as Python runs it.
"""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn.quant.format import LinearDequanter, LinearQuanter
from paddle.quantization import PTQ, QuantConfig
from paddle.quantization.observers import AbsmaxObserver

from paddle_tvm.runtime.errors import UnsupportedModelError


def quanter(kind, scale, axis=-1):
    scale = np.asarray(scale, "float32")
    return kind(scale, np.zeros_like(scale), quant_axis=axis, bit_length=8)


def test_quantize(check_op, rng):
    x = (rng.standard_normal((3, 4, 5)) * 3).astype("float32")
    # Paddle 3.3.1 cannot save these layers with unknown dimensions.
    check_op(quanter(LinearQuanter, 2.5), x, dynamic=None)
    check_op(quanter(LinearQuanter, rng.uniform(1, 3, 4), 1), x, dynamic=None)


def test_halves_are_rounded_to_even(check_op):
    halves = np.arange(-130.5, 131, dtype="float32")
    check_op(quanter(LinearQuanter, 127.0), halves, dynamic=None)


@pytest.mark.parametrize("axis", [0, 1])
def test_dequantize(check_layer, rng, axis):
    scale = rng.uniform(0.5, 3, (4, 6)[axis])
    integers = [rng.integers(-128, 128, (4, 6)).astype("float32") for _ in range(3)]
    check_layer(quanter(LinearDequanter, scale, axis), (4, 6), *integers)
    check_layer(quanter(LinearDequanter, 1.5), (4, 6), *integers)


def test_numbers_go_through_integers_and_back(check_layer, rng):
    check_layer(
        _RoundTrip(), (5, 7), *((rng.standard_normal((5, 7)) * 2).astype("float32") for _ in range(3))
    )


class _RoundTrip(nn.Layer):
    def __init__(self):
        super().__init__()
        self.there, self.back = quanter(LinearQuanter, 3.0), quanter(LinearDequanter, 3.0)

    def forward(self, x):
        return self.back(self.there(x)) * 2.0


def test_a_network_after_training_quantisation(check_layer, rng):
    paddle.seed(7)
    net = nn.Sequential(
        nn.Conv2D(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2D(8, 4, 1), nn.Flatten(), nn.Linear(144, 5)
    )
    net.eval()
    observer = AbsmaxObserver(quant_bits=8)
    tool = PTQ(QuantConfig(activation=observer, weight=observer))
    observed = tool.quantize(net)
    inputs = [rng.standard_normal((2, 3, 6, 6)).astype("float32") for _ in range(4)]
    for x in inputs:
        observed(paddle.to_tensor(x))
    converted = tool.convert(observed)
    # Of the last sum, a tie that falls to the other side moves one of 144 products by a quantum.
    check_layer(converted, (2, 3, 6, 6), *inputs, atol=5e-3)


def test_other_widths_are_refused(check_op, rng):
    layer = LinearQuanter(np.float32(1), np.float32(0), quant_axis=-1, bit_length=4)
    with pytest.raises(UnsupportedModelError, match="quantises to 4 bits"):
        check_op(layer, rng.standard_normal((2, 2)).astype("float32"))
