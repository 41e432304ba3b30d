"""The picture with its recognised lines marked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .picture import Picture
from .pipeline import TextLine

UPRIGHT = (20, 128, 92)
TURNED = (206, 92, 0)
# Marks are drawn larger and shrunk, since Pillow does not smooth their edges; on large pictures that would
# not be seen and take gigabytes.
SMOOTHING = 3
LARGE = 2000


def annotate(picture: Picture, lines: Sequence[TextLine]) -> Image.Image:
    """Draw a box around each line, with the line's number at its left; orange where it is upside down.

    The text itself stays out: it would need a font with every character that the recogniser knows.
    """
    page = Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1])).convert("RGBA")
    factor = SMOOTHING if max(page.size) <= LARGE else 1
    size = (page.width * factor, page.height * factor)
    marks = Image.new("RGBA", size, (255, 255, 255, 0))
    draw = ImageDraw.Draw(marks)
    unit = max(0.5, max(page.size) / 960) * factor
    font = ImageFont.load_default(15 * unit)
    for number, line in enumerate(lines, start=1):
        colour = TURNED if line.turned else UPRIGHT
        corners = [tuple(corner) for corner in ((line.box + 0.5) * factor).tolist()]
        draw.polygon(corners, fill=(*colour, 36))
        draw.line([*corners, corners[0]], fill=colour, width=round(2 * unit), joint="curve")
        radius = 12 * unit
        middle = (line.box[0] + line.box[3] + 1) / 2 * factor - (radius + 4 * unit, 0)
        x, y = np.clip(middle, radius, np.array(size) - radius).tolist()
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        draw.text((x, y), str(number), font=font, fill="white", anchor="mm")
    return Image.alpha_composite(page, marks.resize(page.size, Image.Resampling.LANCZOS)).convert("RGB")
