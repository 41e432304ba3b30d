"""What a frontend gives to the rest of the compiler."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import tvm
from tvm import tirx


@dataclass(frozen=True)
class TensorPort:
    """A named input or output; symbolic dimensions are strings."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class ImportedModel:
    """A Relax module whose ``main`` takes the inputs in order and returns a tuple of the outputs."""

    module: tvm.IRModule = field(repr=False)
    inputs: tuple[TensorPort, ...]
    outputs: tuple[TensorPort, ...]
    operators: dict[str, int]
    minimums: Mapping[str, int] = field(default_factory=dict)
    """The least sizes that symbols may take, where they are not 1."""


def format_dim(dim: tirx.Expr) -> str:
    """A symbolic dimension as an expression that a person reads, ``(x_2 - 1) // 2 + 1``."""
    return re.sub(r"T\.int64\((-?\d+)\)", r"\1", str(dim))
