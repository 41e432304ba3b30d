"""Aligned plain text, for the commands that work without the compiler extra."""

from __future__ import annotations

from collections.abc import Sequence
from shutil import get_terminal_size
from textwrap import wrap

import click

# Columns where there is no terminal to ask, and those that a value gets at least.
_PLAIN_WIDTH = 120
_NARROWEST = 40


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Print rows under a header, columns of ``right`` aligned to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for number, row in enumerate((header, *rows)):
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = "  ".join(cells).rstrip()
        click.echo(click.style(line, bold=True) if number == 0 else line)


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values; values that are longer than a line go on in the next one."""
    width = max(len(name) for name, _ in pairs)
    room = max(get_terminal_size((_PLAIN_WIDTH, 0)).columns - width - 2, _NARROWEST)
    for name, value in pairs:
        lines = wrap(value, room, break_long_words=False, break_on_hyphens=False) or [""]
        for number, line in enumerate(lines):
            click.echo(f"{('' if number else name).ljust(width)}  {line}".rstrip())


def format_shape(shape: Sequence[int | str] | None) -> str:
    """A shape as ``[1, 3, height, width]``; -1 is shown as ``?``, and None is a shape of unknown rank."""
    if shape is None:
        return "unknown rank"
    return "[" + ", ".join("?" if dim == -1 else str(dim) for dim in shape) + "]"


def format_bytes(size: float) -> str:
    """A size in bytes, kB, MB or GB (powers of ten)."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def format_count(number: float, unit: str = "") -> str:
    """A number with k, M or G behind it where it is large, and its unit."""
    for prefix in ("", "k", "M", "G"):
        if number < 1000:
            return f"{number:.3g} {prefix}{unit}" if prefix else f"{int(number)} {unit}".rstrip()
        number /= 1000
    return f"{number:.3g} T{unit}"
