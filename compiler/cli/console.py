"""Rich's console as the commands use it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from paddle_tvm.compiler.cli.prose import line_starts

_PLAIN_WIDTH = 120
"""Columns where there is no terminal to ask: Rich's own 80 would fold tables in files and pipes."""


# Of the longest name of a stage, which has a CPU's in it.
_NAME_WIDTH = 38


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # Rich would exit with 1, which is the code of a bug.
        raise BrokenPipeError

    def print(self, *objects: Any, soft_wrap: bool | None = None, **settings: Any) -> None:
        """As Rich's; but what is sentences, and thus softly wrapped, is wrapped at words on a terminal.

        The terminal would break it within them. What is not to be wrapped at all, such as a command to be
        copied, is printed with ``no_wrap``.
        """
        if soft_wrap and self.is_terminal and not settings.get("no_wrap"):
            objects = tuple(self._at_words(shown, settings.get("markup")) for shown in objects)
        super().print(*objects, soft_wrap=soft_wrap, **settings)

    def _at_words(self, shown: object, markup: bool | None) -> object:
        if isinstance(shown, str):
            shown = self.render_str(shown, markup=markup)
        if not isinstance(shown, Text):
            return shown
        pieces: list[Text] = []
        for line in shown.split(allow_blank=True):
            pieces += line.divide(line_starts(line.plain, self.width))
        for piece in pieces:
            piece.rstrip()
        return Text("\n").join(pieces)


def stdout_console() -> Console:
    """For results."""
    return _Console(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)


def stderr_console() -> Console:
    """For progress, so that the result on stdout can be piped."""
    return _Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _PLAIN_WIDTH)


class StageProgress:
    """Shows stages as they run and the time of each: live on a terminal, else one line a stage."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """One stage, from entering to leaving."""
        started = perf_counter()
        if self._console.is_terminal:
            with Live(
                _RunningStage(name, started), console=self._console, transient=True, refresh_per_second=8
            ):
                yield
        else:
            yield
        self._console.print(f"  {name:<{_NAME_WIDTH}}{perf_counter() - started:8.2f} s")


class _RunningStage:
    def __init__(self, name: str, started: float) -> None:
        self._name = name
        self._started = started
        self._spinner = Spinner("dots")

    def __rich__(self) -> Table:
        row = Table.grid(padding=(0, 1))
        row.add_row(
            self._spinner, f"{self._name:<{_NAME_WIDTH - 1}}", f"{perf_counter() - self._started:7.1f} s"
        )
        return row
