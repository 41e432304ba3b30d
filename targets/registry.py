"""The targets that there are, by the names that ``--target`` takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING

from paddle_tvm.runtime.errors import UsageError

if TYPE_CHECKING:
    from paddle_tvm.targets.base import Target
    from paddle_tvm.targets.offload import Accelerator

CPU = "x86"
GPU = "cuda"
TENSORRT = "tensorrt"
ON_GPU = (GPU, TENSORRT)
ONEDNN = "onednn"
_OWN = (*ON_GPU, ONEDNN, "onnxruntime")
PRECISIONS = {GPU: ("float32", "tf32", "float16", "bfloat16"), ONEDNN: ("float32", "bfloat16")}
"""What targets compute products in; those that are not here, in float32."""

# Packages say with entry points of this group what they bring: a name, and a function that makes it.
_GROUP = "paddle_tvm.accelerators"

# It becomes part of the names of functions.
_NAME = re.compile("[a-z][a-z0-9_]*")

_registered: dict[str, Callable[[], Accelerator]] = {}


def register_accelerator(name: str, make: Callable[[], Accelerator]) -> None:
    """Let ``--target`` know an accelerator.

    Raises
    ------
    ValueError
        The name is taken.
    """
    if name in target_names():
        raise ValueError(f"there is a target '{name}' already")
    _registered[name] = make


def unregister_accelerator(name: str) -> None:
    """Take back what ``register_accelerator`` did."""
    del _registered[name]


def target_names() -> tuple[str, ...]:
    """What ``--target`` takes."""
    installed = (entry.name for entry in metadata.entry_points(group=_GROUP))
    return (CPU, *_OWN, *sorted({*_registered, *installed} - {CPU, *_OWN}))


def targets_of(
    name: str,
    mcpus: Sequence[str],
    architectures: Sequence[str] = (),
    precision: str = "float32",
    min_subgraph_size: int = 3,
) -> tuple[Target, ...]:
    """The targets to compile for: one for each CPU, in the order in which a machine prefers them.

    Parameters
    ----------
    name
        What ``--target`` says.
    mcpus
        CPUs; this machine's where there are none.
    architectures
        GPUs to compile for.
    precision
        What products are computed in, of ``PRECISIONS``.
    min_subgraph_size
        How many operators TensorRT is given at least.

    Raises
    ------
    UsageError
        A name is not known, a CPU is given twice or cannot compute in the precision, or something that the
        target needs is missing.
    """
    if name == GPU:
        from paddle_tvm.targets.cuda import cuda_target

        return (cuda_target(architectures, precision),)
    if name == TENSORRT:
        from paddle_tvm.targets.cuda import cuda_target
        from paddle_tvm.targets.tensorrt import TensorRt

        return (replace(cuda_target(architectures), kind=name, accelerator=TensorRt(min_subgraph_size)),)
    if name == ONEDNN:
        from paddle_tvm.targets.onednn import onednn_targets

        return onednn_targets(mcpus, precision)
    from paddle_tvm.targets.x86 import x86_targets

    targets = x86_targets(mcpus)
    if name == CPU:
        return targets
    accelerator = accelerator_of(name)
    return tuple(replace(target, kind=name, accelerator=accelerator) for target in targets)


def runs_onnx_nodes(name: str) -> bool:
    """Whether a target runs nodes of ONNX models as they are (``paddle_tvm.targets.onnx_node``)."""
    return name == "onnxruntime"


def accelerator_of(name: str) -> Accelerator:
    """What ``--target`` calls by this name; it may lack what it needs to run.

    Raises
    ------
    UsageError
        The name is not known, or does not fit.
    """
    makers = [entry.load() for entry in metadata.entry_points(group=_GROUP, name=name)]
    if name in _registered:
        makers.insert(0, _registered[name])
    if name == ONEDNN:
        from paddle_tvm.targets.onednn import OneDnn

        makers.insert(0, OneDnn)
    if name == "onnxruntime":
        from paddle_tvm.targets.onnxruntime import OnnxRuntime

        makers.insert(0, OnnxRuntime)
    if not makers:
        raise UsageError(f"target '{name}' is not known; known: {', '.join(target_names())}")
    made: Accelerator = makers[0]()
    if made.name != name or not _NAME.fullmatch(name):
        raise UsageError(
            f"target '{name}' calls itself '{made.name}': it must be the same, and of lower-case letters, "
            "digits and _"
        )
    return made
