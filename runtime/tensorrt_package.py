"""Whether TensorRT can be called on this machine."""

from __future__ import annotations

from typing import Any, NamedTuple

PACKAGE = "tensorrt-cu13>=10.13,<11"
"""What pip installs, for CUDA 13."""

_OLDEST = (10, 0)


class TensorRtPackage(NamedTuple):
    """The module ``tensorrt``, None where it cannot be imported.

    ``problem`` says why it cannot be used, as the rest of a sentence, and is empty where it can.
    """

    module: Any
    problem: str


def find_tensorrt() -> TensorRtPackage:
    """Import TensorRT, which shows that its libraries load, too."""
    try:
        import tensorrt
    except ImportError as error:
        return TensorRtPackage(None, f"which is not installed ({error})")
    version = tuple(int(part) for part in str(tensorrt.__version__).split(".")[:2])
    return TensorRtPackage(tensorrt, f"and {tensorrt.__version__} is installed" if version < _OLDEST else "")
