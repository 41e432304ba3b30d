"""Writes the report of a compilation."""

from __future__ import annotations

import os
from pathlib import Path

from paddle_tvm.compiler.array_files import replacing
from paddle_tvm.compiler.driver import CompileResult
from paddle_tvm.compiler.report.content import gather
from paddle_tvm.compiler.report.page import render
from paddle_tvm.runtime.errors import UsageError


def check_report_path(path: Path, artifact: Path) -> None:
    """Refuse a place where no report can be written, before anything is compiled for it.

    Parameters
    ----------
    path
        The file that the report goes to.
    artifact
        The directory that the artifact goes to.

    Raises
    ------
    UsageError
        It is a directory, it is or lies in the artifact, the folder around it does not exist, or it cannot
        be written to.
    """
    parent = path.absolute().parent
    if path.resolve().is_relative_to(artifact.resolve()):
        raise UsageError(
            f"--report {path}: that is inside the artifact {artifact}, whose files are its own; "
            f"name a file beside it, such as {artifact.with_suffix('.html')}"
        )
    if path.is_dir():
        raise UsageError(f"--report {path}: it is a directory; name a file, such as {path / 'report.html'}")
    if not parent.is_dir():
        raise UsageError(f"--report {path}: there is no directory {parent}; make it first")
    if not os.access(path if path.exists() else parent, os.W_OK):
        raise UsageError(f"--report {path}: no permission to write it")


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
