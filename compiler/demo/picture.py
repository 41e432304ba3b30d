"""Pictures as arrays: reading them, cutting boxes out of them, resizing and normalising them for a model."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from paddle_tvm.runtime.errors import UsageError

# Height x width x 3, uint8, in the order blue, green, red, which is what PP-OCR was trained on.
Picture: TypeAlias = NDArray[np.uint8]
# Four corners (x, y), clockwise from the top left; in pixels, whose centres are at whole numbers.
Box: TypeAlias = NDArray[np.float64]
FloatArray: TypeAlias = NDArray[np.float32]

SAMPLE = Path(__file__).with_name("sample.png")


def read_picture(path: Path) -> Picture:
    """Read a picture as it is meant to be seen: turned as its EXIF data say, transparency over white.

    Raises
    ------
    UsageError
        The file is missing, no picture, damaged or too large.
    """
    if not path.is_file():
        raise UsageError(f"cannot read the picture {path}: there is no such file")
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UsageError(
            f"cannot read the picture {path}: {error}. Give a PNG, JPEG, WebP, BMP or TIFF file with --image"
        ) from error
    page = Image.new("RGBA", upright.size, "white")
    page.alpha_composite(upright)
    return np.ascontiguousarray(np.asarray(page.convert("RGB"))[:, :, ::-1])


def sample_lines() -> list[str]:
    """Return the text of the shipped picture, line by line from the top."""
    return SAMPLE.with_suffix(".txt").read_text(encoding="utf-8").splitlines()


def resize(picture: Picture, width: int, height: int) -> Picture:
    """Resize to ``width`` x ``height`` pixels, bilinear, with the averaging that shrinking needs."""
    resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def to_input(picture: Picture) -> FloatArray:
    """Scale to [-1, 1] and put the channels first: the ``(3, height, width)`` that the PP-OCR models take."""
    scaled = picture.astype(np.float32) * np.float32(2 / 255) - np.float32(1)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def fit_height(crop: Picture, height: int, width: int) -> FloatArray:
    """Scale a line to ``height``, at most ``width`` wide, and fill the rest on the right with zeros.

    Returns
    -------
    numpy.ndarray
        ``(3, height, width)``, float32.
    """
    natural = -(-height * crop.shape[1] // crop.shape[0])
    inked = min(width, max(1, natural))
    padded = np.zeros((3, height, width), np.float32)
    padded[:, :, :inked] = to_input(resize(crop, inked, height))
    return padded


def cut_out(picture: Picture, box: Box) -> Picture:
    """Cut a box out of a picture and set it level; a box much taller than wide is turned to the left.

    Where the box leaves the picture, the pixels at the edge are repeated.
    """
    top_left, top_right, _, bottom_left = box
    across, down = top_right - top_left, bottom_left - top_left
    width = max(1, round(float(np.hypot(*across))))
    height = max(1, round(float(np.hypot(*down))))
    u = ((np.arange(width) + 0.5) / width)[None, :, None]
    v = ((np.arange(height) + 0.5) / height)[:, None, None]
    level = _sample_bilinear(picture, top_left + u * across + v * down)
    # From this ratio on PP-OCR takes a box for a line that runs upwards.
    return np.ascontiguousarray(np.rot90(level)) if height >= 1.5 * width else level


def _sample_bilinear(picture: Picture, points: NDArray[np.float64]) -> Picture:
    rows, columns = picture.shape[:2]
    x = np.clip(points[..., 0], 0, columns - 1)
    y = np.clip(points[..., 1], 0, rows - 1)
    left, top = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    right, bottom = np.minimum(left + 1, columns - 1), np.minimum(top + 1, rows - 1)
    fx, fy = (x - left)[..., None], (y - top)[..., None]
    upper = picture[top, left] * (1 - fx) + picture[top, right] * fx
    lower = picture[bottom, left] * (1 - fx) + picture[bottom, right] * fx
    mixed: Picture = np.rint(upper * (1 - fy) + lower * fy).astype(np.uint8)
    return mixed
