"""The models that must compile: each is built and saved by Paddle, with weights that let signals through."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
from paddle import nn
from paddle.static import InputSpec

from paddle_tvm.compiler.demo.weights import DETECTION, DIRECTION, RECOGNITION, find_weights

Arrays = dict[str, npt.NDArray[np.generic]]
Shapes = Mapping[str, tuple[int, ...]]

WORDS = 97
"""Size of the vocabulary of the text models."""


@dataclass(frozen=True)
class ZooModel:
    """A model: ``save`` writes it below a folder and gives its path; two sets of shapes to verify with.

    ``quick`` models belong to every test run, the others to the long one.
    """

    save: Callable[[Path], Path]
    shapes: tuple[Shapes, Shapes]
    quick: bool = False

    def random_inputs(self, shapes: Shapes, seed: int) -> Arrays:
        """Inputs such as the model's users have."""
        rng = np.random.default_rng(seed)
        return {name: _random_input(name, shape, shapes, rng) for name, shape in shapes.items()}


def _random_input(
    name: str, shape: tuple[int, ...], shapes: Shapes, rng: np.random.Generator
) -> npt.NDArray[np.generic]:
    if name == "words":
        return rng.integers(0, WORDS, shape)
    if name == "types":
        return rng.integers(0, 2, shape)
    if name == "lengths":
        return rng.integers(1, shapes["words"][1] + 1, shape)
    if name == "mask":
        # Every text has at least one word.
        lengths = rng.integers(1, shape[1] + 1, (shape[0], 1))
        return (np.arange(shape[1]) < lengths).astype("int64")
    return rng.standard_normal(shape).astype("float32")


def _save(layer: nn.Layer, specs: Sequence[InputSpec], folder: Path) -> Path:
    layer.eval()
    prefix = folder / "model"
    paddle.jit.save(layer, str(prefix), input_spec=list(specs))
    return prefix


def _scale_weights(network: nn.Layer, picture: tuple[int, ...]) -> None:
    """Give random weights that keep the size of a signal, and statistics that fit a random picture.

    He's initialisation (https://arxiv.org/abs/1502.01852). With Paddle's own, and batch norms that have
    seen nothing, signals fade on their way and every input gives the same output.
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


def _save_vision(
    folder: Path,
    build: Callable[..., nn.Layer],
    height: int,
    width: int,
    dynamic: bool,
    channels: int,
) -> Path:
    paddle.seed(20261122)
    network = build()
    _scale_weights(network, (4, channels, height, width))
    size = (-1, -1) if dynamic else (height, width)
    return _save(network, [InputSpec((-1, channels, *size), "float32", "x")], folder)


def _vision(
    build: Callable[..., nn.Layer],
    first: tuple[int, int],
    second: tuple[int, int] | None = None,
    channels: int = 3,
    quick: bool = False,
) -> ZooModel:
    """A vision model; without a second size its height and width are fixed."""
    save = partial(
        _save_vision,
        build=build,
        height=first[0],
        width=first[1],
        dynamic=second is not None,
        channels=channels,
    )
    shapes = {"x": (1, channels, *first)}, {"x": (2, channels, *(second or first))}
    return ZooModel(save, shapes, quick)


def _ocr(model: str, first: tuple[int, ...], second: tuple[int, ...]) -> ZooModel:
    return ZooModel(lambda folder: find_weights().programs[model], ({"x": first}, {"x": second}), quick=True)


class Encoder(nn.Layer):
    """As BERT: embeddings of words, positions and types, encoder layers, and a pooled first word."""

    def __init__(self, width: int = 64, layers: int = 2, heads: int = 4, positions: int = 64) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, width)
        self.positions = nn.Embedding(positions, width)
        self.types = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(0.1)
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.pool = nn.Linear(width, width)

    def forward(self, words: Any, types: Any, mask: Any) -> tuple[Any, Any]:
        ones = paddle.ones_like(words)
        positions = paddle.cumsum(ones, axis=-1) - ones
        embedded = self.words(words) + self.positions(positions) + self.types(types)
        added = (1.0 - mask.astype("float32").unsqueeze([1, 2])) * -1e4
        encoded = self.encoder(self.dropout(self.norm(embedded)), added)
        return encoded, paddle.tanh(self.pool(encoded[:, 0]))


def _save_encoder(folder: Path) -> Path:
    paddle.seed(20261122)
    specs = [InputSpec((-1, -1), "int64", name) for name in ("words", "types", "mask")]
    return _save(Encoder(), specs, folder)


class RecurrentClassifier(nn.Layer):
    """Embedding, two bidirectional layers, and the classes from the last hidden states of the top one."""

    def __init__(self, network: Callable[..., nn.Layer]) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 32)
        self.network = network(32, 48, num_layers=2, direction="bidirect", dropout=0.2)
        self.classes = nn.Linear(96, 5)

    def classify(self, words: Any, lengths: Any) -> Any:
        _, states = self.network(self.words(words), sequence_length=lengths)
        hidden = states[0] if isinstance(states, tuple) else states
        return paddle.nn.functional.softmax(self.classes(paddle.concat([hidden[-2], hidden[-1]], axis=-1)))

    def forward(self, words: Any) -> Any:
        return self.classify(words, None)


class RecurrentClassifierWithLengths(RecurrentClassifier):
    """As above, for texts of several lengths in a batch."""

    def forward(self, words: Any, lengths: Any) -> Any:
        return self.classify(words, lengths)


def _save_recurrent(folder: Path, network: Callable[..., nn.Layer], lengths: bool) -> Path:
    paddle.seed(20261122)
    specs = [InputSpec((-1, -1), "int64", "words")]
    if lengths:
        return _save(
            RecurrentClassifierWithLengths(network), [*specs, InputSpec((-1,), "int64", "lengths")], folder
        )
    return _save(RecurrentClassifier(network), specs, folder)


def _recurrent(network: Callable[..., nn.Layer], lengths: bool) -> ZooModel:
    shapes: list[Shapes] = [{"words": (1, 12)}, {"words": (3, 7)}]
    if lengths:
        shapes = [{**one, "lengths": one["words"][:1]} for one in shapes]
    save = partial(_save_recurrent, network=network, lengths=lengths)
    return ZooModel(save, (shapes[0], shapes[1]), quick=True)


def _text(batch: int, length: int) -> Shapes:
    return dict.fromkeys(("words", "types", "mask"), (batch, length))


_models = paddle.vision.models

ZOO: dict[str, ZooModel] = {
    "lenet": _vision(_models.LeNet, (28, 28), channels=1, quick=True),
    "alexnet": _vision(_models.alexnet, (224, 224)),
    "vgg16": _vision(_models.vgg16, (64, 64), (96, 64)),
    "resnet18": _vision(_models.resnet18, (64, 64), (96, 64), quick=True),
    "resnet50": _vision(_models.resnet50, (64, 64), (96, 64), quick=True),
    "resnext50": _vision(_models.resnext50_32x4d, (64, 64), (96, 64)),
    "wide_resnet50": _vision(_models.wide_resnet50_2, (64, 64), (96, 64)),
    "mobilenet_v1": _vision(_models.mobilenet_v1, (64, 64), (96, 64), quick=True),
    "mobilenet_v2": _vision(_models.mobilenet_v2, (64, 64), (96, 64)),
    "mobilenet_v3_small": _vision(_models.mobilenet_v3_small, (64, 64), (96, 64), quick=True),
    "mobilenet_v3_large": _vision(_models.mobilenet_v3_large, (64, 64), (96, 64)),
    "squeezenet": _vision(_models.squeezenet1_1, (64, 64), (96, 64), quick=True),
    "densenet121": _vision(_models.densenet121, (64, 64), (96, 64)),
    # The auxiliary classifiers fix the size.
    "googlenet": _vision(_models.googlenet, (224, 224)),
    "inception_v3": _vision(_models.inception_v3, (139, 139), (171, 139)),
    # Paddle saves its channel shuffle with at most one unknown dimension, and that is the batch.
    "shufflenet_v2": _vision(_models.shufflenet_v2_x1_0, (96, 64), quick=True),
    "ocr_detection": _ocr(DETECTION, (1, 3, 96, 160), (2, 3, 160, 64)),
    "ocr_direction": _ocr(DIRECTION, (1, 3, 48, 192), (3, 3, 48, 100)),
    "ocr_recognition": _ocr(RECOGNITION, (1, 3, 48, 160), (2, 3, 48, 96)),
    "encoder": ZooModel(_save_encoder, (_text(1, 24), _text(3, 10)), quick=True),
    "lstm_classifier": _recurrent(nn.LSTM, lengths=True),
    "gru_classifier": _recurrent(nn.GRU, lengths=False),
}
