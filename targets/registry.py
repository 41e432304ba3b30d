"""The targets that there are, by the names that ``--target`` takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING

from paddle_tvm.runtime.errors import UsageError

if TYPE_CHECKING:
    from paddle_tvm.targets.offload import Accelerator
    from paddle_tvm.targets.x86 import X86Target

CPU = "x86"
# Packages say with entry points of this group what they bring: a name, and a function that makes it.
_GROUP = "paddle_tvm.accelerators"

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
    return (CPU, *sorted({*_registered, *installed}))


def targets_of(name: str, mcpus: Sequence[str]) -> tuple[X86Target, ...]:
    """The targets to compile for: one for each CPU, in the order in which a machine prefers them.

    Raises
    ------
    UsageError
        A name is not known, or a CPU is given twice.
    """
    from paddle_tvm.targets.x86 import x86_targets

    targets = x86_targets(mcpus)
    if name == CPU:
        return targets
    accelerator = _make(name)
    return tuple(replace(target, kind=name, accelerator=accelerator) for target in targets)


def _make(name: str) -> Accelerator:
    if name in _registered:
        return _registered[name]()
    for entry in metadata.entry_points(group=_GROUP, name=name):
        made: Accelerator = entry.load()()
        return made
    raise UsageError(f"target '{name}' is not known; known: {', '.join(target_names())}")
