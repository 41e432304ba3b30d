"""Writes artifacts: whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm

from paddle_tvm.compiler.linking import find_linker, link_library
from paddle_tvm.compiler.staging import publish, staging_directory, sync
from paddle_tvm.runtime.artifact import MANIFEST_FILE, encode_manifest, file_sha256
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.manifest import (
    ALIGNMENT,
    ITEM_SIZES,
    MODEL_FILE,
    RUNTIME_FILE,
    WEIGHTS_FILE,
    FileEntry,
    FunctionSpec,
    Manifest,
    Producer,
    Source,
    SymbolRange,
    TargetSpec,
    TensorSpec,
    TuningRecord,
    Verification,
    WeightSpec,
)

Array = npt.NDArray[Any]

# Linux allows 255; the directory that an artifact is written to beside its place has a longer name.
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Description:
    """What the manifest says beyond what the files themselves tell.

    ``functions`` count the weights as they are given to ``write_artifact``.
    """

    producer: Producer
    source: Source
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    symbols: Mapping[str, SymbolRange]
    target: TargetSpec
    functions: tuple[FunctionSpec, ...]
    precision: str = "float32"
    threads: int | None = None
    tuning: tuple[TuningRecord, ...] = ()
    verification: Verification | None = None


def check_output(output: str | os.PathLike[str], force: bool) -> None:
    """Refuse a place where no artifact can be written, before anything is compiled for it.

    Raises
    ------
    UsageError
        There is something already and ``force`` is not set, or it is no artifact; or the folder around it
        does not exist or cannot be written to.
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
        return
    if not force:
        raise UsageError(f"{path} exists; write to another name, or replace it with --force")
    if not (path / MANIFEST_FILE).is_file():
        raise UsageError(f"{path} is no artifact (it has no {MANIFEST_FILE}), so --force does not replace it")


class StagedArtifact:
    """A whole artifact that has not taken its place yet."""

    def __init__(self, path: Path, manifest: Manifest, target: Path, force: bool) -> None:
        self.path = path
        self.manifest = manifest
        self._target = target
        self._force = force
        self._write_manifest()

    def record(self, verification: Verification) -> None:
        """Put the result of a verification into the manifest."""
        self.manifest = self.manifest._replace(verification=verification)
        self._write_manifest()

    def publish(self) -> Manifest:
        """Make it the artifact, in one step; returns the manifest as written."""
        with _disk_errors(self._target):
            sync(self.path)
            publish(self.path, self._target, replace=self._force)
        return self.manifest

    def _write_manifest(self) -> None:
        with _disk_errors(self._target):
            (self.path / MANIFEST_FILE).write_bytes(encode_manifest(self.manifest))


@contextmanager
def stage_artifact(
    output: str | os.PathLike[str],
    description: Description,
    executable: Any,
    weights: Sequence[Array],
    *,
    force: bool = False,
) -> Iterator[StagedArtifact]:
    """Write an artifact to a directory beside its place; ``publish`` then puts it there.

    What is not published is gone at the end, so that whatever happens there is the old artifact or the
    new one. Equal arguments give equal bytes.

    Parameters
    ----------
    output
        The artifact's directory.
    description
        What the manifest says.
    executable
        The ``tvm.relax.VMExecutable``; its functions take the inputs, then their weights.
    weights
        Constants, as ``description.functions`` count them; equal ones are stored once.
    force
        Whether to replace an artifact that is there.

    Raises
    ------
    UsageError
        ``output`` cannot be written (see ``check_output``), there is no C compiler to link with, or the
        disk is full.
    """
    check_output(output, force)
    compiler = find_linker()
    target = Path(os.path.realpath(output))
    with staging_directory(target) as staging:
        with _disk_errors(target):
            manifest = _write_files(staging, description, executable, weights, compiler)
        yield StagedArtifact(staging, manifest, target, force)


def write_artifact(
    output: str | os.PathLike[str],
    description: Description,
    executable: Any,
    weights: Sequence[Array],
    *,
    force: bool = False,
) -> Manifest:
    """Write an artifact in one go; see ``stage_artifact``."""
    with stage_artifact(output, description, executable, weights, force=force) as staged:
        return staged.publish()


def _write_files(
    staging: Path, description: Description, executable: Any, weights: Sequence[Array], compiler: str
) -> Manifest:
    (staging / "lib").mkdir()
    shutil.copyfile(tvm.libinfo.find_libtvm_runtime(), staging / RUNTIME_FILE)
    # Inside the staging directory, so that a killed run leaves nothing elsewhere.
    link_library(executable, staging / MODEL_FILE, staging / "build", compiler)
    specs, indices = _write_weights(staging / WEIGHTS_FILE, weights)
    return Manifest(
        producer=description.producer,
        source=description.source,
        inputs=description.inputs,
        outputs=description.outputs,
        symbols=dict(sorted(description.symbols.items())),
        target=description.target,
        threads=description.threads,
        precision=description.precision,
        functions=tuple(
            function._replace(weights=tuple(indices[i] for i in function.weights))
            for function in description.functions
        ),
        weights=specs,
        tuning=description.tuning,
        verification=description.verification,
        files={name: _entry(staging / name) for name in sorted((MODEL_FILE, RUNTIME_FILE, WEIGHTS_FILE))},
    )


def _write_weights(path: Path, weights: Sequence[Array]) -> tuple[tuple[WeightSpec, ...], list[int]]:
    """Write each distinct weight once; return them, and for each given weight the index of its own."""
    specs: list[WeightSpec] = []
    indices: list[int] = []
    known: dict[tuple[str, tuple[int, ...], bytes], int] = {}
    with path.open("wb") as file:
        for number, weight in enumerate(weights):
            array = np.asarray(weight, order="C")
            if array.dtype.name not in ITEM_SIZES or not array.dtype.isnative:
                raise TypeError(f"weight {number} has the dtype {array.dtype}, which an artifact cannot hold")
            data = array.reshape(-1).view(np.uint8).data
            key = (array.dtype.name, array.shape, hashlib.sha256(data).digest())
            if key not in known:
                known[key] = len(specs)
                file.write(bytes(-file.tell() % ALIGNMENT))
                specs.append(WeightSpec(array.dtype.name, array.shape, file.tell(), array.nbytes))
                file.write(data)
            indices.append(known[key])
    return tuple(specs), indices


def _entry(path: Path) -> FileEntry:
    return FileEntry(file_sha256(path), path.stat().st_size)


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    full = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
    full[errno.EFBIG] = "a file is larger than allowed (see ulimit -f)"
    message = "{}: {}; nothing was written. Free some space, or write to another disk"
    try:
        yield
    except OSError as error:
        if error.errno in full:
            raise UsageError(message.format(target, full[error.errno])) from error
        raise
    except RuntimeError as error:
        # The linker reports a full disk in its output, which TVM puts into the exception.
        if os.strerror(errno.ENOSPC) in str(error):
            raise UsageError(message.format(target, full[errno.ENOSPC])) from error
        raise
