"""Networks whose branches fit only for some sizes of their input stay in blocked layout, and are checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
import tvm
from tvm import ir, relax

from paddle_tvm.compiler.frontends.importing import import_forms
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.lowering import build, lower
from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.targets.x86 import x86_target


class Pyramid(paddle.nn.Layer):
    """Two levels of a feature pyramid: a coarse map, twice as large, meets a fine one."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = paddle.nn.Conv2D(3, 32, 3, stride=2, padding=1)
        self.coarse = paddle.nn.Conv2D(32, 32, 3, stride=2, padding=1)
        self.last = paddle.nn.Conv2D(64, 16, 3, padding=1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        fine = F.relu(self.fine(x))
        coarse = F.interpolate(F.relu(self.coarse(fine)), scale_factor=2, mode="nearest")
        return F.relu(self.last(paddle.concat([fine + coarse, fine], 1)))


@pytest.fixture(scope="module")
def network() -> Pyramid:
    paddle.seed(3)
    pyramid = Pyramid()
    pyramid.eval()
    return pyramid


@pytest.fixture(scope="module")
def module(network: Pyramid, tmp_path_factory: pytest.TempPathFactory) -> tvm.IRModule:
    prefix = str(Path(tmp_path_factory.mktemp("pyramid")) / "model")
    spec = paddle.static.InputSpec([None, 3, None, None], "float32", "x")
    paddle.jit.save(network, prefix, input_spec=[spec])
    return import_forms(find_model(prefix), CompileOptions())["main"].module


def test_only_the_result_leaves_the_blocked_layout(module):
    arranged = x86_target().arrange(module)
    called = [
        binding.value.args[0].name_hint
        for block in arranged["main"].body.blocks
        for binding in block.bindings
        if isinstance(binding.value, relax.Call) and isinstance(binding.value.args[0], ir.GlobalVar)
    ]
    assert [name for name in called if "block_channels" in name] == ["unblock_channels"]
    # The copy for the concatenation is one of whole blocks.
    assert sum(name.startswith("move_channels") for name in called) == 1


@pytest.mark.parametrize("mcpu", ["haswell", None])
def test_sizes_that_fit_and_sizes_that_do_not(module, network, mcpu, rng):
    target = x86_target(mcpu)
    machine = relax.VirtualMachine(build(lower(module, target), target), tvm.cpu())
    for size in ((2, 3, 8, 12), (1, 3, 36, 20)):
        x = rng.standard_normal(size).astype("float32")
        expected = network(paddle.to_tensor(x)).numpy()
        actual = machine["main"](tvm.runtime.tensor(x))[0].numpy()
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
    # 5 rows of the fine map, 3 of the coarse one.
    with pytest.raises(RuntimeError, match="shape"):
        machine["main"](tvm.runtime.tensor(np.zeros((1, 3, 10, 12), "float32")))


class Reread(paddle.nn.Layer):
    """Uses a product again after it was reshaped to sizes that fit for some inputs alone."""

    def forward(self, x: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        squares = paddle.matmul(x, x, transpose_y=True).reshape([0, 9, 3, 3])
        later = F.softmax(paddle.matmul(x + 1, x - 1, transpose_y=True), -1)
        return squares.sum([2, 3]) + later.sum(-1), squares


def test_a_checked_tensor_keeps_its_memory_until_its_last_use(tmp_path: Path, rng) -> None:
    prefix = str(tmp_path / "model")
    network = Reread()
    spec = paddle.static.InputSpec([None, None, 8], "float32", "x")
    paddle.jit.save(network, prefix, input_spec=[spec])
    module = import_forms(find_model(prefix), CompileOptions())["main"].module
    target = x86_target()
    machine = relax.VirtualMachine(build(lower(module, target), target), tvm.cpu())
    x = rng.standard_normal((1, 9, 8)).astype("float32")
    outputs = machine["main"](tvm.runtime.tensor(x))
    for actual, expected in zip(outputs, network(paddle.to_tensor(x)), strict=True):
        np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)
