"""Writes the report of a tuning run."""

from __future__ import annotations

from pathlib import Path

from paddle_tvm.compiler.array_files import replacing
from paddle_tvm.compiler.tuning.report.content import Content
from paddle_tvm.compiler.tuning.report.page import render


def write_tuning_report(content: Content, path: Path) -> None:
    """Write a page about a tuning run; whole or not at all.

    Parameters
    ----------
    content
        The run.
    path
        The HTML file. It needs no other file and no network.

    Raises
    ------
    UsageError
        It cannot be written.
    """
    page = render(content)
    with replacing(path) as file:
        file.write(page.encode("utf-8"))
