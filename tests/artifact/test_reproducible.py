"""A model gives the same artifact, byte for byte, in every process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import paddle
from paddle import nn
from paddle.static import InputSpec

_COMPILE = (
    "import sys; from paddle_tvm import compiler; compiler.compile(sys.argv[1], sys.argv[2], mcpu='haswell')"
)


def _layer(channels: int) -> nn.Layer:
    class Gated(nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2D(channels, channels, 3, padding=1)
            self.gate = nn.Conv2D(channels, channels, 1)

        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            y = nn.functional.hardswish(self.conv(x))
            return x + y * nn.functional.hardsigmoid(self.gate(y.mean([2, 3], keepdim=True)))

    return Gated()


def test_dynamic_models_give_the_same_bytes(tmp_path: Path) -> None:
    # What TVM merges, and the order of sizes, follow from addresses, which differ between processes.
    paddle.seed(0)
    halves = [nn.Sequential(*[_layer(channels) for _ in range(3)]) for channels in (24, 48)]
    between = nn.Conv2D(24, 48, 3, stride=2, padding=1)
    head = nn.Conv2D(48, 10, 1)
    net = nn.Sequential(nn.Conv2D(3, 24, 3, stride=2, padding=1), halves[0], between, halves[1], head)
    paddle.jit.save(net, str(tmp_path / "model"), [InputSpec([None, 3, None, None], "float32", "x")])
    outputs = [tmp_path / f"{number}.pdtvm" for number in range(3)]
    for output in outputs:
        subprocess.run([sys.executable, "-c", _COMPILE, str(tmp_path / "model"), str(output)], check=True)
    files = sorted(path.relative_to(outputs[0]) for path in outputs[0].rglob("*") if path.is_file())
    assert len(files) > 3
    for file in files:
        contents = {(output / file).read_bytes() for output in outputs}
        assert len(contents) == 1, file
