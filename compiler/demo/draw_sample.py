"""Draws the demo's picture and writes the text in it, line by line from the top, beside it.

Run once, with the Noto fonts that Debian packs as ``fonts-noto-cjk`` (SIL Open Font License); the picture is
shipped, the fonts are not::

    python -m paddle_tvm.compiler.demo.draw_sample /usr/share/fonts/opentype/noto compiler/demo
"""

# The Chinese lines have Chinese punctuation.
# ruff: noqa: RUF001

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 960, 736
PAPER = (250, 248, 243)
INK = (34, 38, 46)


@dataclass(frozen=True)
class Line:
    """One line of text and how it is set: ``at`` is the middle of the line, ``turn`` is in degrees."""

    text: str
    at: tuple[int, int]
    size: int
    font: str = "NotoSansCJK-Regular.ttc"
    ink: tuple[int, int, int] = INK
    band: tuple[int, int, int] | None = None
    turn: float = 0.0


LINES = (
    Line("Paddle models, compiled by TVM", (480, 62), 54, font="NotoSansCJK-Bold.ttc"),
    Line("飞桨模型提前编译，轻量部署", (480, 146), 44, ink=(168, 46, 38)),
    Line("The quick brown fox jumps over the lazy dog", (480, 218), 32, font="NotoSerifCJK-Regular.ttc"),
    Line("春眠不觉晓，处处闻啼鸟", (480, 284), 38, font="NotoSerifCJK-Bold.ttc"),
    Line("Order No. 2026-1138, total 47.50 EUR", (480, 350), 28, ink=(28, 84, 140)),
    Line("这一行文字是倒过来的", (480, 420), 36, turn=180),
    Line("This line is printed upside down", (480, 488), 34, font="NotoSansCJK-Bold.ttc", turn=180),
    Line("浅色文字，深色背景", (480, 560), 36, ink=(244, 240, 228), band=(36, 68, 82)),
    Line("A line that climbs to the right 斜着写的字", (480, 636), 32, turn=3),
    Line("小字也能看清：温度23.5度，湿度61%", (480, 704), 22),
)


def draw(fonts: Path) -> Image.Image:
    """Draw all lines on one page."""
    page = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    for line in LINES:
        # Index 2 of the collections is Simplified Chinese.
        font = ImageFont.truetype(str(fonts / line.font), line.size, index=2)
        if line.band is not None:
            middle, half = line.at[1], round(line.size * 0.95)
            ImageDraw.Draw(page).rectangle((60, middle - half, WIDTH - 60, middle + half), fill=line.band)
        strip = Image.new("RGBA", (WIDTH, line.size * 3), (*line.ink, 0))
        middle_of_strip = (WIDTH / 2, line.size * 1.5)
        ImageDraw.Draw(strip).text(middle_of_strip, line.text, font=font, fill=line.ink, anchor="mm")
        turned = strip.rotate(line.turn, resample=Image.Resampling.BICUBIC, expand=True)
        corner = (line.at[0] - turned.width // 2, line.at[1] - turned.height // 2)
        page.paste(turned, corner, turned)
    return page


def main() -> None:
    """Write ``sample.png`` and ``sample.txt``."""
    parser = argparse.ArgumentParser(description="Draw the demo's picture.")
    parser.add_argument("fonts", type=Path, help="folder that holds the NotoSansCJK and NotoSerifCJK files")
    parser.add_argument("folder", type=Path, help="where sample.png and sample.txt go")
    arguments = parser.parse_args()
    # A palette keeps the shipped file small; dithering would leave specks around the letters.
    page = draw(arguments.fonts).quantize(colors=64, dither=Image.Dither.NONE)
    page.save(arguments.folder / "sample.png", optimize=True)
    (arguments.folder / "sample.txt").write_text(
        "".join(f"{line.text}\n" for line in LINES), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
