"""Links an executable into a shared library."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tvm_ffi
from tvm.support import cc

from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.offload import RuntimeHalf

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


@dataclass(frozen=True)
class External:
    """Code that no kernel of the executable is: an accelerator's, of the subgraphs that it took."""

    runtime: RuntimeHalf
    sources: Sequence[str]


def link_library(
    executable: Any, library: Path, workspace: Path, compiler: str, external: External | None = None
) -> None:
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
    external
        More code for it. Shared libraries that it needs are looked for in ``lib`` beside the library.
    """
    workspace.mkdir()
    options = ["-Wl,--strip-all", *LAUNCHER_OPTIONS]
    if external is not None:
        options += _external_options(external, workspace)
    # LLVM modules are not safe to write from two threads.
    with _linking, _objects_in_memory(workspace):
        executable.export_library(
            str(library),
            workspace_dir=str(workspace),
            cc=compiler,
            options=options,
        )
    shutil.rmtree(workspace)


def _external_options(external: External, workspace: Path) -> list[str]:
    runtime = external.runtime
    options = ["-Wl,-rpath,$ORIGIN/lib", *(f"-I{path}" for path in tvm_ffi.libinfo.include_paths())]
    for number, source in enumerate(external.sources):
        file = workspace / f"subgraph{number}.{'c' if runtime.language == 'c' else 'cc'}"
        file.write_text(source)
        # For each file anew: g++ forgets it after one.
        options += ["-x", runtime.language, str(file)]
    return [*options, "-x", "none", *runtime.options, *map(str, runtime.libraries)]


@contextmanager
def _objects_in_memory(workspace: Path) -> Iterator[None]:
    """Let LLVM write its objects to memory: on a full disk it ends the process, without any clean-up."""
    with ExitStack() as stack:
        for name in _OBJECT_FILES:
            descriptor = os.memfd_create(name)
            stack.callback(os.close, descriptor)
            (workspace / name).symlink_to(f"/proc/{os.getpid()}/fd/{descriptor}")
        yield
