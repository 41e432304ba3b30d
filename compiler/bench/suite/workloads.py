"""What the suite times: models at the shapes that they are used at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from paddle_tvm.compiler.demo.weights import DETECTION, RECOGNITION
from paddle_tvm.runtime.errors import UsageError


class Input(NamedTuple):
    """An input: normal random floats, or integers from ``low`` to below ``high``."""

    shape: tuple[int, ...]
    low: int | None = None
    high: int = 0

    def values(self, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Random values."""
        if self.low is None:
            return rng.standard_normal(self.shape).astype("float32")
        return rng.integers(self.low, self.high, self.shape)


@dataclass(frozen=True)
class Workload:
    """A model with its inputs; ``model`` is a name in ``models.MODELS``, or one of the demo's OCR models."""

    name: str
    title: str
    model: str
    inputs: dict[str, Input]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by input name."""
        return {name: spec.shape for name, spec in self.inputs.items()}

    def random_inputs(self, seed: int) -> dict[str, npt.NDArray[Any]]:
        """What every engine is fed."""
        rng = np.random.default_rng(seed)
        return {name: spec.values(rng) for name, spec in self.inputs.items()}


def _picture(name: str, title: str, height: int, width: int, batch: int = 1, model: str = "") -> Workload:
    return Workload(name, title, model or name, {"x": Input((batch, 3, height, width))})


_LENGTH = 128

# The mask lets every word through, as for a text that fills its length.
_BERT_INPUTS = {
    "words": Input((1, _LENGTH), 0, 30522),
    "types": Input((1, _LENGTH), 0, 2),
    "mask": Input((1, _LENGTH), 1, 2),
}

SUITE: tuple[Workload, ...] = (
    _picture("resnet50", "ResNet50 224", 224, 224),
    _picture("mobilenet_v1", "MobileNetV1 224", 224, 224),
    _picture("mobilenet_v2", "MobileNetV2 224", 224, 224),
    _picture("mobilenet_v3_large", "MobileNetV3-large 224", 224, 224),
    _picture("mobilenet_v3_small", "MobileNetV3-small 224", 224, 224),
    _picture("vgg16", "VGG16 224", 224, 224),
    _picture("densenet121", "DenseNet121 224", 224, 224),
    _picture("inception_v3", "InceptionV3 299", 299, 299),
    _picture("shufflenet_v2", "ShuffleNetV2 224", 224, 224),
    _picture("ocr_detection", "PP-OCRv4 detection 640x640", 640, 640, model=DETECTION),
    _picture("ocr_recognition", "PP-OCRv4 recognition 48x320", 48, 320, model=RECOGNITION),
    Workload("bert", f"BERT-base encoder, length {_LENGTH}", "bert", _BERT_INPUTS),
    Workload("lstm", "LSTM classifier, length 100", "lstm", {"words": Input((1, 100), 0, 10000)}),
    _picture("resnet50_batch8", "ResNet50 224, batch 8", 224, 224, batch=8, model="resnet50"),
)


def choose_workloads(names: Sequence[str]) -> tuple[Workload, ...]:
    """The named workloads in the suite's order; all where no name is given.

    Raises
    ------
    UsageError
        A name is not known.
    """
    known = {workload.name for workload in SUITE}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(
            f"--models {', '.join(unknown)} is not in the suite; it has {', '.join(w.name for w in SUITE)}"
        )
    return tuple(workload for workload in SUITE if not names or workload.name in names)
