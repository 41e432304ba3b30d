"""Writes artifacts: whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt
import tvm

from paddle_tvm.compiler.linking import External, bring_libraries, find_linker, link_library
from paddle_tvm.compiler.output_places import check_output
from paddle_tvm.compiler.profiling.kernel_table import KernelTable, kernels_file
from paddle_tvm.compiler.staging import forget_cached, publish, staging_directory, sync
from paddle_tvm.compiler.weights_file import WeightsFile
from paddle_tvm.runtime.artifact import MANIFEST_FILE, encode_manifest, file_sha256
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.manifest import (
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
    Variant,
    Verification,
    variant_file,
)
from paddle_tvm.targets.workload import Choice


@dataclass(frozen=True)
class Description:
    """What the manifest says of the model, whatever it was compiled for."""

    producer: Producer
    source: Source
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    symbols: Mapping[str, SymbolRange]
    functions: tuple[FunctionSpec, ...]
    precision: str = "float32"


@dataclass(frozen=True)
class Code:
    """The code for one CPU.

    ``executable`` is a ``tvm.relax.VMExecutable``; its functions take the inputs, and then those of
    ``weights`` that ``used`` lists for them. ``kernels`` describes its kernels for ``paddle-tvm profile``,
    ``choices`` says where the form of what may have several is from. ``external`` is an accelerator's part,
    ``libraries`` are shared libraries that the code needs.
    """

    target: TargetSpec
    executable: Any
    weights: Sequence[npt.NDArray[Any]]
    used: Mapping[str, Sequence[int]]
    threads: int | None = None
    kernels: KernelTable | None = None
    choices: Mapping[str, Choice] = field(default_factory=dict)
    external: External | None = None
    libraries: Sequence[Path] = ()


class StagedArtifact:
    """An artifact that has not taken its place yet: ``add`` every code, ``complete``, then ``publish``."""

    def __init__(
        self, path: Path, description: Description, mcpus: Sequence[str], target: Path, force: bool
    ) -> None:
        self.path = path
        self._description = description
        self._libraries = {
            mcpu: MODEL_FILE if len(mcpus) == 1 else variant_file(mcpu) for mcpu in sorted(mcpus)
        }
        self._variants: dict[str, Variant | None] = dict.fromkeys(mcpus)
        self._tables: list[str] = []
        # Shared libraries of accelerators.
        self._brought: dict[str, None] = {}
        self._target = target
        self._force = force
        self._linker = find_linker()
        with _disk_errors(target):
            (path / "lib").mkdir()
            shutil.copyfile(tvm.libinfo.find_libtvm_runtime(), path / RUNTIME_FILE)
            self._weights = WeightsFile(path / WEIGHTS_FILE)

    def add(self, code: Code) -> None:
        """Link the code for one of the CPUs, and write those of its weights that are not there yet."""
        mcpu = code.target.mcpu
        library = self._libraries[mcpu]
        with _disk_errors(self._target):
            # Inside the staging directory, so that a killed run leaves nothing elsewhere.
            if code.external is not None:
                brought = bring_libraries(code.external, self.path, self.path / "build")
                self._brought |= dict.fromkeys(brought)
            for source in code.libraries:
                shutil.copyfile(source, self.path / "lib" / source.name)
                self._brought[f"lib/{source.name}"] = None
            link_library(
                code.executable, self.path / library, self.path / "build", self._linker, code.external
            )
            indices = self._weights.add(code.weights)
            loads = {
                symbol: tuple(self._weights.add(generated.constants))
                for symbol, generated in sorted(code.external.code.items() if code.external else ())
                if generated.constants is not None
            }
            if code.kernels is not None:
                self._tables.append(kernels_file(library))
                (self.path / self._tables[-1]).write_bytes(code.kernels.encode())
        self._variants[mcpu] = Variant(
            target=code.target,
            library=library,
            weights={name: tuple(indices[i] for i in used) for name, used in sorted(code.used.items())},
            loads=loads,
            threads=code.threads,
            tuning=tuple(
                TuningRecord(name, choice.origin, choice.source) for name, choice in code.choices.items()
            ),
            verification=None,
        )

    def complete(self) -> None:
        """Write the manifest, so that the directory is an artifact."""
        description = self._description
        files = sorted((*self._libraries.values(), *self._tables, *self._brought, RUNTIME_FILE, WEIGHTS_FILE))
        with _disk_errors(self._target):
            entries = {name: _entry(self.path / name) for name in files}
        self.manifest = Manifest(
            producer=description.producer,
            source=description.source,
            inputs=description.inputs,
            outputs=description.outputs,
            symbols=dict(sorted(description.symbols.items())),
            precision=description.precision,
            functions=description.functions,
            weights=tuple(self._weights.specs),
            variants=tuple(variant for variant in self._variants.values() if variant is not None),
            files=entries,
        )
        self._write_manifest()

    def record(self, mcpu: str, verification: Verification) -> None:
        """Put the result of verifying the code for a CPU into the manifest."""
        self.manifest = self.manifest._replace(
            variants=tuple(
                variant._replace(verification=verification) if variant.target.mcpu == mcpu else variant
                for variant in self.manifest.variants
            )
        )
        self._write_manifest()

    def publish(self) -> Manifest:
        """Make it the artifact, in one step; returns the manifest as written."""
        with _disk_errors(self._target):
            sync(self.path)
            forget_cached(self.path / WEIGHTS_FILE)
            publish(self.path, self._target, replace=self._force)
        return self.manifest

    def _write_manifest(self) -> None:
        with _disk_errors(self._target):
            (self.path / MANIFEST_FILE).write_bytes(encode_manifest(self.manifest))


@contextmanager
def stage_artifact(
    output: str | os.PathLike[str], description: Description, mcpus: Sequence[str], *, force: bool = False
) -> Iterator[StagedArtifact]:
    """Begin an artifact in a directory beside its place; ``publish`` then puts it there.

    What is not published is gone at the end, so that whatever happens there is the old artifact or the
    new one. Equal arguments give equal bytes.

    Parameters
    ----------
    output
        The artifact's directory.
    description
        What the manifest says.
    mcpus
        The CPUs whose code will be added; of those that a machine can run it takes the first.
    force
        Whether to replace an artifact that is there.

    Raises
    ------
    UsageError
        ``output`` cannot be written (see ``check_output``), there is no C compiler to link with, or the
        disk is full.
    """
    check_output(output, force)
    target = Path(os.path.realpath(output))
    with staging_directory(target) as staging:
        yield StagedArtifact(staging, description, mcpus, target, force)


def write_artifact(
    output: str | os.PathLike[str], description: Description, codes: Sequence[Code], *, force: bool = False
) -> Manifest:
    """Write an artifact in one go; see ``stage_artifact``."""
    mcpus = [code.target.mcpu for code in codes]
    with stage_artifact(output, description, mcpus, force=force) as staged:
        for code in codes:
            staged.add(code)
        staged.complete()
        return staged.publish()


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
