"""Reading by index tensors against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import tvm
from tvm import relax, runtime

from paddle_tvm.compiler.frontends.paddle.importer import import_program
from paddle_tvm.compiler.frontends.paddle.program import load_program
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.lowering import build, lower, optimise
from paddle_tvm.targets.x86 import x86_target

both_index_types = pytest.mark.parametrize("dtype", ["int32", "int64"])


def normal(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


@both_index_types
def test_gather_and_index_select(check_op, rng, dtype):
    def model(x, i):
        return (
            paddle.gather(x, i),
            paddle.gather(x, i, 1),
            paddle.gather(x, i[0], -1),
            paddle.gather(x, i.unsqueeze(1), 0),
            paddle.index_select(x, i, -1),
            paddle.index_select(x, i),
        )

    index = np.array([2, 0, 1, 1], dtype)
    check_op(model, normal(rng, 3, 4, 5), index, more=[[normal(rng, 4, 3, 3), index[:2]]])


def test_gather_of_integers_and_bools(check_op):
    def model(x, y, i):
        return paddle.gather(x, i), paddle.gather(y, i, 1)

    check_op(model, np.arange(6).reshape(3, 2), np.array([[True, False]]), np.array([1, 0, 1]))


@both_index_types
def test_gather_nd(check_op, rng, dtype):
    def model(x, i):
        return paddle.gather_nd(x, i), paddle.gather_nd(x, i[:, :, :1]), paddle.gather_nd(x, i[0, 0])

    index = np.array([[[0, 1], [2, -1], [1, 0]]], dtype)
    check_op(
        model,
        normal(rng, 3, 4, 5),
        index,
        dynamic=[(0, 1, 2), (0, 1)],
        more=[[normal(rng, 3, 2, 2), index[:, :2]]],
    )


def test_python_indexing_with_tensors(check_op, rng):
    def model(x, i):
        return x[i], x[:, i], x[i, i], x[i.unsqueeze(1), i]

    check_op(model, normal(rng, 3, 4), np.array([2, 0, -1]), more=[[normal(rng, 5, 3), np.array([1, 1])]])


@both_index_types
def test_take_along_axis_and_index_sample(check_op, rng, dtype):
    def model(x, i):
        return (
            paddle.take_along_axis(x, i, 1),
            paddle.take_along_axis(x, i, -1, broadcast=False),
            paddle.take_along_axis(x, i[:2], 0, broadcast=False),
            paddle.index_sample(x, i),
        )

    index = np.array([[0, 2], [1, 1], [2, 0]], dtype)
    more = [[normal(rng, 4, 5), np.array([[0, 1, 1], [2, 3, 3], [3, 0, 2], [1, 1, 0]], dtype)]]
    check_op(model, normal(rng, 3, 4), index, more=more)


def test_take_along_axis_broadcasts(check_op, rng):
    check_op(
        lambda x, i: paddle.take_along_axis(x, i, 0), normal(rng, 3, 4), np.array([[2], [0]]), dynamic=None
    )


@both_index_types
@pytest.mark.parametrize("padding_idx", [None, 2, -1])
def test_embedding(check_op, dtype, padding_idx):
    paddle.seed(1)
    layer = paddle.nn.Embedding(10, 4, padding_idx=padding_idx)
    layer.weight.set_value(np.random.default_rng(5).standard_normal((10, 4)).astype("float32"))
    check_op(layer, np.array([[0, 2, 9], [5, 2, 1]], dtype), more=[[np.array([[9]], dtype)]])


def test_roll(check_op, rng):
    def model(x):
        return (
            paddle.roll(x, 1),
            paddle.roll(x, [1, -2], [0, 1]),
            paddle.roll(x, -7, -1),
            paddle.roll(x, [-2], [1]),
        )

    check_op(model, normal(rng, 3, 4), more=[[normal(rng, 2, 5)]])


def test_multiplex_shard_index_searchsorted(check_op, rng):
    def model(x, y, i, edges):
        return (
            paddle.multiplex([x, y], i),
            paddle.shard_index(i, 2, 2, 1),
            paddle.searchsorted(edges, x),
            paddle.searchsorted(edges, y, right=True, out_int32=True),
            paddle.bucketize(x, edges),
            paddle.searchsorted(paddle.stack([edges, edges * 2]), x),
        )

    i = np.array([[1], [0]], "int32")
    edges = np.array([-1, 0, 0, 1], "float32")
    x, y = np.array([[0, 0.5, -2]], "float32").repeat(2, 0), np.array([[0, 1, 7]], "float32").repeat(2, 0)
    check_op(model, x, y, i, edges, dynamic=[(1,), (1,), (), (0,)], more=[[x[:, :1], y[:, :1], i, edges[:2]]])


def test_an_index_outside_of_the_tensor_reads_nothing_else(tmp_path):
    layer = paddle.nn.Embedding(4, 2)
    paddle.jit.save(layer, str(tmp_path / "model"), input_spec=[paddle.static.InputSpec([-1], "int64", "x")])
    target = x86_target()
    module = import_program(load_program(find_model(tmp_path))).module
    machine = relax.VirtualMachine(build(lower(optimise(module), target), target), tvm.cpu())
    (rows,) = machine["main"](runtime.tensor(np.array([0, 3, 1 << 40], "int64")))
    table = layer.weight.numpy()
    np.testing.assert_array_equal(rows.numpy(), table[[0, 3, 3]])
