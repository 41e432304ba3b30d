"""Reads and writes the arrays that users give and get."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from paddle_tvm.runtime.errors import UsageError

Arrays = dict[str, npt.NDArray[np.generic]]


def load_array(path: Path) -> npt.NDArray[np.generic]:
    """Read a .npy file.

    Raises
    ------
    UsageError
        It is missing, damaged, or holds Python objects, which could run code when they are read.
    """
    loaded = _load(path)
    if not isinstance(loaded, np.ndarray):
        raise UsageError(f"{path} holds several arrays; expected one, in a .npy file")
    return loaded


def load_arrays(path: Path) -> Arrays:
    """Read a .npz file; raises as ``load_array``."""
    loaded = _load(path)
    if isinstance(loaded, np.ndarray):
        raise UsageError(
            f"{path} holds one array without a name; expected a .npz with an array for each input"
        )
    return loaded


def _load(path: Path) -> npt.NDArray[np.generic] | Arrays:
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise UsageError(f"{path} is empty; expected a .npy or .npz file")
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except FileNotFoundError as error:
        raise UsageError(f"no such file: {path}") from error
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a directory; expected a .npy or .npz file") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} cannot be read as .npy or .npz without objects: {error}") from error


def save_arrays(path: Path, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write a .npz file; a write that fails leaves no half a file."""
    temporary = path.with_name(f".{path.name}.{id(arrays):x}.tmp")
    try:
        with temporary.open("wb") as file:
            _write_npz(file, arrays)
        temporary.replace(path)
    except FileNotFoundError as error:
        raise UsageError(f"cannot write {path}: there is no directory {path.parent}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _write_npz(file: IO[bytes], arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    # Not numpy.savez, whose own parameters' names no array may have, "file" among them.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
