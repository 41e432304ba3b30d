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
from paddle_tvm.targets.x86 import x86_target


def _halved_and_doubled(picture: Any) -> Any:
    halved = functional.max_pool2d(picture, 2)
    return paddle.concat([picture, functional.pixel_shuffle(paddle.tile(halved, [1, 4, 1, 1]), 2)], axis=1)


def test_size_that_was_halved_and_doubled_joins_the_first(check_op: CheckOp, rng: Any) -> None:
    picture = rng.standard_normal((1, 2, 8, 6)).astype("float32")
    check_op(_halved_and_doubled, picture, dynamic=[(0, 2, 3)], more=[[picture[:, :, :4]]])


@pytest.mark.parametrize(
    ("model", "shapes"),
    [
        (_halved_and_doubled, [(1, 2, 5, 4)]),
        (lambda x, y: paddle.exp(x) + paddle.concat([y, y]), [(3,), (2,)]),
    ],
)
def test_sizes_that_do_not_fit_are_refused(model: Any, shapes: Any, tmp_path: Path) -> None:
    unknown = [tuple(-1 if size > 2 else size for size in shape) for shape in shapes]
    unknown = [(-1,) if len(shape) == 1 else shape for shape in unknown]
    save_model(model, tmp_path / "model", unknown, ["float32"] * len(shapes))
    target = x86_target()
    imported = import_program(load_program(find_model(tmp_path)))
    machine = relax.VirtualMachine(build(lower(optimise(imported.module), target), target), tvm.cpu())
    with pytest.raises(RuntimeError, match="shape"):
        machine["main"](*[runtime.tensor(np.zeros(shape, "float32")) for shape in shapes])
