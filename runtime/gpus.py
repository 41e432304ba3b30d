"""Which NVIDIA GPUs a machine has, by its driver."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

DRIVER = "libcuda.so.1"

_LEAST_CUDA = 13000
"""What the runtime in artifacts needs, CUDA 13.0, as the driver writes versions."""


class Gpus(NamedTuple):
    """What there is; ``problem`` says why it cannot be used, and is empty where it can."""

    found: str
    problem: str


def find_gpus() -> Gpus:
    """Ask the driver, if there is one."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        none = f"no NVIDIA driver ({DRIVER})"
        return Gpus(none, none)
    count, version = ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        none = "the NVIDIA driver finds no GPU"
        return Gpus(none, none)
    driver.cuDriverGetVersion(ctypes.byref(version))
    name = ctypes.create_string_buffer(100)
    driver.cuDeviceGetName(name, len(name), 0)
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    found = f"{count.value} x {name.value.decode(errors='replace')}, driver for CUDA {cuda}"
    return Gpus(found, "" if version.value >= _LEAST_CUDA else f"{found}; it has to be one for CUDA 13")
