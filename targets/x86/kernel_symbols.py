"""Symbolic dimensions of the graph in functions that are written loop by loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import tirx

from paddle_tvm.targets.expressions import extent


class KernelSymbols:
    """A kernel's own variables for the graph's symbolic dimensions."""

    def __init__(self) -> None:
        self._variables: list[tuple[tirx.Var, tirx.Var]] = []
        self._defined: list[tirx.Var] = []
        self._sound = True

    def rename(self, size: Any) -> Any:
        """The kernel's form of a dimension; what is no variable cannot be read off a shape."""
        size = extent(size)
        if isinstance(size, int):
            return size
        if not isinstance(size, tirx.Var):
            self._sound = False
            return size
        for old, new in self._variables:
            if old.same_as(size):
                return new
        self._variables.append((size, tirx.Var(size.name, "int64")))
        return self._variables[-1][1]

    def argument(self, shape: Sequence[Any]) -> list[Any]:
        """The shape of an argument, which defines the variables in it."""
        sizes = [self.rename(size) for size in shape]
        self._defined += [size for size in sizes if isinstance(size, tirx.Var)]
        return sizes

    def complete(self) -> bool:
        """Whether every variable can be read off the shape of an argument."""
        return self._sound and all(
            any(new.same_as(one) for one in self._defined) for _, new in self._variables
        )
