"""Shapes that models compute from their inputs' shapes, the way exported models do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import paddle
import pytest
import tvm
from paddle.nn import functional as F
from paddle.static import InputSpec
from tvm import relax, runtime

from paddle_tvm.compiler.frontends.paddle.importer import import_program
from paddle_tvm.compiler.frontends.paddle.program import load_program
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.lowering import build, lower, optimise
from paddle_tvm.targets.x86 import x86_target


class Traced(paddle.nn.Layer):
    """A function as a layer, so that Paddle traces what it computes from ``x.shape``."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def split_heads(x):
    batch, length, width = x.shape
    q = x.reshape([batch, length, 2, width // 2]).transpose([0, 2, 1, 3])
    scores = paddle.matmul(q, q, transpose_y=True)
    merged = q.transpose([0, 2, 1, 3]).reshape([batch, length, width])
    return scores, merged, x.reshape([0, 0, 2, -1]), x.reshape([-1, x.shape[1], 3, width // 3])


def causal_mask(x):
    length = x.shape[1]
    mask = paddle.triu(paddle.full([length, length], -1e4), 1)
    positions = paddle.arange(length).unsqueeze(0).expand([x.shape[0], length])
    return mask.unsqueeze(0) + x[:, :, :1], positions


def class_token(x):
    batch = x.shape[0]
    token = paddle.full([1, 1, 6], 0.5).expand([batch, -1, -1])
    y = paddle.concat([token, x], axis=1)
    return y, y[:, 0], y[:, 1:]


def python_arithmetic(x):
    batch, length = x.shape[0], x.shape[1]
    half = length // 2
    pairs = x[:, : half * 2].reshape([batch, half, 2, 6])[:, :, 1]
    tail = x[:, length - 3 :]
    return pairs, tail, paddle.tile(x, [1, half, 1]), paddle.zeros([batch * 2, half + 1])


def shape_tensor(x):
    shape = paddle.shape(x)
    return (
        paddle.full([shape[0], shape[1] - 1], 2.0),
        paddle.reshape(x, [shape[0] * shape[1], 6]),
        paddle.arange(shape[1], dtype="float32"),
        paddle.arange(0, shape[1], 2),
        paddle.numel(x),
        shape,
        paddle.linspace(0, 1, shape[1]),
    )


def windows(x):
    batch, length, width = x.shape
    blocks = (
        x.reshape([batch, length // 2, 2, width]).transpose([0, 2, 1, 3]).reshape([-1, length // 2, width])
    )
    return blocks.reshape([batch, 2, length // 2, width])


@pytest.mark.parametrize("function", [split_heads, causal_mask, class_token, python_arithmetic, shape_tensor])
def test_sequence_model(check_op, rng, function):
    x = rng.standard_normal((2, 7, 6)).astype("float32")
    more = [
        [rng.standard_normal((batch, length, 6)).astype("float32")] for batch, length in [(1, 4), (3, 12)]
    ]
    check_op(Traced(function), x, dynamic=[(0, 1)], more=more)


def test_windows_of_an_even_length(check_op, rng):
    x = rng.standard_normal((2, 8, 6)).astype("float32")
    check_op(Traced(windows), x, dynamic=[(0, 1)], more=[[rng.standard_normal((1, 4, 6)).astype("float32")]])


def feature_map(x):
    batch, channels, height, width = x.shape
    tokens = x.flatten(2).transpose([0, 2, 1])
    back = tokens.transpose([0, 2, 1]).reshape([batch, -1, height, width])
    rows = x.transpose([0, 2, 3, 1]).reshape([batch * height, width, channels])
    pooled = F.max_pool2d(x, 2)
    again = pooled.reshape([pooled.shape[0], channels, -1])
    return tokens, back, rows, again


def test_feature_map_of_any_size(check_op, rng):
    x = rng.standard_normal((2, 4, 6, 10)).astype("float32")
    more = [[rng.standard_normal((1, 4, 5, 3)).astype("float32")]]
    check_op(Traced(feature_map), x, dynamic=[(0, 2, 3)], more=more)


def index_grid(x):
    height, width = x.shape[2], x.shape[3]
    rows, columns = paddle.meshgrid(paddle.arange(height), paddle.arange(width))
    grid = paddle.stack([rows, columns], axis=-1).reshape([-1, 2])
    return (
        grid.astype("float32") + x[0, 0, 0, 0],
        paddle.full_like(x, 3.0),
        paddle.ones([height, 2]) * x[0, 0, 0, 0],
    )


def test_grid_of_positions(check_op, rng):
    x = rng.standard_normal((1, 2, 3, 5)).astype("float32")
    check_op(
        Traced(index_grid), x, dynamic=[(2, 3)], more=[[rng.standard_normal((1, 2, 7, 4)).astype("float32")]]
    )


def test_impossible_reshape_of_a_dynamic_input_fails_at_run_time(tmp_path):
    layer = Traced(lambda x: x.reshape([-1, 4]) + 1)
    paddle.jit.save(layer, str(tmp_path / "model"), input_spec=[InputSpec([-1, -1], "float32", "x")])
    module = import_program(load_program(find_model(tmp_path))).module
    target = x86_target()
    machine = relax.VirtualMachine(build(lower(optimise(module), target), target), tvm.cpu())
    assert machine["main"](runtime.tensor(np.ones((2, 6), "float32")))[0].shape == (3, 4)
    with pytest.raises(RuntimeError, match=r"(?i)shape"):
        machine["main"](runtime.tensor(np.ones((3, 5), "float32")))
