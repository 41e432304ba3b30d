"""Sentences on a terminal, wrapped at words; in files and pipes their lines stay whole."""

from __future__ import annotations

import os
import re
import sys
from typing import TextIO

import click

_WORD = re.compile(r"\S+")


def say(text: str, *, err: bool = False) -> None:
    """Print sentences, on stderr where ``err`` says so."""
    click.echo(wrapped(text, sys.stderr if err else sys.stdout), err=err)


def wrapped(text: str, stream: TextIO) -> str:
    """The text with its lines broken between words to a terminal's width; as it is for other streams."""
    if not stream.isatty():
        return text
    width = os.get_terminal_size(stream.fileno()).columns
    return "\n".join(_wrapped_line(line, width) for line in text.split("\n"))


def line_starts(line: str, width: int, indent: int = 0) -> list[int]:
    """Where the second and further lines begin that a line is broken into, each at a word.

    Parameters
    ----------
    line
        Without line ends.
    width
        Columns. What is longer, such as a path, is left to the terminal, which copies it in one piece.
    indent
        Columns that the second and further lines lose.
    """
    starts: list[int] = []
    begin = 0
    for word in _WORD.finditer(line):
        if word.end() - begin + (indent if starts else 0) > width and word.start() > indent:
            begin = word.start()
            starts.append(begin)
    return starts


def _wrapped_line(line: str, width: int) -> str:
    indent = len(line) - len(line.lstrip())
    # A terminal that does not tell its width has none to keep to.
    starts = line_starts(line, width, indent) if width > 0 else []
    pieces = [line[begin:end].rstrip() for begin, end in zip([0, *starts], [*starts, None], strict=True)]
    return f"\n{line[:indent]}".join(pieces)
