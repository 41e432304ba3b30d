"""What a frontend gives to the rest of the compiler."""

from __future__ import annotations

from dataclasses import dataclass, field

import tvm


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
