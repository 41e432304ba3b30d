"""Links shared libraries that are in memory alone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from paddle_tvm.compiler.linking import find_linker

# Cleans up also when the process that started it has been killed.
_LINK = """
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$@" -o "$folder/library.so" >&2
cat "$folder/library.so"
"""


def link_in_memory(arguments: Sequence[str], files: Sequence[int] = ()) -> int:
    """Make a shared library; the caller closes the file that is returned.

    It is a file in memory, also for processes that this one starts, so that none is left behind.

    Parameters
    ----------
    arguments
        What to compile and link, for the C compiler.
    files
        Open files that these name in /proc/self/fd.

    Raises
    ------
    UsageError
        There is no C compiler.
    """
    command = [find_linker(), "-shared", "-fPIC", *arguments]
    library = os.memfd_create("paddle-tvm-library")
    done = subprocess.run(
        ["sh", "-c", _LINK, "sh", *command],
        stdin=subprocess.DEVNULL,
        stdout=library,
        stderr=subprocess.PIPE,
        pass_fds=files,
        start_new_session=True,
    )
    if done.returncode:
        os.close(library)
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr.decode(errors='replace')}")
    return library
