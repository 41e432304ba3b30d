"""Kernels cut out of models compute the same in every form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest
import tvm
from paddle import nn
from paddle.static import InputSpec

from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.compiler.tuning.candidate import build, difference, unwritten
from paddle_tvm.compiler.tuning.kernel import TunableKernel
from paddle_tvm.compiler.tuning.tasks import kernels_of_model
from paddle_tvm.targets.x86 import x86_target

TARGET = x86_target()
SIZES = {"x_0": 2, "x_2": 13, "x_3": 10}


class Add(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(16, 32, 3, padding=1)
        self.skip = nn.Conv2D(16, 32, 1, bias_attr=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return nn.functional.relu(self.conv(x) + self.skip(x))


class Similarities(nn.Layer):
    """Products of what is no weight, over as many positions as a stride leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2D(16, 32, 3, 2, 1, bias_attr=False)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        positions = self.conv(x).flatten(2)
        return positions.matmul(positions.transpose([0, 2, 1]).matmul(positions), transpose_y=True)


LAYERS: dict[str, Callable[[], nn.Layer]] = {
    # Nothing is fused with these.
    "convolution": lambda: nn.Conv2D(16, 32, 3, padding=1, bias_attr=False),
    "pointwise": lambda: nn.Conv2D(16, 32, 1, bias_attr=False),
    "depthwise": lambda: nn.Conv2D(16, 16, 3, padding=1, groups=16, bias_attr=False),
    "residual": Add,
    # Sizes of the second and third are no dimension of their tensors.
    "strides": lambda: nn.Sequential(
        nn.Conv2D(16, 32, 3, 2, 1), nn.ReLU(), nn.Conv2D(32, 16, 1), nn.Conv2D(16, 16, 3, 2, 1, groups=16)
    ),
    # The same where nothing is fused with the second.
    "bare strides": lambda: nn.Sequential(
        nn.Conv2D(16, 32, 3, 2, 1, bias_attr=False), nn.Conv2D(32, 16, 1, bias_attr=False)
    ),
    "similarities": Similarities,
}


def run(kernel: TunableKernel, config: dict[str, int]) -> np.ndarray:
    output = tvm.runtime.tensor(unwritten(kernel))
    arguments = [tvm.runtime.tensor(array) for array in kernel.inputs(config, 0)]
    build(kernel, config, TARGET)["main"](*arguments, output, *kernel.sizes.values())
    return output.numpy()


@pytest.mark.parametrize("shape", [[2, 16, 13, 10], [None, 16, None, None]], ids=["fixed", "dynamic"])
@pytest.mark.parametrize("name", LAYERS)
def test_forms_of_a_kernel_agree(name: str, shape: list[int | None], tmp_path: Path) -> None:
    paddle.seed(0)
    paddle.jit.save(LAYERS[name](), str(tmp_path / "model"), [InputSpec(shape, "float32", "x")])
    kernels = kernels_of_model(tmp_path / "model", CompileOptions(), TARGET, SIZES)
    counts = {"residual": 2, "strides": 3, "bare strides": 2, "similarities": 3}
    assert len(kernels) == counts.get(name, 1)
    for kernel in kernels.values():
        default = kernel.workload.default()
        expected = run(kernel, dict(default))
        assert np.isfinite(expected).all()
        assert expected.std() > 0
        others = [config for config in kernel.workload.candidates() if config != default]
        for config in others[:: max(1, len(others) // 3)]:
            assert difference(run(kernel, dict(config)), expected) is None, config
