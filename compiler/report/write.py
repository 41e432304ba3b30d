"""Writes the report of a compilation."""

from __future__ import annotations

from pathlib import Path

from paddle_tvm.compiler.array_files import replacing
from paddle_tvm.compiler.driver import CompileResult
from paddle_tvm.compiler.report.content import gather
from paddle_tvm.compiler.report.page import render


def write_report(result: CompileResult, path: Path) -> None:
    """Write a page about a compilation; whole or not at all.

    Where this machine can run the artifact it is run, for about a second, and the page says how long each
    kernel takes.

    Parameters
    ----------
    result
        What the compilation gave.
    path
        The HTML file. It needs no other file and no network.

    Raises
    ------
    UsageError
        It cannot be written.
    """
    page = render(gather(result))
    with replacing(path) as file:
        file.write(page.encode("utf-8"))
