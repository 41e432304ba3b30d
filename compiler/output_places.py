"""Refuses places that nothing can be written to, before the work is done whose result goes there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from paddle_tvm.compiler.array_files import check_writable
from paddle_tvm.runtime.artifact import MANIFEST_FILE
from paddle_tvm.runtime.errors import UsageError

# Linux allows 255; the directory that an artifact is written to beside its place has a longer name.
_LONGEST_NAME = 200


def check_output(output: str | os.PathLike[str], force: bool) -> None:
    """Refuse a place where no artifact can be written, before anything is compiled for it.

    Raises
    ------
    UsageError
        There is something already and ``force`` is not set, or it is no artifact; or the folder around it
        does not exist, or nothing can be made in it.
    """
    path = Path(output)
    parent = path.absolute().parent
    if path.name in {"", ".."}:
        raise UsageError(f"{path}: name a directory to write the artifact to, such as model.pdtvm")
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise UsageError(f"{str(path)!a}: the path is not UTF-8; write to another name") from None
    length = len(path.name.encode())
    if length > _LONGEST_NAME:
        raise UsageError(
            f"{path}: the name has {length} bytes, and may have {_LONGEST_NAME}; write to a shorter one"
        )
    if not parent.is_dir():
        raise UsageError(f"{path}: there is no directory {parent}; make it first")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"{path}: no permission to write in {parent}")
    if not os.path.lexists(path):
        check_writable(path)
        return
    if not force:
        raise UsageError(f"{path} exists; write to another name, or replace it with --force")
    if not (path / MANIFEST_FILE).is_file():
        raise UsageError(f"{path} is no artifact (it has no {MANIFEST_FILE}), so --force does not replace it")


def check_is_page(path: Path, option: str) -> None:
    """Refuse to put a page, which ``option`` asks for, in the place of a file that is none.

    Raises
    ------
    UsageError
        There is a file of another kind.
    """
    if not path.is_file():
        return
    with suppress(OSError), path.open("rb") as file:
        beginning = file.read(100).lstrip().lower()
        if beginning and not beginning.startswith(b"<!doctype html"):
            raise UsageError(f"{option} {path}: that is a file of another kind, and no page; name another")


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
    check_is_page(path, "--report")
    if path.is_dir():
        raise UsageError(f"--report {path}: it is a directory; name a file, such as {path / 'report.html'}")
    if not parent.is_dir():
        raise UsageError(f"--report {path}: there is no directory {parent}; make it first")
    if not os.access(path if path.exists() else parent, os.W_OK):
        raise UsageError(f"--report {path}: no permission to write it")
    check_writable(path)
