"""Finds oneDNN, and makes the copy of it that artifacts bring along."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path

from tvm.support import cc

from paddle_tvm import targets
from paddle_tvm.runtime.errors import UsageError

NATIVE = Path(__file__).parent / "native"
_SHARED_HEADERS = Path(targets.__file__).parent / "native"

_LIBRARY = "libdnnl.so.3"
_HEADER = "oneapi/dnnl/dnnl.h"
# The environment variable of oneDNN's own packages.
_ROOT = "DNNLROOT"

_OPENMP = "libgomp.so.1"
# What the artifact's copy is called, and what it looks for in place of GNU OpenMP: not longer than the names
# before. Copies of other versions in a process are other files, so the latter is named after what is in it.
_OWN_LIBRARY = "libpddnnl.so"


def own_openmp() -> str:
    """The name of the library that stands in for OpenMP."""
    sources = [NATIVE / "openmp.c", NATIVE / "openmp.map", _SHARED_HEADERS / "thread_pool.h"]
    content = b"".join(source.read_bytes() for source in sources)
    return f"pd{sha256(content).hexdigest()[:7]}.so"


@dataclass(frozen=True)
class OneDnnFiles:
    """Where oneDNN is: the folder that has ``oneapi/dnnl``, and the shared library."""

    headers: Path
    library: Path


def find_onednn() -> OneDnnFiles:
    """Find headers and library of oneDNN 3: under ``DNNLROOT``, of the extra ``onednn``, of the system.

    Raises
    ------
    UsageError
        They are not there.
    """
    for headers, library in _places():
        if (headers / _HEADER).is_file() and library.is_file():
            return OneDnnFiles(headers, library)
    root = os.environ.get(_ROOT)
    if root:
        raise UsageError(
            f"{_ROOT}={root}: there is no include/{_HEADER} or no lib/{_LIBRARY}; set it to a folder that "
            "has oneDNN 3, or unset it to take that of the extra 'onednn' or of the system"
        )
    raise UsageError(
        f"target onednn needs oneDNN 3 ({_LIBRARY} and its headers), which is not installed: "
        "pip install 'paddle-tvm[onednn]', or install the system's (3.0 or later, built for GNU OpenMP), or "
        f"set {_ROOT} to a folder that has include and lib of it"
    )


def _places() -> Iterator[tuple[Path, Path]]:
    if os.environ.get(_ROOT):
        root = Path(os.environ[_ROOT])
        yield root / "include", root / "lib" / _LIBRARY
        yield root / "include", root / "lib64" / _LIBRARY
        return
    header, library = (
        _installed(package, name)
        for package, name in (
            ("onednn-devel-cpu-gomp", f"include/{_HEADER}"),
            ("onednn-cpu-gomp", f"lib/{_LIBRARY}"),
        )
    )
    if header is not None and library is not None:
        yield header.parents[2], library
    for prefix in (Path("/usr/local"), Path("/usr")):
        for folder in ("lib", "lib64", "lib/x86_64-linux-gnu"):
            yield prefix / "include", prefix / folder / _LIBRARY


def _installed(package: str, name: str) -> Path | None:
    try:
        files = metadata.distribution(package).files or []
    except metadata.PackageNotFoundError:
        return None
    # Files outside of site-packages are listed relative to it.
    places = (Path(str(file.locate())).resolve() for file in files if file.name == Path(name).name)
    return next((place for place in places if str(place).endswith(f"/{name}")), None)


def bring(files: OneDnnFiles, folder: Path) -> None:
    """Put oneDNN into a folder, in a form that takes its threads from the runtime, and what gives it them.

    Raises
    ------
    UsageError
        It is built for another threading library, or needs more of OpenMP than there is.
    """
    own = folder / own_openmp()
    _build_openmp(own)
    wanted = _symbols(files.library, "--undefined-only")
    missing = {name for name in wanted if name.startswith(("GOMP_", "omp_"))} - _symbols(
        own, "--defined-only"
    )
    content = files.library.read_bytes()
    names = {_OPENMP: own_openmp(), _LIBRARY: _OWN_LIBRARY}
    if missing or any(content.count(f"\0{name}\0".encode()) != 1 for name in names):
        raise UsageError(
            f"{files.library}: "
            + (
                f"needs {', '.join(sorted(missing))} of OpenMP, which this version does not provide"
                if missing
                else "is not built for GNU OpenMP, so that its threads and the model's would be two pools"
            )
            + "; take the packages' oneDNN: pip install 'paddle-tvm[onednn]'"
        )
    for name, own_name in names.items():
        replaced = f"\0{own_name}".encode().ljust(len(name) + 2, b"\0")
        content = content.replace(f"\0{name}\0".encode(), replaced)
    (folder / _OWN_LIBRARY).write_bytes(content)


def _build_openmp(output: Path) -> None:
    command = [
        *(str(cc.get_cc()), "-O2", "-std=gnu11", "-fPIC", "-shared", "-s", f"-I{_SHARED_HEADERS}"),
        *(
            f"-Wl,--version-script={NATIVE / 'openmp.map'}",
            f"-Wl,-soname,{output.name}",
            "-Wl,--build-id=none",
        ),
        *("-x", "c", str(NATIVE / "openmp.c"), "-o", str(output)),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UsageError(f"{NATIVE / 'openmp.c'} does not compile:\n{done.stderr}")


def _symbols(library: Path, which: str) -> set[str]:
    shown = subprocess.run(["nm", "-D", which, str(library)], capture_output=True, text=True, check=True)
    return {line.split()[-1].partition("@")[0] for line in shown.stdout.splitlines() if line.strip()}
