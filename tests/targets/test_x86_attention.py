"""Attention, softmax and layer normalization on the x86 target, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_build import lower_graph, run_graph
from tvm import relax

CPUS = [None, "haswell", "x86-64"]


def softmax(x):
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def heads(x, count):
    batch, rows, width = x.shape
    return x.reshape(batch, rows, count, width // count).transpose(0, 2, 1, 3)


def attention(builder, queries, keys, values, mask, count, scale):
    """As Paddle's MultiHeadAttention writes it out."""

    def split(x):
        batch, rows, width = x.ty.shape
        parts = builder.emit(relax.op.reshape(x, [batch, rows, count, int(width) // count]))
        return builder.emit(relax.op.permute_dims(parts, [0, 2, 1, 3]))

    scaled = builder.emit(relax.op.multiply(split(queries), relax.const(scale, "float32")))
    turned = builder.emit(relax.op.permute_dims(split(keys), [0, 1, 3, 2]))
    scores = builder.emit(relax.op.matmul(scaled, turned))
    if mask is not None:
        scores = builder.emit(relax.op.add(scores, mask))
    weights = builder.emit(relax.op.nn.softmax(scores))
    mixed = builder.emit(relax.op.matmul(weights, split(values)))
    joined = builder.emit(relax.op.permute_dims(mixed, [0, 2, 1, 3]))
    return relax.op.reshape(joined, [*list(queries.ty.shape)[:2], int(values.ty.shape[2])])


def names(module):
    return {variable.name_hint for variable in module.functions}


CASES = [
    # batch, rows, keys, heads, depth
    (1, 40, 40, 8, 15),
    (2, 7, 21, 3, 20),
    (1, 130, 130, 2, 32),
    (2, 1, 5, 2, 8),
]


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("form", ["static", "dynamic"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_attention_is_one_kernel(rng, case, masked, form, mcpu):
    batch, rows, keys, count, depth = case
    scale = depth**-0.5
    q = rng.standard_normal((batch, rows, count * depth)).astype("float32")
    k, v = (rng.standard_normal((batch, keys, count * depth)).astype("float32") for _ in range(2))
    mask = np.where(rng.random((batch, 1, 1, keys)) < 0.3, -1e4, 0).astype("float32")
    arrays = [q, k, v, *([mask] if masked else [])]
    shapes = [list(array.shape) for array in arrays]
    if form == "dynamic":
        names_of = {0: ["b", "l"], 1: ["b", "s"], 2: ["b", "s"]}
        shapes = [[*names_of[i], count * depth] for i in range(3)] + [["b", 1, 1, "s"]] * masked

    def graph(builder, *x):
        return attention(builder, *x[:3], x[3] if masked else None, count, scale)

    scores = heads(q, count).astype("float64") @ heads(k, count).transpose(0, 1, 3, 2) * scale
    mixed = softmax(scores + mask if masked else scores) @ heads(v, count)
    expected = mixed.transpose(0, 2, 1, 3).reshape(batch, rows, count * depth)
    kernels = names(lower_graph(shapes, graph, mcpu))
    assert "attention" in kernels
    assert not any("softmax" in name or "matmul" in name for name in kernels)
    np.testing.assert_allclose(run_graph(shapes, graph, *arrays, mcpu=mcpu), expected, rtol=1e-4, atol=1e-5)


def test_attention_passes_missing_values_on(rng):
    """A NaN in a query spoils its row alone, one in a key all rows of its head."""
    q, k, v = (rng.standard_normal((1, 6, 8)).astype("float32") for _ in range(3))
    q[0, 2, 0] = np.nan
    k[0, 3, 5] = np.nan

    def graph(builder, *x):
        return attention(builder, *x, None, 2, 1.0)

    result = np.isnan(run_graph([[1, 6, 8]] * 3, graph, q, k, v))
    assert result[0, 2, :4].all()
    assert not result[0, [0, 1, 3, 4, 5], :4].any()
    assert result[0, :, 4:].all()


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("shape", [(1, 5), (3, 16), (2, 3, 97), (4, 1000)])
@pytest.mark.parametrize("form", ["static", "dynamic"])
def test_softmax_and_layer_norm_of_rows(rng, shape, form, mcpu):
    x = (3 * rng.standard_normal(shape)).astype("float32")
    scale, shift = (rng.standard_normal(shape[-1]).astype("float32") for _ in range(2))
    sizes = list(shape) if form == "static" else [f"n{axis}" for axis in range(len(shape) - 1)] + [shape[-1]]

    def norm(builder, x):
        return relax.op.nn.layer_norm(x, relax.const(scale), relax.const(shift), [-1], 1e-5)

    deviation = np.sqrt(x.astype("float64").var(axis=-1, keepdims=True) + 1e-5)
    normal = (x - x.mean(axis=-1, keepdims=True)) / deviation * scale + shift
    np.testing.assert_allclose(run_graph([sizes], norm, x, mcpu=mcpu), normal, rtol=1e-4, atol=1e-5)
    result = run_graph([sizes], lambda _, x: relax.op.nn.softmax(x), x, mcpu=mcpu)
    np.testing.assert_allclose(result, softmax(x.astype("float64")), rtol=1e-5, atol=1e-7)


def test_softmax_of_special_values():
    """Only infinitely small scores count nothing; NaN and infinity spoil their row."""
    infinity = np.inf
    x = np.zeros((4, 20), "float32")
    x[0, :10] = -infinity
    x[1, 3] = np.nan
    x[2, 3] = infinity
    x[3] = -1e4
    result = run_graph([[4, 20]], lambda _, x: relax.op.nn.softmax(x), x)
    np.testing.assert_allclose(result[0], [0] * 10 + [0.1] * 10, atol=1e-7)
    assert np.isnan(result[1]).all()
    assert np.isnan(result[2, 3])
    np.testing.assert_allclose(result[3], 0.05, rtol=1e-6)


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("columns", [5, 64, 97, 130])
def test_a_product_of_any_number_of_rows(rng, columns, mcpu):
    weight = rng.standard_normal((48, columns)).astype("float32")

    def graph(builder, x):
        return relax.op.add(
            builder.emit(relax.op.matmul(x, relax.const(weight))), relax.const(0.5, "float32")
        )

    for rows in (1, 2, 3, 4, 7, 29):
        x = rng.standard_normal((2, rows, 48)).astype("float32")
        for sizes in ([2, rows, 48], ["b", "m", 48]):
            result = run_graph([sizes], graph, x, mcpu=mcpu)
            np.testing.assert_allclose(result, x.astype("float64") @ weight + 0.5, rtol=1e-4, atol=1e-4)
