"""The GPU that forms of kernels are measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.gpus import find_gpus
from paddle_tvm.targets.gpu_names import ARCHITECTURES

NUMBER = 0
"""By CUDA's number; ``CUDA_VISIBLE_DEVICES`` makes another GPU the first."""


@dataclass(frozen=True)
class GpuHere:
    """Its name, and its architecture, such as ``sm_90``."""

    name: str
    architecture: str


def gpu_here(asked: Sequence[str]) -> GpuHere:
    """This machine's GPU, for which a model is compiled.

    Parameters
    ----------
    asked
        Architectures that the user names; none stands for that of the GPU.

    Raises
    ------
    UsageError
        There is no GPU, it is none that can be compiled for, or others were asked for.
    """
    gpus = find_gpus()
    if gpus.problem:
        raise UsageError(
            f"tune measures on this machine's GPU, and there is none: {gpus.problem}. Tune on a machine that "
            "has one; its log can be used anywhere: paddle-tvm compile MODEL -o ARTIFACT --target cuda "
            "--arch ... --tuning-log LOG"
        )
    architecture = "sm_{}{}".format(*gpus.capability)
    if architecture not in ARCHITECTURES:
        known = ", ".join(f"{name} ({what})" for name, what in ARCHITECTURES.items())
        raise UsageError(
            f"this machine's GPU, {gpus.name}, is {architecture}, which --target cuda does not compile for; "
            f"known: {known}"
        )
    if asked and tuple(asked) != (architecture,):
        raise UsageError(
            f"--arch {','.join(asked)}: forms are measured on this machine's GPU, {gpus.name}, which is "
            f"{architecture}; leave --arch out, or tune on another GPU"
        )
    return GpuHere(gpus.name, architecture)
