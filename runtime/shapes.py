"""Checks the types and shapes of inputs and chooses the function that takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.manifest import FunctionSpec, Manifest, Shape, SymbolRange, TensorSpec
from paddle_tvm.runtime.wording import counted


def show(shape: Sequence[int | str]) -> str:
    """Write a shape as in ``[batch, 3, 224, 224]``."""
    return f"[{', '.join(map(str, shape))}]"


def check_dtype(spec: TensorSpec, dtype: np.dtype[Any]) -> None:
    """Compare one input's type with its specification, whatever the order of its bytes.

    Raises
    ------
    UsageError
        It is another type.
    """
    if dtype.newbyteorder("=") != np.dtype(spec.dtype):
        raise UsageError(
            f"input {spec.name!r}: expected {spec.dtype}, got {dtype}: convert it with "
            f"x.astype({spec.dtype!r})"
        )


def check_shape(spec: TensorSpec, symbols: Mapping[str, SymbolRange], shape: tuple[int, ...]) -> None:
    """Compare one input's shape with its specification.

    Raises
    ------
    UsageError
        The rank, a fixed dimension or a dimension's range does not fit.
    """
    problem = ""
    if len(shape) != len(spec.shape):
        problem = f"expected {counted(len(spec.shape), 'dimension')}, got {len(shape)}"
    else:
        for axis, (expected, got) in enumerate(zip(spec.shape, shape, strict=True)):
            if isinstance(expected, int):
                if got != expected:
                    problem = f"expected {expected} in dimension {axis}, got {got}"
                    break
            else:
                bounds = symbols[expected]
                if got < bounds.min or (bounds.max is not None and got > bounds.max):
                    limit = (
                        f"at least {bounds.min}" if bounds.max is None else f"{bounds.min} to {bounds.max}"
                    )
                    problem = f"expected {limit} in dimension {axis} ({expected}), got {got}"
                    break
    if problem:
        raise UsageError(
            f"input {spec.name!r}: {problem}: the model takes {show(spec.shape)}, got {show(shape)}"
        )


def select_function(manifest: Manifest, shapes: Sequence[tuple[int, ...]]) -> FunctionSpec:
    """Choose the specialisation for these shapes: of those that take them, the one with the fewest symbols.

    A symbol that stands for several dimensions, which ties them, counts once.

    Raises
    ------
    UsageError
        None takes them; the message says what does not fit.
    """
    fitting = [f for f in manifest.functions if _conflict(f.input_shapes, shapes) is None]
    if fitting:
        return min(fitting, key=lambda f: len({d for s in f.input_shapes for d in s if isinstance(d, str)}))
    conflict = _conflict([spec.shape for spec in manifest.inputs], shapes)
    if conflict is not None:
        raise UsageError(conflict.message(manifest.inputs))
    names = [spec.name for spec in manifest.inputs]
    taken = "; ".join(
        ", ".join(f"{name} {show(shape)}" for name, shape in zip(names, f.input_shapes, strict=True))
        for f in manifest.functions
    )
    got = ", ".join(f"{name} {show(shape)}" for name, shape in zip(names, shapes, strict=True))
    raise UsageError(
        f"the artifact was compiled for other shapes: it takes {taken}; got {got}. "
        "Compile the model with these shapes (--shape), or without any for all shapes"
    )


class _Conflict:
    def __init__(self, symbol: str, first: tuple[int, int, int], second: tuple[int, int, int]) -> None:
        self.symbol, self.first, self.second = symbol, first, second

    def message(self, inputs: Sequence[TensorSpec]) -> str:
        (i, axis, size), (j, other_axis, other_size) = self.first, self.second
        wanted = {number: list(inputs[number].shape) for number in (i, j)}
        wanted[j][other_axis] = other_size
        option = " ".join(f"{inputs[n].name}={','.join(map(str, dims))}" for n, dims in wanted.items())
        return (
            f"inputs disagree on {self.symbol!r}: dimension {axis} of {inputs[i].name!r} is {size}, and "
            f"dimension {other_axis} of {inputs[j].name!r} is {other_size}; the artifact was compiled with "
            f"them equal. Where the model takes them unequal, compile it for that: --shape '{option}'"
        )


def _conflict(expected: Sequence[Shape], shapes: Sequence[tuple[int, ...]]) -> _Conflict | None:
    """Find the first dimension that contradicts a size, fixed or given by the same symbol before."""
    sizes: dict[str, tuple[int, int, int]] = {}
    for i, (pattern, shape) in enumerate(zip(expected, shapes, strict=True)):
        for axis, (dimension, size) in enumerate(zip(pattern, shape, strict=True)):
            here = (i, axis, size)
            known = (i, axis, dimension) if isinstance(dimension, int) else sizes.setdefault(dimension, here)
            if known[2] != size:
                return _Conflict(str(dimension), known, here)
    return None
