"""What a GPU can do at most, by its maker's numbers: it is not measured.

Clocks, multiprocessors and the width of the memory are what the driver says of the GPU; how much a
multiprocessor does in a cycle is from NVIDIA's *CUDA C++ Programming Guide* (arithmetic instructions) and the
white papers of the architectures. A GPU that is short of power or cooling does not hold its clock, and tensor
cores of Hopper and later reach half of theirs or a little more with the instructions that our kernels use
(``mma.sync``, not ``wgmma``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paddle_tvm.runtime.cuda import Device

# Multiply-adds of a multiprocessor in a cycle, by architecture: of float32, and of dense float16 with sums in
# float32 on tensor cores. Those of bfloat16 are as many, of TF32 half as many. GeForce cards have half of the
# tensor cores' rate of the professional ones of their architecture, which are meant here.
_PER_CYCLE: Mapping[tuple[int, int], tuple[int, int]] = {
    (8, 0): (64, 1024),
    (8, 6): (128, 512),
    (8, 9): (128, 512),
    (9, 0): (128, 2048),
    (10, 0): (128, 4096),
    (10, 3): (128, 4096),
    (12, 0): (128, 512),
}
_SHARE_OF_TENSOR_CORES = {"tf32": 0.5, "float16": 1.0, "bfloat16": 1.0}

# Attributes of cudaDeviceGetAttribute; clocks are in kHz, the width is in bits.
_CLOCK, _MULTIPROCESSORS, _MEMORY_CLOCK, _MEMORY_WIDTH = 13, 16, 36, 37


@dataclass(frozen=True)
class GpuPeak:
    """GFLOP/s of multiply-adds (each two) in a precision, and GB/s of memory; None where not known."""

    device: str
    precision: str
    gflops: float | None
    memory_gbps: float | None


def stated_peak(device: Device, precision: str) -> GpuPeak:
    """The peak of a GPU.

    Parameters
    ----------
    device
        The GPU.
    precision
        Of convolutions and matrix products, as ``--precision`` names it.
    """
    clock, count = device.attribute(_CLOCK), device.attribute(_MULTIPROCESSORS)
    gflops = None
    if device.capability in _PER_CYCLE:
        cores, tensor_cores = _PER_CYCLE[device.capability]
        share = _SHARE_OF_TENSOR_CORES.get(precision)
        per_cycle = cores if share is None else share * tensor_cores
        gflops = 2 * per_cycle * count * clock * 1e3 / 1e9
    # Memory transfers twice in a cycle.
    gbps = 2 * device.attribute(_MEMORY_CLOCK) * 1e3 * device.attribute(_MEMORY_WIDTH) / 8 / 1e9
    return GpuPeak(f"GPU {device.number} ({device.describe()})", precision, gflops or None, gbps or None)
