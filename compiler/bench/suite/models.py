"""The models of the suite: built and saved by Paddle, with weights that let signals through.

``python -m paddle_tvm.compiler.bench.suite.models NAME FOLDER`` saves one; Paddle stays in that process.
"""

from __future__ import annotations

import filecmp
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn
from paddle.static import InputSpec

SEED = 20261122

FIXED = "fixed"
"""Folder beside a dynamic model for the same one with known sizes; see ``saved_models.model_to_convert``."""

TEXT_INPUTS = ("words", "types", "mask")


def save_layer(layer: Any, specs: Sequence[InputSpec], folder: Path) -> Path:
    """Save a network for inference as ``folder/model``, and return that prefix."""
    layer.eval()
    prefix = folder / "model"
    paddle.jit.save(layer, str(prefix), input_spec=list(specs))
    return prefix


def scale_weights(network: Any, picture: tuple[int, ...]) -> None:
    """Give random weights that keep the size of a signal, and statistics that fit a random picture.

    He's initialisation (https://arxiv.org/abs/1502.01852). With Paddle's own, and batch norms that have
    seen nothing, signals fade on their way and every input gives the same output.

    Parameters
    ----------
    network
        A ``paddle.nn.Layer`` that takes one picture; it is left in evaluation mode.
    picture
        Shape of the random pictures that the statistics are taken from, [batch, channels, height, width].
    """
    norms = []
    for layer in network.sublayers():
        if isinstance(layer, nn.Conv2D | nn.Linear):
            shape = layer.weight.shape
            inputs = int(np.prod(shape[1:])) if isinstance(layer, nn.Conv2D) else shape[0]
            layer.weight.set_value(paddle.randn(shape) * (2 / inputs) ** 0.5)
            if layer.bias is not None:
                layer.bias.set_value(paddle.randn(layer.bias.shape) * 0.1)
        elif isinstance(layer, nn.BatchNorm2D | nn.BatchNorm):
            layer.weight.set_value(paddle.uniform(layer.weight.shape, min=0.5, max=1.5))
            layer.bias.set_value(paddle.randn(layer.bias.shape) * 0.1)
            norms.append(layer)
    network.eval()
    # A momentum of zero takes the statistics of this batch as they are.
    momenta = [layer._momentum for layer in norms]
    for layer in norms:
        layer._momentum = 0.0
        layer.train()
    with paddle.no_grad():
        network(paddle.randn(picture))
    for layer, momentum in zip(norms, momenta, strict=True):
        layer._momentum = momentum
        layer.eval()


def save_vision(
    folder: Path, build: Callable[[], Any], height: int, width: int, dynamic: bool, channels: int
) -> Path:
    """Save a vision model with input ``x``; the batch is dynamic, height and width as asked."""
    paddle.seed(SEED)
    network = build()
    scale_weights(network, (4, channels, height, width))
    size = (-1, -1) if dynamic else (height, width)
    return save_layer(network, [InputSpec((-1, channels, *size), "float32", "x")], folder)


class Encoder(nn.Layer):  # type: ignore[misc]  # Paddle has no types.
    """As BERT: embeddings of words, positions and types, encoder layers, and a pooled first word."""

    def __init__(
        self, words: int, width: int, layers: int, heads: int, positions: int, feed_forward: int
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.positions = nn.Embedding(positions, width)
        self.types = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(0.1)
        layer = nn.TransformerEncoderLayer(width, heads, feed_forward, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.pool = nn.Linear(width, width)

    def forward(self, words: Any, types: Any, mask: Any) -> tuple[Any, Any]:
        ones = paddle.ones_like(words)
        positions = paddle.cumsum(ones, axis=-1) - ones
        embedded = self.words(words) + self.positions(positions) + self.types(types)
        added = (1.0 - mask.astype("float32").unsqueeze([1, 2])) * -1e4
        encoded = self.encoder(self.dropout(self.norm(embedded)), added)
        return encoded, paddle.tanh(self.pool(encoded[:, 0]))


class RecurrentClassifier(nn.Layer):  # type: ignore[misc]  # Paddle has no types.
    """Embedding, two bidirectional layers, and the classes from the last hidden states of the top one."""

    def __init__(self, network: Callable[..., Any], words: int, width: int, hidden: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.network = network(width, hidden, num_layers=2, direction="bidirect", dropout=0.2)
        self.classes = nn.Linear(2 * hidden, 5)

    def classify(self, words: Any, lengths: Any) -> Any:
        _, states = self.network(self.words(words), sequence_length=lengths)
        hidden = states[0] if isinstance(states, tuple) else states
        return paddle.nn.functional.softmax(self.classes(paddle.concat([hidden[-2], hidden[-1]], axis=-1)))

    def forward(self, words: Any) -> Any:
        return self.classify(words, None)


def save_vision_forms(folder: Path, build: Callable[[], Any], height: int, width: int) -> Path:
    """Save a vision model with every size dynamic, and once more, as ``FIXED``, with its height and width.

    paddle2onnx 2.1 converts some operators, adaptive pooling among them, at known sizes only.
    """
    prefix = save_vision(folder, build, height, width, dynamic=True, channels=3)
    fixed = folder / FIXED
    fixed.mkdir()
    # Parameters are saved in the order of their names, which count on otherwise.
    with paddle.utils.unique_name.guard():
        again = save_vision(fixed, build, height, width, dynamic=False, channels=3)
    weights, others = (path.with_suffix(".pdiparams") for path in (prefix, again))
    if filecmp.cmp(weights, others, shallow=False):
        # Half a gigabyte for VGG16.
        others.unlink()
        others.hardlink_to(weights)
    return prefix


def save_encoder(folder: Path, **sizes: int) -> Path:
    """Save an ``Encoder`` of these sizes; batch and length are dynamic."""
    paddle.seed(SEED)
    specs = [InputSpec((-1, -1), "int64", name) for name in TEXT_INPUTS]
    return save_layer(Encoder(**sizes), specs, folder)


def save_recurrent(folder: Path, network: Callable[..., Any], **sizes: int) -> Path:
    """Save a ``RecurrentClassifier`` of these sizes; batch and length are dynamic."""
    paddle.seed(SEED)
    specs = [InputSpec((-1, -1), "int64", "words")]
    return save_layer(RecurrentClassifier(network, **sizes), specs, folder)


def _vision(build: Callable[[], Any], size: int = 224) -> Callable[[Path], Path]:
    return partial(save_vision_forms, build=build, height=size, width=size)


_models = paddle.vision.models

MODELS: dict[str, Callable[[Path], Path]] = {
    "resnet50": _vision(_models.resnet50),
    "mobilenet_v1": _vision(_models.mobilenet_v1),
    "mobilenet_v2": _vision(_models.mobilenet_v2),
    "mobilenet_v3_large": _vision(_models.mobilenet_v3_large),
    "mobilenet_v3_small": _vision(_models.mobilenet_v3_small),
    "vgg16": _vision(_models.vgg16),
    "densenet121": _vision(_models.densenet121),
    "inception_v3": _vision(_models.inception_v3, 299),
    # Paddle saves its channel shuffle with at most one unknown dimension, and that is the batch.
    "shufflenet_v2": partial(
        save_vision,
        build=_models.shufflenet_v2_x1_0,
        height=224,
        width=224,
        dynamic=False,
        channels=3,
    ),
    # BERT base, uncased: https://arxiv.org/abs/1810.04805
    "bert": partial(
        save_encoder, words=30522, width=768, layers=12, heads=12, positions=512, feed_forward=3072
    ),
    "lstm": partial(save_recurrent, network=nn.LSTM, words=10000, width=256, hidden=256),
}
"""How to save each model below a folder."""


if __name__ == "__main__":
    MODELS[sys.argv[1]](Path(sys.argv[2]))
