"""Sentences that commands print: wrapped at words on a terminal, whole in pipes."""

from __future__ import annotations

import io
import os
import pty
import struct
from collections.abc import Iterator
from contextlib import suppress
from fcntl import ioctl
from termios import TIOCSWINSZ
from typing import TextIO

import pytest
from rich.text import Text

from paddle_tvm.compiler.cli.console import stdout_console
from paddle_tvm.compiler.cli.prose import wrapped

COLUMNS = 40
NOTE = "note: with 2 threads the model as a whole is too slow with the log; --trials 0 compares it again"
PATH = "/" + "/".join(["long"] * 12)


def _all_of(user: int) -> str:
    """All that a terminal was sent, whose other end is closed."""
    parts = []
    with suppress(OSError):
        while part := os.read(user, 65536):
            parts.append(part)
    return b"".join(parts).decode()


@pytest.fixture
def terminal() -> Iterator[tuple[TextIO, int]]:
    """A terminal of ``COLUMNS``, and the end at which its user sits."""
    user, shown = pty.openpty()
    ioctl(shown, TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    with os.fdopen(shown, "w") as stream:
        yield stream, user
    os.close(user)


def test_lines_end_between_words(terminal: tuple[TextIO, int]) -> None:
    lines = wrapped(NOTE, terminal[0]).splitlines()
    assert max(map(len, lines)) <= COLUMNS < len(NOTE)
    assert " ".join(lines) == NOTE


def test_the_lines_of_a_list_keep_their_indent(terminal: tuple[TextIO, int]) -> None:
    first, *others = wrapped(f"several:\n  {NOTE}", terminal[0]).splitlines()
    assert first == "several:"
    assert len(others) > 1
    assert all(line.startswith("  ") and line[2] != " " for line in others)


def test_what_is_longer_than_a_line_stays_in_one_piece(terminal: tuple[TextIO, int]) -> None:
    assert PATH in wrapped(f"note: {PATH} holds nothing", terminal[0]).splitlines()


def test_lines_stay_whole_in_pipes() -> None:
    assert wrapped(NOTE, io.StringIO()) == NOTE


def test_consoles_wrap_sentences_at_words_and_leave_commands_whole(
    terminal: tuple[TextIO, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, user = terminal
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", stream)
    console = stdout_console()
    monkeypatch.setattr(type(console), "width", COLUMNS)
    console.print(Text(NOTE), soft_wrap=True)
    console.print(Text(f"report: {PATH}"), soft_wrap=True)
    console.print(Text(NOTE), soft_wrap=True, no_wrap=True)
    stream.close()
    shown = _all_of(user).replace("\r\n", "\n").splitlines()
    *sentences, report, path, command = (line.rstrip() for line in shown)
    assert max(map(len, sentences)) <= COLUMNS
    assert " ".join(sentences) == NOTE
    assert (report, path, command) == ("report:", PATH, NOTE)
