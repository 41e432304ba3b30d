"""The suite's saved models, kept in a cache folder."""

from __future__ import annotations

import hashlib
import os
import sys
from importlib import metadata
from importlib.resources import files as package_files
from pathlib import Path

from paddle_tvm.compiler.bench.suite.child import StepFailedError, run_step
from paddle_tvm.compiler.demo.weights import DETECTION, RECOGNITION, find_weights
from paddle_tvm.compiler.staging import publish, staging_directory
from paddle_tvm.runtime.errors import UsageError


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/paddle-tvm/suite``, which is below ``~/.cache`` unless set otherwise."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "paddle-tvm" / "suite"


def saved_model(model: str, cache: Path, log: Path, time_limit: float) -> Path:
    """The folder or file of a saved model; Paddle builds it where the cache does not have it.

    Raises
    ------
    StepFailedError
        It cannot be built, or the package that ships it is not installed.
    """
    if model in (DETECTION, RECOGNITION):
        try:
            return find_weights().programs[model]
        except UsageError as error:
            raise StepFailedError(str(error)) from error
    folder = cache / f"{model}-{recipe()}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with staging_directory(folder) as staging:
        command = [sys.executable, "-m", "paddle_tvm.compiler.bench.suite.models", model, str(staging)]
        run_step(command, log, time_limit)
        publish(staging, folder, replace=True)
    return folder


def model_to_convert(model: Path) -> Path:
    """The form of a saved model that paddle2onnx gets: one with known sizes where there is one."""
    # Not from `models`, which imports Paddle.
    fixed = model / "fixed"
    return fixed if fixed.is_dir() else model


def recipe() -> str:
    """A digest of what saved models depend on: how they are built, and by which Paddle."""
    source = package_files(__package__).joinpath("models.py").read_bytes()
    version = metadata.version("paddlepaddle").encode()
    return hashlib.sha256(version + b"\n" + source).hexdigest()[:12]
