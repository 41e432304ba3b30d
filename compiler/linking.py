"""Links an executable into a shared library."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tvm.support import cc

from paddle_tvm.runtime.errors import UsageError

# What `export_library` of TVM 0.27 writes into its workspace for a module with imports.
_OBJECT_FILES = ("lib0.o", "devc.o")

# Linked into every library; the runtime lets parallel loops call it.
_LAUNCHER = Path(__file__).parent / "native" / "parallel_launch.c"
LAUNCHER_OPTIONS = ["-O2", "-std=gnu11", "-pthread", "-x", "c", str(_LAUNCHER), "-x", "none"]

_linking = threading.Lock()


def find_linker() -> str:
    """Return the C compiler to link with.

    Raises
    ------
    UsageError
        There is none.
    """
    compiler = cc.get_cc()
    if not compiler or shutil.which(compiler) is None:
        raise UsageError(
            "linking the code needs a C compiler, and "
            + (f"{compiler} (from CXX or CC) is not there" if compiler else "none is installed")
            + ": install gcc or clang (Debian: apt install gcc), or set CC"
        )
    return str(compiler)


def link_library(executable: Any, library: Path, workspace: Path, compiler: str) -> None:
    """Write a ``tvm.relax.VMExecutable`` as a shared library.

    Parameters
    ----------
    executable
        The executable.
    library
        The file to write.
    workspace
        A directory to make for intermediate files; it is gone afterwards.
    compiler
        The C compiler to link with.
    """
    workspace.mkdir()
    # LLVM modules are not safe to write from two threads.
    with _linking, _objects_in_memory(workspace):
        executable.export_library(
            str(library),
            workspace_dir=str(workspace),
            cc=compiler,
            options=["-Wl,--strip-all", *LAUNCHER_OPTIONS],
        )
    shutil.rmtree(workspace)


@contextmanager
def _objects_in_memory(workspace: Path) -> Iterator[None]:
    """Let LLVM write its objects to memory: on a full disk it ends the process, without any clean-up."""
    with ExitStack() as stack:
        for name in _OBJECT_FILES:
            descriptor = os.memfd_create(name)
            stack.callback(os.close, descriptor)
            (workspace / name).symlink_to(f"/proc/{os.getpid()}/fd/{descriptor}")
        yield
