"""Versions, as Paddle Inference's functions report them."""

from __future__ import annotations


def get_version() -> str:
    """Return the version of paddle-tvm, in the form of Paddle's ``get_version``."""
    # Importing it takes longer than everything else in this package together.
    from importlib.metadata import version

    return f"version: {version('paddle-tvm')}\n"


def get_trt_compile_version() -> tuple[int, int, int]:
    """Return (0, 0, 0): there is no TensorRT here."""
    return (0, 0, 0)


def get_trt_runtime_version() -> tuple[int, int, int]:
    """Return (0, 0, 0): there is no TensorRT here."""
    return (0, 0, 0)
