"""The x86 target: what the code generator is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import tvm

from paddle_tvm.targets.cpu_names import AMX_FEATURES, CPUS, TARGET_CLASSES, check_cpu_names
from paddle_tvm.targets.offload import Accelerator
from paddle_tvm.targets.workload import Choices, Defaults
from paddle_tvm.targets.x86.attention import fuse_attention
from paddle_tvm.targets.x86.cpus import detect, features_of, microarchitecture_here
from paddle_tvm.targets.x86.layout.carry import block_channels
from paddle_tvm.targets.x86.legalize import legalizations
from paddle_tvm.targets.x86.pipeline import register_pipeline
from paddle_tvm.targets.x86.schedules import schedule_module


@dataclass(frozen=True)
class X86Target:
    """An x86 CPU, by LLVM's name of it; see ``Target`` for the attributes."""

    mcpu: str
    features: tuple[str, ...]
    microarchitecture: str
    kind: str = "x86"
    accelerator: Accelerator | None = field(default=None, compare=False)
    choices: Choices = field(default_factory=Defaults, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    # It runs on the CPU alone, and needs nothing beside TVM's runtime.
    devices: ClassVar[tuple[str, ...]] = ()
    libraries: ClassVar[Sequence[Path]] = ()
    graphs: ClassVar[bool] = False

    @cached_property
    def tvm_target(self) -> tvm.target.Target:
        return tvm.target.Target(
            {
                "kind": "llvm",
                "mcpu": self.mcpu,
                "mtriple": "x86_64-linux-gnu",
                # Sums may be reordered, so that LLVM vectorises reductions; NaN and Inf keep their meaning.
                "fast-math-reassoc": True,
                "fast-math-contract": True,
            }
        )

    @property
    def lanes(self) -> int:
        """float32 values in a vector register."""
        if "avx512f" in self.features:
            return 16
        return 8 if "avx2" in self.features else 4

    @property
    def amx(self) -> bool:
        """Whether kernels may multiply float32 matrices on AMX."""
        return set(self.features) >= AMX_FEATURES

    @property
    def target_class(self) -> str:
        return TARGET_CLASSES[self.lanes]

    @property
    def tir_pipeline(self) -> str:
        return register_pipeline()

    def with_choices(self, choices: Choices) -> X86Target:
        return replace(self, choices=choices)

    def arrange(self, module: tvm.IRModule) -> tvm.IRModule:
        return block_channels(fuse_attention(module, self.lanes), self.lanes, self.choices, amx=self.amx)

    def legalizations(self) -> Mapping[str, Callable[..., Any]]:
        return legalizations(self.lanes, self.choices, amx=self.amx)

    def schedule(self, module: tvm.IRModule) -> tvm.IRModule:
        return schedule_module(module)

    def plan(self, module: tvm.IRModule) -> tvm.IRModule:
        return module

    def generating(self) -> AbstractContextManager[None]:
        return nullcontext()


def x86_target(mcpu: str | None = None) -> X86Target:
    """The target for a CPU name; None means this machine.

    Without a name the code is for all machines that have the instructions of this one, and the forms of its
    kernels are for this machine's microarchitecture. With a name nothing depends on this machine.

    Raises
    ------
    UsageError
        The name is not known.
    """
    name = detect() if mcpu is None else mcpu
    return X86Target(name, features_of(name), microarchitecture_here() if mcpu is None else mcpu)


def x86_targets(mcpus: Sequence[str]) -> tuple[X86Target, ...]:
    """The targets for several CPU names, in the order in which a machine prefers them; none: this machine.

    Raises
    ------
    UsageError
        A name is not known, or given twice.
    """
    check_cpu_names(mcpus)
    targets = [x86_target(name) for name in mcpus] or [x86_target()]
    return tuple(sorted(targets, key=lambda target: CPUS.index(target.mcpu)))
