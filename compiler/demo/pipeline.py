"""The OCR pipeline: detection, direction, recognition, on any engine that runs the three models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .detection import boxes_from_map, detector_input
from .picture import Box, FloatArray, Picture, cut_out
from .recognition import decode, direction_batches, recogniser_input, upside_down
from .weights import DETECTION, DIRECTION, RECOGNITION

LOWEST_SCORE = 0.5


class Engine(Protocol):
    """What runs the models."""

    def run(self, model: str, array: FloatArray) -> FloatArray:
        """Run one model on its one input and return its one output."""


@dataclass(frozen=True)
class TextLine:
    """A recognised line: its text, the mean probability of its characters, and where it stands."""

    text: str
    score: float
    box: Box
    turned: bool


def read_lines(picture: Picture, engine: Engine, characters: Sequence[str]) -> list[TextLine]:
    """Find and read all lines of a picture, in reading order.

    Parameters
    ----------
    picture
        Height x width x 3, uint8, blue first.
    engine
        Runs the models.
    characters
        What each class of the recogniser stands for.
    """
    height, width = picture.shape[:2]
    boxes = boxes_from_map(engine.run(DETECTION, detector_input(picture)), width, height)
    crops = [cut_out(picture, box) for box in boxes]
    turns = [
        turned for batch in direction_batches(crops) for turned in upside_down(engine.run(DIRECTION, batch))
    ]
    lines = []
    for box, crop, turned in zip(boxes, crops, turns, strict=True):
        upright = np.ascontiguousarray(crop[::-1, ::-1]) if turned else crop
        text, score = decode(engine.run(RECOGNITION, recogniser_input(upright)), characters)
        if text.strip() and score >= LOWEST_SCORE:
            lines.append(TextLine(text, score, box, turned))
    return lines
