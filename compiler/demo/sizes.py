"""What things take on disk."""

from __future__ import annotations

from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path


def tree_bytes(path: Path) -> int:
    """Return the size of a file, or of all files below a directory; byte code does not count."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file() and file.suffix != ".pyc")


def distribution_bytes(name: str) -> int:
    """Return the size of an installed distribution, without its dependencies and without byte code."""
    files = [Path(str(file.locate())) for file in distribution(name).files or []]
    return sum(file.stat().st_size for file in files if file.is_file() and file.suffix != ".pyc")


def runtime_bytes() -> int:
    """Return what an installation that only runs artifacts takes, beyond NumPy and without byte code.

    That is this project, the TVM FFI with what it needs, and click. The TVM runtime library is in each
    artifact.
    """
    own = 0
    for package in ("compiler", "runtime", "targets", "tuning_logs"):
        spec = find_spec(f"paddle_tvm.{package}")
        assert spec is not None
        own += sum(tree_bytes(Path(folder)) for folder in spec.submodule_search_locations or [])
    return own + sum(map(distribution_bytes, ("apache-tvm-ffi", "typing-extensions", "click")))


def paddle_bytes() -> int:
    """Return the size of Paddle, without its dependencies."""
    return distribution_bytes("paddlepaddle")
