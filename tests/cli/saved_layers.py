"""Small Paddle models, saved as Paddle's users save them."""

from __future__ import annotations

from pathlib import Path

import paddle
from paddle import nn
from paddle.static import InputSpec


class SmallNetwork(nn.Layer):  # type: ignore[misc]
    """A convolution, a mean over the picture, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2D(3, 4, 3, padding=1)
        self.linear = nn.Linear(4, 5)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        pictures = nn.functional.relu(self.convolution(x))
        return self.linear(pictures.flatten(2).max(axis=-1))


def save(layer: nn.Layer, folder: Path, *specs: InputSpec) -> Path:
    """Save a layer as Paddle's users do."""
    layer.eval()
    paddle.jit.save(layer, str(folder / "inference"), input_spec=list(specs))
    return folder
