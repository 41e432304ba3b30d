"""What a target must answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import tvm

from paddle_tvm.targets.offload import Accelerator
from paddle_tvm.targets.workload import Choices

CHECK_SHAPE = "paddle_tvm.check_shape"
"""What stands for a packed function in calls that check a shape at run time; ``passes/shape_checks.py``."""

RECURRENCE = "paddle_tvm.recurrence"
"""Attribute of TIR functions of the importer that are a recurrence over time: its mode, by Paddle's name."""


class Target(Protocol):
    """A kind of machine to compile for."""

    # Properties, so that frozen dataclasses fit.
    @property
    def kind(self) -> str:
        """The target's name, as ``--target`` takes it."""

    @property
    def mcpu(self) -> str:
        """The CPU, by LLVM's name."""

    @property
    def microarchitecture(self) -> str:
        """The CPU that forms of kernels are chosen for, by LLVM's name; the code may run on others too.

        Of a GPU its architecture, of several the oldest.
        """

    @property
    def features(self) -> tuple[str, ...]:
        """CPU features that the generated code needs, as /proc/cpuinfo names them."""

    @property
    def devices(self) -> tuple[str, ...]:
        """GPUs that the code is for, by architecture, oldest first; none where it runs on the CPU alone."""

    @property
    def target_class(self) -> str:
        """Among which machines tuning records hold for this one."""

    @property
    def tvm_target(self) -> tvm.target.Target:
        """The target as TVM's code generator takes it."""

    @property
    def tir_pipeline(self) -> str:
        """Name of the passes from scheduled TIR to the code generator's input, as TVM knows them."""

    @property
    def libraries(self) -> Sequence[Path]:
        """Shared libraries that an artifact needs beside TVM's runtime."""

    @property
    def graphs(self) -> bool:
        """Whether kernels that always run in the same way are recorded once and then started together."""

    @property
    def choices(self) -> Choices:
        """Which form each kernel and each choice above kernels gets."""

    @property
    def accelerator(self) -> Accelerator | None:
        """What computes the parts of a graph that it can take, beside this target's own kernels."""

    @property
    def notes(self) -> Sequence[str]:
        """What a user should know who compiles for this, though nothing is wrong; a sentence each."""

    def with_choices(self, choices: Choices) -> Target:
        """The same target with other forms of kernels."""

    def arrange(self, module: tvm.IRModule) -> tvm.IRModule:
        """Rewrite the graph before operators are lowered: layouts, operators merged into larger ones."""

    def legalizations(self) -> Mapping[str, Callable[..., Any]]:
        """Relax operators that this target lowers itself, by name."""

    def schedule(self, module: tvm.IRModule) -> tvm.IRModule:
        """Schedule every TIR function of a lowered module."""

    def plan(self, module: tvm.IRModule) -> tvm.IRModule:
        """Rewrite a scheduled module before its memory is planned."""

    def generating(self) -> AbstractContextManager[None]:
        """Set up what the code generator needs, for as long as it runs."""
