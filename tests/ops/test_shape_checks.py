"""Dimensions that must be equal and cannot be proved to be are checked when the model runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import tvm
from conftest import CheckOp, save_model
from paddle.nn import functional
from tvm import relax, runtime

from paddle_tvm.compiler.frontends.paddle.importer import import_program
from paddle_tvm.compiler.frontends.paddle.program import load_program
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.lowering import build, lower, optimise
from paddle_tvm.compiler.passes.lift_weights import lift_weights
from paddle_tvm.targets.x86 import x86_target


def _halved_and_doubled(picture: Any) -> Any:
    halved = functional.max_pool2d(picture, 2)
    return paddle.concat([picture, functional.pixel_shuffle(paddle.tile(halved, [1, 4, 1, 1]), 2)], axis=1)


def _square(x: Any) -> Any:
    return paddle.bmm(x, x.transpose([0, 2, 1]))


def _two_norms(x: Any) -> Any:
    """Over a symbolic axis and a known one, and over two symbolic ones."""
    square = _square(x)
    wide = square.unsqueeze(2).tile([1, 1, 2, 1])
    scale, both = (paddle.arange(1, size, dtype=x.dtype) + 0 * x.sum() for size in (13, 37))
    return functional.layer_norm(wide, [2, 6], scale, scale), functional.layer_norm(square, [6, 6], both)


class _Norm(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.norm = paddle.nn.LayerNorm([6, 6])

    def forward(self, x: Any) -> Any:
        return self.norm(_square(x))


def _halves(x: Any) -> Any:
    first, second = paddle.split(_square(x), 2, axis=1)
    return first * second, functional.glu(_square(x))


class _Lstm(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = paddle.nn.LSTM(6, 4)

    def forward(self, x: Any) -> Any:
        return self.lstm(_square(x))[0]


class _ReshapedWeight(paddle.nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.weight = self.create_parameter([6], default_initializer=paddle.nn.initializer.Uniform())

    def forward(self, x: Any) -> Any:
        return x.sum() + self.weight.reshape([paddle.shape(x)[1], -1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("model", [_two_norms, _halves])
def test_sizes_computed_from_the_input_fit(model: Any, dtype: str, check_op: CheckOp, rng: Any) -> None:
    tensors = [rng.standard_normal(shape).astype(dtype) for shape in ((3, 6, 5), (1, 6, 3))]
    check_op(model, tensors[0], more=[[tensors[1]]])


def test_size_that_was_halved_and_doubled_joins_the_first(check_op: CheckOp, rng: Any) -> None:
    picture = rng.standard_normal((1, 2, 8, 6)).astype("float32")
    check_op(_halved_and_doubled, picture, dynamic=[(0, 2, 3)], more=[[picture[:, :, :4]]])


@pytest.mark.parametrize(
    ("model", "shapes"),
    [
        (_halved_and_doubled, [(1, 2, 5, 4)]),
        (lambda x, y: paddle.exp(x) + paddle.concat([y, y]), [(3,), (2,)]),
        (_two_norms, [(3, 7, 5)]),
        (_Norm(), [(3, 7, 5)]),
        (_halves, [(3, 7, 5)]),
        (_Lstm(), [(3, 7, 5)]),
        (_ReshapedWeight(), [(3, 4, 5)]),
    ],
)
def test_sizes_that_do_not_fit_are_refused(model: Any, shapes: Any, tmp_path: Path) -> None:
    unknown = [tuple(-1 if size > 2 else size for size in shape) for shape in shapes]
    unknown = [(-1,) if len(shape) == 1 else shape for shape in unknown]
    save_model(model, tmp_path / "model", unknown, ["float32"] * len(shapes))
    target = x86_target()
    imported = import_program(load_program(find_model(tmp_path)))
    lifted = lift_weights(lower(optimise(imported.module), target))
    machine = relax.VirtualMachine(build(lifted.module, target), tvm.cpu())
    inputs = [np.zeros(shape, "float32") for shape in shapes]
    with pytest.raises(RuntimeError, match="shape"):
        machine["main"](*[runtime.tensor(array) for array in [*inputs, *lifted.weights]])
