"""Finds the files of a saved model, however the user names it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from paddle_tvm.runtime.artifact import MANIFEST_FILE
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.manifest import WEIGHTS_FILE, Manifest

Kind = Literal["pir", "pdmodel", "onnx"]

_KIND_BY_SUFFIX: dict[str, Kind] = {".json": "pir", ".pdmodel": "pdmodel", ".onnx": "onnx"}


class NoModelError(UsageError):
    """A path at which there is no saved model, of whatever content."""


@dataclass(frozen=True)
class ModelSource:
    """The files of one saved model.

    ``program`` holds the operators; ``params`` holds the weights, or is None for a model without any
    and for ONNX, whose weights are inside.
    """

    kind: Kind
    program: Path
    params: Path | None

    @property
    def name(self) -> str:
        """A short name: the file's stem, or its folder's where the stem says nothing."""
        stem = self.program.stem
        if stem in ("inference", "model", "__model__") and self.program.resolve().parent.name:
            return self.program.resolve().parent.name
        return stem

    def sha256(self) -> str:
        """SHA-256 over program and weights, in this order."""
        digest = hashlib.sha256()
        for path in (self.program, self.params):
            if path is not None:
                with path.open("rb") as file:
                    while chunk := file.read(1 << 20):
                        digest.update(chunk)
        return digest.hexdigest()


def foreign_model(artifact: Path, manifest: Manifest, source: ModelSource) -> str | None:
    """Says that a model is not the one that an artifact was compiled from; None where it is.

    Parameters
    ----------
    artifact
        The artifact's directory, for the message.
    manifest
        Its manifest, which has the hash of its model.
    source
        The model in question.
    """
    digest = source.sha256()
    if digest == manifest.source.sha256:
        return None
    return (
        f"{source.program} is not the model that {artifact} was compiled from, which is called "
        f"{manifest.source.name}: its SHA-256 begins with {manifest.source.sha256[:16]}, and this one's with "
        f"{digest[:16]}"
    )


def find_model(model: str | Path) -> ModelSource:
    """Resolve a directory, a path prefix, or one file of a saved model.

    Raises
    ------
    NoModelError
        Nothing is there, or what is there is no saved model.
    UsageError
        Several models are there and the choice is the user's, or an artifact is.
    """
    path = Path(model)
    if path.is_dir():
        return _find_in_directory(path)
    if path.is_file():
        return _from_file(path)
    if path.is_symlink() and not path.exists():
        raise NoModelError(f"{path} is a link to {path.readlink()}, which does not exist")
    if path.exists():
        raise NoModelError(f"{path} is neither a file nor a directory: expected a saved model")
    candidates = [path.with_name(path.name + suffix) for suffix in _KIND_BY_SUFFIX]
    found = [candidate for candidate in candidates if candidate.is_file()]
    if not found:
        raise NoModelError(
            f"no model at {path}: there is no such directory or file, nor any of "
            + ", ".join(candidate.name for candidate in candidates)
            + f" in {path.parent}"
        )
    return _from_program(_preferred(found, path))


def _find_in_directory(path: Path) -> ModelSource:
    programs = [
        file
        for file in sorted(path.iterdir())
        if file.is_file()
        and (file.name == "__model__" or file.suffix in _KIND_BY_SUFFIX)
        and (file.suffix != ".json" or _is_pir_program(file))
    ]
    if not programs:
        if (path / MANIFEST_FILE).is_file() and (path / WEIGHTS_FILE).is_file():
            raise _compiled_already(path)
        holds = ", ".join(sorted(child.name for child in path.iterdir())[:8]) or "nothing"
        raise NoModelError(
            f"no model in directory {path}: expected a .json (PIR), .pdmodel or .onnx file, found {holds}"
        )
    return _from_program(_preferred(programs, path))


def _compiled_already(artifact: Path) -> UsageError:
    return UsageError(f"{artifact} is an artifact, compiled already; name the model that it came from")


def _preferred(programs: list[Path], asked: Path) -> Path:
    """One program of several: the same model saved in both forms is read in the newer one."""
    stems = {program.with_suffix("") for program in programs}
    if len(stems) > 1:
        names = ", ".join(program.name for program in programs)
        raise UsageError(f"{asked} holds several models ({names}): name the file that you mean")
    order = list(_KIND_BY_SUFFIX)
    return min(programs, key=lambda program: order.index(program.suffix) if program.suffix in order else 1)


def _from_file(path: Path) -> ModelSource:
    if path.name == MANIFEST_FILE and (path.parent / WEIGHTS_FILE).is_file():
        raise _compiled_already(path.parent)
    if path.suffix in _KIND_BY_SUFFIX or path.name == "__model__":
        return _from_program(path)
    if path.suffix == ".pdiparams" or path.name in ("__params__",):
        for suffix in (".json", ".pdmodel"):
            program = path.with_suffix(suffix)
            if program.is_file():
                return _from_program(program)
        return _find_in_directory(path.parent)
    raise NoModelError(
        f"{path} is no model file: expected .json (PIR), .pdmodel, .pdiparams or .onnx, "
        f"got {path.suffix or 'no suffix'}"
    )


def _from_program(program: Path) -> ModelSource:
    kind = _KIND_BY_SUFFIX.get(program.suffix, "pdmodel")
    if kind == "onnx":
        return ModelSource(kind, program, None)
    return ModelSource(kind, program, _find_params(program))


def _find_params(program: Path) -> Path | None:
    same_stem = program.with_suffix(".pdiparams")
    if same_stem.is_file():
        return same_stem
    others = [
        file
        for file in sorted(program.parent.iterdir())
        if file.is_file() and (file.suffix == ".pdiparams" or file.name in ("__params__", "params"))
    ]
    if len(others) > 1:
        names = ", ".join(file.name for file in others)
        raise UsageError(
            f"{program} has no {same_stem.name} beside it, and its folder holds several others ({names}): "
            f"rename the one that belongs to it to {same_stem.name}"
        )
    return others[0] if others else None


def _is_pir_program(file: Path) -> bool:
    """Tell a PIR program from the other .json files that a model's folder may hold.

    A truncated program counts as one, so that the error is about it and not about an empty folder.
    """
    with file.open("rb") as stream:
        head = stream.read(4096)
    if b'"base_code"' in head or b'"program"' in head:
        return True
    if file.stem in ("inference", "model", "__model__") or file.with_suffix(".pdiparams").is_file():
        return True
    try:
        content = json.loads(file.read_bytes())
    except ValueError:
        return False
    return isinstance(content, dict) and "base_code" in content
