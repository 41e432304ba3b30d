"""Text detection: the picture as the detector takes it, and boxes out of its probability map.

The map comes from differentiable binarisation (Liao et al., "Real-time Scene Text Detection with
Differentiable Binarization", AAAI 2020); the constants are those that the weights are shipped with.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .picture import Box, FloatArray, Picture, resize, to_input
from .regions import connected_regions, smallest_rectangle

SHORT_SIDE = 736
LONG_SIDE = 2000
STRIDE = 32
PIXEL_THRESHOLD = 0.3
BOX_THRESHOLD = 0.5
UNCLIP_RATIO = 1.6
SMALLEST_SIDE = 3
MOST_BOXES = 1000


def detector_input(picture: Picture) -> FloatArray:
    """Resize to what the detector takes: sides of multiples of 32, the short one at least 736 pixels.

    The long side stays within about 2000 pixels, even where the short one then falls below 736.

    Returns
    -------
    numpy.ndarray
        ``(1, 3, height, width)``, float32.
    """
    height, width = picture.shape[:2]
    scale = max(1.0, SHORT_SIDE / min(height, width))
    scale = min(scale, LONG_SIDE / max(height, width))
    sides = [max(STRIDE, round(side * scale / STRIDE) * STRIDE) for side in (width, height)]
    return to_input(resize(picture, *sides))[None]


def boxes_from_map(probabilities: FloatArray, width: int, height: int) -> list[Box]:
    """Turn the detector's map into boxes of a picture of ``width`` x ``height`` pixels, in reading order.

    Parameters
    ----------
    probabilities
        The detector's output, ``(1, 1, map height, map width)``.
    """
    values = probabilities[0, 0]
    scale = np.array([width / values.shape[1], height / values.shape[0]])
    boxes = []
    for points in connected_regions(_thicken(values > PIXEL_THRESHOLD))[:MOST_BOXES]:
        core = smallest_rectangle(points)
        if min(core.width, core.height) < SMALLEST_SIDE:
            continue
        if _mean_inside(values, core.corners()) < BOX_THRESHOLD:
            continue
        # The network is trained on boxes shrunk by area * (1 - r^2) / perimeter; this undoes it.
        margin = core.width * core.height * UNCLIP_RATIO / (2 * (core.width + core.height))
        boxes.append((core.grown(margin).corners() + 0.5) * scale - 0.5)
    return in_reading_order(boxes)


def in_reading_order(boxes: list[Box]) -> list[Box]:
    """Sort boxes by line from the top, and from the left within a line."""
    lines: list[list[Box]] = []
    for box in sorted(boxes, key=lambda box: float(box[:, 1].mean())):
        if lines and _on_one_line(lines[-1][0], box):
            lines[-1].append(box)
        else:
            lines.append([box])
    return [box for line in lines for box in sorted(line, key=lambda box: float(box[:, 0].mean()))]


def _on_one_line(first: Box, box: Box) -> bool:
    height = min(float(np.hypot(*(one[3] - one[0]))) for one in (first, box))
    return float(box[:, 1].mean() - first[:, 1].mean()) < height / 2


def _thicken(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Dilate with a 2x2 square: strokes one pixel apart become one region."""
    thick: NDArray[np.bool_] = mask.copy()
    thick[1:] |= mask[:-1]
    thick[:, 1:] |= mask[:, :-1]
    thick[1:, 1:] |= mask[:-1, :-1]
    return thick


def _mean_inside(values: FloatArray, corners: NDArray[np.float64]) -> float:
    rows, columns = values.shape
    left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, [columns - 1, rows - 1])
    right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, [columns - 1, rows - 1])
    inside = Image.new("1", (int(right - left + 1), int(bottom - top + 1)))
    ImageDraw.Draw(inside).polygon([(x - left, y - top) for x, y in corners.tolist()], fill=1)
    mask = np.asarray(inside)
    return float(values[top : bottom + 1, left : right + 1][mask].mean()) if mask.any() else 0.0
