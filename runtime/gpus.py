"""Which NVIDIA GPUs a machine has, by its driver."""

from __future__ import annotations

import ctypes
import os
from typing import NamedTuple

from paddle_tvm.runtime.errors import ArtifactError
from paddle_tvm.runtime.manifest import Manifest

DRIVER = "libcuda.so.1"

_LEAST_CUDA = 13000
"""What the runtime in artifacts needs, CUDA 13.0, as the driver writes versions."""


# Attributes of cuDeviceGetAttribute.
_MAJOR, _MINOR = 75, 76


class Gpus(NamedTuple):
    """What there is; ``problem`` says why it cannot be used, and is empty where it can.

    ``name`` and ``capability`` are those of the first one: (9, 0) runs code for ``sm_90``.
    """

    found: str
    problem: str
    name: str = ""
    capability: tuple[int, int] = (0, 0)


def require_gpu(path: str | os.PathLike[str], manifest: Manifest) -> None:
    """Refuse an artifact for GPUs where there is none, before anything else takes time.

    Raises
    ------
    ArtifactError
        This machine has no GPU, or no driver for it.
    """
    if all(variant.target.devices for variant in manifest.variants):
        problem = find_gpus().problem
        if problem:
            raise ArtifactError(
                f"{path}: is compiled for GPUs, and this machine has {problem}: install NVIDIA's driver for "
                "CUDA 13, or compile the model for the CPU, paddle-tvm compile MODEL -o ARTIFACT --target x86"
            )


def find_gpus() -> Gpus:
    """Ask the driver, if there is one."""
    none = f"no NVIDIA driver ({DRIVER})"
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return Gpus(none, none)
    if not hasattr(driver, "cuInit"):
        # What stands in for a driver while the compiler runs (targets/cuda/toolkit.py).
        return Gpus(none, none)
    count, version = ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        none = "an NVIDIA driver that finds no GPU"
        return Gpus(none, none)
    driver.cuDriverGetVersion(ctypes.byref(version))
    name = ctypes.create_string_buffer(100)
    driver.cuDeviceGetName(name, len(name), 0)
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    first = name.value.decode(errors="replace")
    found = f"{count.value} x {first}, driver for CUDA {cuda}"
    problem = "" if version.value >= _LEAST_CUDA else f"{found}; it has to be one for CUDA 13"
    major, minor = ctypes.c_int(), ctypes.c_int()
    for value, attribute in ((major, _MAJOR), (minor, _MINOR)):
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, 0)
    return Gpus(found, problem, first, (major.value, minor.value))
