"""Attention and transformer layers, which Paddle saves as plain operators on a CPU."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle.nn.functional import scaled_dot_product_attention


def arrays(rng, *shapes):
    return [rng.standard_normal(shape).astype("float32") for shape in shapes]


def test_scaled_dot_product_attention(check_op, rng):
    """Queries of another length than the keys; layout is batch, length, head, feature."""
    check_op(
        scaled_dot_product_attention,
        *arrays(rng, (2, 3, 4, 8), (2, 5, 4, 8), (2, 5, 4, 8)),
        dynamic=[(0, 1), (0, 1), (0, 1)],
        more=[arrays(rng, (1, 1, 4, 8), (1, 7, 4, 8), (1, 7, 4, 8))],
    )


def test_attention_with_a_mask(check_op, rng):
    mask = np.where(rng.random((2, 1, 3, 5)) < 0.3, -np.inf, 0).astype("float32")
    mask[..., 0] = 0
    check_op(
        scaled_dot_product_attention,
        *arrays(rng, (2, 3, 4, 8), (2, 5, 4, 8), (2, 5, 4, 8)),
        mask,
        dynamic=[(0, 1), (0, 1), (0, 1), (0, 2, 3)],
    )


def test_causal_attention(check_op, rng):
    check_op(
        lambda q, k, v: scaled_dot_product_attention(q, k, v, is_causal=True),
        *arrays(rng, (2, 5, 2, 8), (2, 5, 2, 8), (2, 5, 2, 8)),
        dynamic=[(0, 1)] * 3,
        more=[arrays(rng, (1, 9, 2, 8), (1, 9, 2, 8), (1, 9, 2, 8))],
    )


class Attention(paddle.nn.Layer):
    def __init__(self, **options):
        super().__init__()
        paddle.seed(5)
        self.attention = paddle.nn.MultiHeadAttention(16, 4, **options)

    def forward(self, query, key, value):
        return self.attention(query, key, value)


@pytest.mark.parametrize("options", [{}, {"kdim": 12, "vdim": 20, "dropout": 0.5}])
def test_multi_head_attention(check_op, rng, options):
    key, value = options.get("kdim", 16), options.get("vdim", 16)
    check_op(
        Attention(**options),
        *arrays(rng, (2, 3, 16), (2, 5, key), (2, 5, value)),
        dynamic=[(0, 1)] * 3,
        more=[arrays(rng, (1, 4, 16), (1, 1, key), (1, 1, value))],
    )


class Encoder(paddle.nn.Layer):
    def __init__(self, **options):
        super().__init__()
        paddle.seed(5)
        layer = paddle.nn.TransformerEncoderLayer(16, 2, 24, **options)
        self.encoder = paddle.nn.TransformerEncoder(layer, 2)

    def forward(self, words, mask):
        return self.encoder(words, mask)


@pytest.mark.parametrize("options", [{"activation": "gelu"}, {"normalize_before": True}])
def test_transformer_encoder(check_op, rng, options):
    mask = np.array([0, 0, 0, -1e9], "float32").reshape(1, 1, 1, 4).repeat(2, 0)
    check_op(
        Encoder(**options),
        *arrays(rng, (2, 4, 16)),
        mask,
        dynamic=[(0, 1), (0, 3)],
        more=[[*arrays(rng, (3, 6, 16)), np.zeros((3, 1, 1, 6), "float32")]],
    )


class Translator(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        paddle.seed(5)
        self.network = paddle.nn.Transformer(16, 2, 1, 1, 24)

    def forward(self, source, target):
        return self.network(source, target)


def test_encoder_and_decoder(check_op, rng):
    check_op(Translator(), *arrays(rng, (2, 4, 16), (2, 3, 16)), dynamic=[(0, 1)] * 2)
