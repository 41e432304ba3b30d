"""Sorting against Paddle.

Paddle's order of equal elements is not defined, so values are distinct where indices are compared.
"""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import tvm
from tvm import runtime

from paddle_tvm.compiler.frontends.paddle.ops.sort_kernels import select_kernel, sort_kernel
from paddle_tvm.targets.x86 import x86_target


def _distinct(rng, shape, dtype="float32"):
    return (rng.permutation(int(np.prod(shape))).reshape(shape) - 7).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_argsort_and_sort(check_op, rng, dtype):
    def model(x):
        return (
            paddle.argsort(x),
            paddle.argsort(x, 0),
            paddle.argsort(x, 1, descending=True),
            paddle.sort(x, 1),
            paddle.sort(x, descending=True),
        )

    check_op(model, _distinct(rng, (3, 6, 5), dtype), more=[[_distinct(rng, (2, 1, 100), dtype)]])


@pytest.mark.parametrize("length", [1, 2, 3, 17, 64, 65, 1000])
def test_any_length(check_op, rng, length):
    x = _distinct(rng, (2, length))
    check_op(lambda x: (paddle.argsort(x), paddle.argsort(x, descending=True)), x, dynamic=None)


def test_equal_elements_stay_in_order(check_op, rng):
    x = rng.integers(0, 5, (3, 200)).astype("float32")
    check_op(lambda x: (paddle.argsort(x, stable=True), paddle.argsort(x, descending=True, stable=True)), x)


def test_nan_is_largest(check_op):
    x = np.array([3, np.nan, -np.inf, np.inf, 0, -1], "float32")
    check_op(
        lambda x: (
            paddle.argsort(x),
            paddle.sort(x, descending=True),
            *paddle.topk(x, 2),
            *paddle.topk(x, 3, largest=False),
        ),
        x,
    )


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_topk(check_op, rng, dtype):
    def model(x):
        return (
            *paddle.topk(x, 2),
            *paddle.topk(x, 1, axis=0),
            *paddle.topk(x, 3, axis=1, largest=False),
            *paddle.topk(x, 20, axis=1),
        )

    check_op(model, _distinct(rng, (2, 30, 4), dtype), more=[[_distinct(rng, (3, 25, 2), dtype)]])


def test_topk_of_a_computed_count(check_op, rng):
    def model(x, y):
        return paddle.topk(x, paddle.shape(y)[0])

    check_op(model, _distinct(rng, (2, 30)), np.zeros((4, 1), "float32"))


@pytest.mark.parametrize(
    "kernel", [sort_kernel("float32", True, takes_first=True), select_kernel("float32", 4, True)]
)
def test_taking_more_than_there_is_raises(kernel):
    module = tvm.IRModule({"main": kernel.with_attr("global_symbol", "main")})
    function = tvm.compile(module, target=x86_target().tvm_target)["main"]
    arrays = [np.zeros((1, 3), "float32"), np.zeros((1, 3), "int64"), np.zeros((1, 3), "int64")]
    arrays = arrays[: len(kernel.params) - 1]
    with pytest.raises(RuntimeError, match="fewer elements"):
        function(*map(runtime.tensor, [*arrays, np.zeros((1, 4), "int64")]))


def test_kthvalue(check_op, rng):
    def model(x):
        return (*paddle.kthvalue(x, 2), *paddle.kthvalue(x, 19, 1, True), *paddle.kthvalue(x, 1, 0))

    check_op(model, _distinct(rng, (2, 30, 4)))


@pytest.mark.parametrize("size", [7, 8])
def test_median(check_op, rng, size):
    def model(x):
        return (
            paddle.median(x),
            paddle.median(x, 1),
            paddle.median(x, -1, keepdim=True),
            *paddle.median(x, 1, mode="min"),
        )

    check_op(model, _distinct(rng, (2, size, 3)))


def test_median_of_nan(check_op):
    x = np.array([[1, np.nan, 3], [4, 6, 5]], "float32")
    check_op(lambda x: (paddle.median(x, 1), paddle.median(x, 1, mode="min")[0]), x)


def test_mode(check_op):
    x = np.array([[2, 1, 2, 3, 1], [5, 4, 4, 4, 5], [1, 2, 3, 4, 5]], "float32")
    check_op(lambda x: (*paddle.mode(x), *paddle.mode(x, 0, True)), x)


def test_0d_and_zero_size(check_op):
    def model(x, y):
        return paddle.argsort(x, 0), paddle.sort(y, 1)

    check_op(model, np.array(2.0, "float32"), np.zeros((0, 3), "float32"))
