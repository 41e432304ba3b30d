"""Reads and checks an artifact, all before native code is loaded."""

from __future__ import annotations

import glob
import hashlib
import json
import mmap
import os
import stat
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from paddle_tvm.runtime.errors import ArtifactError, UsageError
from paddle_tvm.runtime.manifest import FORMAT_VERSION, RUNTIME_FILE, WEIGHTS_FILE, Manifest, WeightSpec
from paddle_tvm.runtime.manifest_reader import manifest_from_json

MANIFEST_FILE = "manifest.json"

_CHUNK = 1 << 20

# How much of a file is asked for at once: a few of those pages.
_PART = 8 << 20

# Linux 5.14; unlike a first access it says when a disk cannot be read.
_MADV_POPULATE_READ = 22


def encode_manifest(manifest: Manifest) -> bytes:
    """Serialise a manifest; the text holds a checksum over itself.

    The form is canonical: equal manifests give equal bytes, and ``read_manifest`` takes no others.
    """
    return _encode(manifest.to_json())


def _encode(fields: dict[str, Any]) -> bytes:
    text = json.dumps({**fields, "checksum": ""}, indent=1, allow_nan=False, sort_keys=True) + "\n"
    checksum = hashlib.sha256(text.encode("ascii")).hexdigest()
    # Only a key of the outermost object follows a line break and one space.
    return text.replace('\n "checksum": ""', f'\n "checksum": "{checksum}"').encode("ascii")


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read and check the manifest of an artifact.

    Parameters
    ----------
    path
        The artifact's directory.

    Raises
    ------
    UsageError
        There is no such directory, or it is no artifact: a model that is not compiled, or something else.
    ArtifactError
        Its manifest is missing or damaged, or its format is newer than this version reads.
    """
    directory = Path(path)
    if not (directory / MANIFEST_FILE).is_file():
        raise _no_artifact(directory)
    try:
        raw = (directory / MANIFEST_FILE).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{directory}: cannot read {MANIFEST_FILE}: {error.strerror}") from error
    try:
        return _decode(raw)
    except ArtifactError as error:
        raise ArtifactError(f"{directory}: {error}") from None


def _no_artifact(path: Path) -> UsageError | ArtifactError:
    """Why a path without a manifest is no artifact: what it is instead."""
    if path.name == MANIFEST_FILE and path.is_file():
        return UsageError(f"{path}: that is a file of an artifact; name its directory, {path.parent}")
    if (path / WEIGHTS_FILE).is_file() or (path / RUNTIME_FILE).is_file():
        return ArtifactError(f"{path} is damaged: {MANIFEST_FILE}: missing; {_AGAIN}")
    if path.is_symlink() and not path.exists():
        return UsageError(f"{path} is a link to {path.readlink()}, which does not exist")
    # A model may be named by its directory, by one of its files, or by the beginning of their names.
    if path.is_dir():
        near: Iterable[Path] = path.iterdir()
    else:
        near = [path] if path.exists() else path.parent.glob(glob.escape(path.name) + "*")
    if any(file.suffix in _MODEL_SUFFIXES or file.name == "__model__" for file in near):
        return UsageError(
            f"{path}: this is a model, and an artifact is needed; compile it first: "
            f"paddle-tvm compile {path} -o {path.stem or 'model'}.pdtvm"
        )
    if not path.exists():
        return UsageError(f"{path}: no such artifact")
    what = "directory without one" if path.is_dir() else "file" if path.is_file() else "special file"
    return UsageError(
        f"{path}: not an artifact: expected a directory with a {MANIFEST_FILE}, got a {what}; name the "
        "directory that `paddle-tvm compile` wrote"
    )


_MODEL_SUFFIXES = frozenset({".pdmodel", ".pdiparams", ".json", ".onnx"})


def _decode(raw: bytes) -> Manifest:
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{MANIFEST_FILE} is damaged, it is no JSON ({error}); {_AGAIN}") from None
    if not isinstance(fields, dict):
        raise ArtifactError(f"{MANIFEST_FILE} is damaged: expected an object; {_AGAIN}")
    version = fields.get("format_version")
    # A newer format may count its checksum otherwise, so its version is looked at first.
    if type(version) is int and version > FORMAT_VERSION:
        return manifest_from_json(fields)
    checksum = fields.pop("checksum", None)
    try:
        expected = _encode(fields)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{MANIFEST_FILE} is damaged ({error}); {_AGAIN}") from None
    if raw != expected:
        computed = json.loads(expected)["checksum"]
        raise ArtifactError(
            f"{MANIFEST_FILE} is damaged: expected checksum {computed}, got {checksum!r}"
            + (" in a text that is not canonical" if checksum == computed else "")
            + f"; {_AGAIN}"
        )
    return manifest_from_json(fields)


_AGAIN = "copy the artifact again from its source, or compile the model again"


def check_files(
    path: str | os.PathLike[str],
    manifest: Manifest,
    *,
    hashes: bool = True,
    unused: Collection[str] = (),
) -> None:
    """Compare the files of an artifact with the manifest.

    Parameters
    ----------
    path
        The artifact's directory.
    manifest
        Its manifest.
    hashes
        Whether to compare SHA-256 as well as size.
    unused
        Names of files not to look at.

    Raises
    ------
    ArtifactError
        Files are missing or differ; the message names all of them.
    """
    directory = Path(path)
    problems = []
    for name, entry in manifest.files.items():
        if name in unused:
            continue
        try:
            status = (directory / name).stat()
            size = status.st_size
            if not stat.S_ISREG(status.st_mode):
                problems.append(f"{name}: is not a file")
                continue
            if size != entry.size:
                problems.append(f"{name}: expected {entry.size} bytes, got {size}")
                continue
            if hashes and name == WEIGHTS_FILE:
                _read_into_large_pages(directory / name)
            if hashes and (digest := file_sha256(directory / name)) != entry.sha256:
                problems.append(f"{name}: expected SHA-256 {entry.sha256}, got {digest}")
        except FileNotFoundError:
            problems.append(f"{name}: missing")
        except OSError as error:
            problems.append(f"{name}: cannot be read: {error.strerror}")
    if problems:
        raise ArtifactError(f"{directory} is damaged: {'; '.join(problems)}; {_AGAIN}")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


def _read_into_large_pages(path: Path) -> None:
    """Have the system read a file that it has not in memory into the largest pages that it can."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            return
        with _map_in_large_pages(file) as mapping, suppress(OSError):
            for start in range(0, size, _PART):
                part = (start, min(_PART, size - start))
                mapping.madvise(_MADV_POPULATE_READ, *part)
                # It stays in memory, but counts as this process's only where the weights are used.
                mapping.madvise(mmap.MADV_DONTNEED, *part)


def _map_in_large_pages(file: BinaryIO) -> mmap.mmap:
    """Map a file that is not empty, with pages of 2 MB where the system has it in such.

    Weights are read from one end to the other in each run: with pages of 4 KB the processor waits for their
    addresses (ResNet50: 5 % of a run).
    """
    # Copy on write, for DLPack takes no read-only memory.
    mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    # Kernels without such pages refuse.
    with suppress(OSError):
        mapping.madvise(mmap.MADV_HUGEPAGE)
    return mapping


def map_weights(
    path: str | os.PathLike[str], manifest: Manifest, wanted: Iterable[int] | None = None
) -> dict[int, np.ndarray[Any, Any]]:
    """Map ``weights.bin`` into memory; processes and predictors share its pages.

    Parameters
    ----------
    path
        The artifact's directory.
    manifest
        Its manifest.
    wanted
        Indices of the weights; all of them where it is None.

    Returns
    -------
    dict of int to numpy.ndarray
        The weights by index. Writing to one changes no file.
    """
    weights = {i: manifest.weights[i] for i in (range(len(manifest.weights)) if wanted is None else wanted)}
    if not any(weight.nbytes for weight in weights.values()):
        return {i: np.empty(weight.shape, weight.dtype) for i, weight in weights.items()}
    with (Path(path) / WEIGHTS_FILE).open("rb") as file:
        mapping = _map_in_large_pages(file)
    return {i: _weight(mapping, weight) for i, weight in weights.items()}


def _weight(mapping: mmap.mmap, weight: WeightSpec) -> np.ndarray[Any, Any]:
    if not weight.nbytes:
        return np.empty(weight.shape, weight.dtype)
    count = weight.nbytes // np.dtype(weight.dtype).itemsize
    return np.frombuffer(mapping, weight.dtype, count, weight.offset).reshape(weight.shape)
