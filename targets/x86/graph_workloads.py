"""Choices above kernels: how wide blocks of channels are, and what is fused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import tvm

from paddle_tvm.targets.expressions import ceil_div
from paddle_tvm.targets.fingerprint import module_fingerprint
from paddle_tvm.targets.workload import Choices, Config, GraphWorkload, Workload
from paddle_tvm.targets.x86.conv2d import FUSES_WHAT_FOLLOWS
from paddle_tvm.targets.x86.tile import fitting_lanes

# TVM's kind of an operator that nothing is fused with.
_OPAQUE = {"op_pattern": 8}


@dataclass(frozen=True)
class BlockWidth(GraphWorkload):
    """How many channels a block has, in all tensors of so many channels.

    Attributes
    ----------
    graph
        The model.
    channels
        Channels of the tensors.
    lanes
        float32 values in a vector register.
    """

    operator: ClassVar[str] = "block_width"

    channels: int
    lanes: int

    def default(self) -> Config:
        return {"lanes": fitting_lanes(self.channels, self.lanes)}

    def candidates(self) -> Sequence[Config]:
        default = self.default()["lanes"]
        # Narrower vectors are worth it only where they leave fewer lanes empty.
        narrower = default // 2
        saves = ceil_div(self.channels, narrower) * narrower < ceil_div(self.channels, default) * default
        return [{"lanes": default}, *([{"lanes": narrower}] if narrower >= 4 and saves else [])]


@dataclass(frozen=True)
class Epilogue(GraphWorkload):
    """Whether what follows a convolution is computed with it, while its tiles are in registers.

    Attributes
    ----------
    graph
        The model.
    kernel
        The key of the convolution's workload.
    """

    operator: ClassVar[str] = "epilogue"

    kernel: str

    def default(self) -> Config:
        return {"fused": 1}

    def candidates(self) -> Sequence[Config]:
        return [{"fused": 1}, {"fused": 0}]


class GraphChoices:
    """The choices above the kernels of one model."""

    def __init__(self, module: tvm.IRModule, choices: Choices) -> None:
        self._graph = module_fingerprint(module)
        self._choices = choices

    def block_width(self, channels: int, lanes: int) -> int:
        """The width of the blocks of so many channels."""
        return self._choices.of(BlockWidth(self._graph, channels, lanes)).config["lanes"]

    def fusion_attributes(self, kernel: Workload) -> Mapping[str, Any]:
        """Attributes of a kernel's TIR function that say whether what follows is fused with it."""
        choice = self._choices.of(Epilogue(self._graph, kernel.key))
        return FUSES_WHAT_FOLLOWS if choice.config["fused"] else _OPAQUE
