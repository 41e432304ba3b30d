"""Finds the ONNX Runtime that artifacts bring along."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

from paddle_tvm.runtime.errors import UsageError

NATIVE = Path(__file__).parent / "native"

_INSTALL = "pip install 'paddle-tvm[onnxruntime]'"


@dataclass(frozen=True)
class OnnxRuntimeFiles:
    """The shared library of ONNX Runtime, and its version."""

    library: Path
    version: str


def find_onnxruntime() -> OnnxRuntimeFiles:
    """Find the shared library within the Python package ``onnxruntime``; its name has its version.

    Raises
    ------
    UsageError
        The package is not installed, or has no such library.
    """
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"target onnxruntime needs ONNX Runtime, which is not installed: {_INSTALL}")
    folder = Path(next(iter(spec.submodule_search_locations))) / "capi"
    found = sorted(folder.glob("libonnxruntime.so.*"))
    if len(found) != 1:
        listed = ", ".join(file.name for file in found) or "none"
        raise UsageError(
            f"{folder}: expected one file libonnxruntime.so.VERSION, found {listed}; install the package "
            f"that this target is made for: {_INSTALL}"
        )
    return OnnxRuntimeFiles(found[0], found[0].name.partition(".so.")[2])


def bring(files: OnnxRuntimeFiles, folder: Path) -> None:
    """Put the library into a folder."""
    shutil.copyfile(files.library, folder / files.library.name)
