"""The CUDA target: what the code generator is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import tvm

from paddle_tvm.targets.cuda.layout import channels_last
from paddle_tvm.targets.cuda.legalize import Lowering, legalizations
from paddle_tvm.targets.cuda.pipeline import register_pipeline
from paddle_tvm.targets.cuda.precision import to_float16
from paddle_tvm.targets.cuda.schedules import schedule_module
from paddle_tvm.targets.cuda.tile import Engine
from paddle_tvm.targets.cuda.toolkit import Toolkit, cuda_runtime_library, find_toolkit, generating
from paddle_tvm.targets.cuda.transposes import absorb_transposes
from paddle_tvm.targets.cuda.workspaces import pass_workspaces
from paddle_tvm.targets.gpu_names import check_architectures, gpu_class
from paddle_tvm.targets.offload import Accelerator
from paddle_tvm.targets.workload import Choices, Defaults

# What multiplies float32.
_ENGINES: Mapping[str, Engine] = {"float32": "fma", "float16": "fma", "tf32": "tf32", "bfloat16": "bf16"}

# What starts the kernels runs on every 64-bit x86.
_HOST = "x86-64"


@dataclass(frozen=True)
class CudaTarget:
    """NVIDIA GPUs of some architectures; see ``Target`` for the attributes."""

    devices: tuple[str, ...]
    precision: str
    toolkit: Toolkit
    choices: Choices = field(default_factory=Defaults, compare=False)
    kind: str = "cuda"
    accelerator: Accelerator | None = field(default=None, compare=False)

    mcpu: ClassVar[str] = _HOST
    features: ClassVar[tuple[str, ...]] = ()
    graphs: ClassVar[bool] = True
    notes: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def tvm_target(self) -> tvm.target.Target:
        # The code generator asks only what all of these architectures have.
        return tvm.target.Target(
            {
                "kind": "cuda",
                "arch": self.devices[0],
                "max_threads_per_block": 1024,
                "max_shared_memory_per_block": 49152,
                "thread_warp_size": 32,
                "host": {"kind": "llvm", "mcpu": _HOST, "mtriple": "x86_64-linux-gnu"},
            }
        )

    @property
    def microarchitecture(self) -> str:
        """What forms of kernels are chosen for: the GPU's, for the CPU only starts them."""
        return self.devices[0]

    @property
    def target_class(self) -> str:
        return gpu_class(self.devices)

    @property
    def tir_pipeline(self) -> str:
        return register_pipeline()

    @property
    def libraries(self) -> Sequence[Path]:
        return (cuda_runtime_library(), self.toolkit.cudart)

    def with_choices(self, choices: Choices) -> CudaTarget:
        return replace(self, choices=choices)

    def arrange(self, module: tvm.IRModule) -> tvm.IRModule:
        if self.precision == "float16":
            module = to_float16(module)
        lowering = Lowering(_ENGINES[self.precision], self.choices)
        return absorb_transposes(channels_last(module), lowering)

    def legalizations(self) -> Mapping[str, Callable[..., Any]]:
        return legalizations(_ENGINES[self.precision], self.choices)

    def schedule(self, module: tvm.IRModule) -> tvm.IRModule:
        return schedule_module(module)

    def plan(self, module: tvm.IRModule) -> tvm.IRModule:
        return pass_workspaces(module)

    def generating(self) -> AbstractContextManager[None]:
        return generating(self.devices, self.toolkit)


def cuda_target(architectures: Sequence[str] = (), precision: str = "float32") -> CudaTarget:
    """The target for some architectures, such as ``sm_80``.

    Raises
    ------
    UsageError
        One is not known, or the compiler is missing.
    """
    return CudaTarget(check_architectures(architectures), precision, find_toolkit())
