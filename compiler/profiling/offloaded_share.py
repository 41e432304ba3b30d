"""What an accelerator computes of a model, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paddle_tvm.runtime.wording import agreeing, counted


@dataclass(frozen=True)
class OffloadedShare:
    """What an accelerator computes of a form.

    Attributes
    ----------
    subgraphs, operators
        How many it computes.
    left
        How many operators stay with our kernels for each reason, most first.
    arithmetic
        What products of subgraphs are computed in, where it is not what our kernels compute in.
    """

    subgraphs: int
    operators: int
    left: Mapping[str, int]
    arithmetic: tuple[str, ...] = ()

    def describe(self, accelerator: str) -> str:
        """The same in words."""
        taken = "nothing"
        if self.subgraphs:
            taken = f"{counted(self.operators, 'operator')} in {counted(self.subgraphs, 'subgraph')}"
            taken += f", products in {' and '.join(self.arithmetic)}" if self.arithmetic else ""
        if not self.left:
            return f"{accelerator} computes {taken}"
        left = sum(self.left.values())
        reason, count = next(iter(self.left.items()))
        part = "" if count == left else f", {count} of them"
        stays = agreeing(left, "stays", "stay")
        return f"{accelerator} computes {taken}; {left} {stays} with our kernels{part} because: {reason}"
