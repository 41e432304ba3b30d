"""Reads and writes the arrays that users give and get."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np
import numpy.typing as npt

from paddle_tvm.runtime.errors import UsageError

Arrays = dict[str, npt.NDArray[np.generic]]

# What NumPy 2 and zipfile raise for files that are damaged or not theirs.
_DAMAGED = (
    *(ValueError, EOFError, SyntaxError, TokenError, NotImplementedError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)

# What .npy and .npz files begin with, also one without arrays.
_MAGIC = (b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")


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
            beginning = file.read(len(_MAGIC[0]))
        if not beginning:
            raise UsageError(f"{path} is empty; expected a .npy or .npz file")
        if not beginning.startswith(_MAGIC):
            # NumPy takes all others for pickles, and says how to load those.
            raise UsageError(
                f"{path} cannot be read: expected a .npy or .npz file, as numpy.save and numpy.savez write"
            )
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except FileNotFoundError as error:
        raise UsageError(f"no such file: {path}") from error
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a directory; expected a .npy or .npz file") from error
    except _DAMAGED as error:
        raise UsageError(f"{path} cannot be read as .npy or .npz without objects: {error}") from error


def save_arrays(path: Path, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write a .npz file; a write that fails leaves no half a file."""
    with replacing(path) as file:
        _write_npz(file, arrays)


def check_writable(path: Path) -> None:
    """Try whether ``replacing`` could write a file; nothing is changed.

    Raises
    ------
    UsageError
        As ``replacing`` would.
    """
    if path.is_dir():
        raise _is_directory(path)
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        return
    temporary = _temporary(target)
    try:
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``path`` when the block ends well, and else is gone.

    Raises
    ------
    UsageError
        ``path`` is a directory, its folder does not exist, or it cannot be written.
    """
    if path.is_dir():
        raise _is_directory(path)
    target = Path(os.path.realpath(path))
    temporary = _temporary(target)
    try:
        if target.exists() and not target.is_file():
            # A device or a pipe, such as /dev/null, is written to and never replaced.
            buffer = BytesIO()
            yield buffer
            target.write_bytes(buffer.getvalue())
            return
        with temporary.open("wb") as file:
            yield file
        temporary.replace(target)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        # Where its folder is missing there is nothing to remove either.
        with suppress(OSError):
            temporary.unlink()


def _temporary(target: Path) -> Path:
    return target.with_name(f".{os.getpid()}-{os.urandom(4).hex()}.tmp")


def _is_directory(path: Path) -> UsageError:
    return UsageError(f"cannot write {path}: it is a directory; name a file in it")


def _unwritable(path: Path, error: OSError) -> UsageError:
    if not path.parent.is_dir():
        reason = f"there is no directory {path.parent}; make it first"
    elif isinstance(error, FileNotFoundError):
        # What /proc and the like say of any new name.
        reason = f"no file can be made in {path.parent}; name another place"
    else:
        reason = f"{error.strerror}; name another place"
    return UsageError(f"cannot write {path}: {reason}")


def _write_npz(file: IO[bytes], arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    # Not numpy.savez, whose own parameters' names no array may have, "file" among them.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
