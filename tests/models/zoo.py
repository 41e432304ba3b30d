"""The models that must compile: each is built and saved by Paddle, with weights that let signals through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
from paddle import nn
from paddle.static import InputSpec

from paddle_tvm.compiler.bench.suite.models import (
    SEED,
    RecurrentClassifier,
    save_encoder,
    save_layer,
    save_recurrent,
    save_vision,
)
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


def _vision(
    build: Callable[..., nn.Layer],
    first: tuple[int, int],
    second: tuple[int, int] | None = None,
    channels: int = 3,
    quick: bool = False,
) -> ZooModel:
    """A vision model; without a second size its height and width are fixed."""
    save = partial(
        save_vision,
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


def _save_encoder(folder: Path) -> Path:
    return save_encoder(folder, words=WORDS, width=64, layers=2, heads=4, positions=64, feed_forward=128)


class RecurrentClassifierWithLengths(RecurrentClassifier):
    """As above, for texts of several lengths in a batch."""

    def forward(self, words: Any, lengths: Any) -> Any:
        return self.classify(words, lengths)


def _save_recurrent(folder: Path, network: Callable[..., nn.Layer], lengths: bool) -> Path:
    sizes = {"words": WORDS, "width": 32, "hidden": 48}
    if not lengths:
        return save_recurrent(folder, network, **sizes)
    paddle.seed(SEED)
    specs = [InputSpec((-1, -1), "int64", "words"), InputSpec((-1,), "int64", "lengths")]
    return save_layer(RecurrentClassifierWithLengths(network, **sizes), specs, folder)


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
