"""What TIR functions of the importers compute, for accelerators that have an operator for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import tvm
from tvm import tirx

_ATTRIBUTE = "paddle_tvm.meaning"


@dataclass(frozen=True)
class Operand:
    """An operand of a node: one of the function's by its number, or a constant of a dtype."""

    number: int | None = None
    dtype: str = ""
    value: Any = None


@dataclass(frozen=True)
class Meaning:
    """A node of ONNX, of operator set 18, that computes the same; or what is a few nodes there.

    Those are ``NotEqual``, ``IsFinite``; ``ReduceMax`` and ``ReduceMin``, which keep a NaN; and
    ``GroupNorm``: groups of the channels, which are dimension 1, are normalised, and then scaled and shifted
    by operands for each channel.

    Attributes
    ----------
    op_type
        The operator.
    operands
        None where an optional one is left out.
    attributes
        The node's.
    """

    op_type: str
    operands: Sequence[Operand | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def attribute(self) -> dict[str, str]:
        """As an attribute of a TIR function."""
        return {_ATTRIBUTE: json.dumps(asdict(self), sort_keys=True)}


def means(op_type: str, *operands: Operand | int | None, **attributes: Any) -> dict[str, str]:
    """The attribute of a TIR function that does what a node does; numbers are the function's operands."""
    listed = [Operand(operand) if isinstance(operand, int) else operand for operand in operands]
    return Meaning(op_type, listed, attributes).attribute()


def vector(values: Sequence[int]) -> Operand:
    """A constant operand of several int64."""
    return Operand(dtype="int64", value=[int(value) for value in values])


def without_meanings(module: tvm.IRModule) -> tvm.IRModule:
    """The module with functions that say nothing, which makes equal ones of those that compute the same."""
    return tvm.IRModule(
        {
            variable: function.without_attr(_ATTRIBUTE)
            if isinstance(function, tirx.PrimFunc) and meaning_of(function) is not None
            else function
            for variable, function in module.functions.items()
        },
        attrs=module.attrs,
    )


def meaning_of(function: tirx.PrimFunc) -> Meaning | None:
    """What a function says that it computes; None where it says nothing."""
    text = dict(function.attrs or {}).get(_ATTRIBUTE)
    if text is None:
        return None
    read = json.loads(str(text))
    operands = [None if operand is None else Operand(**operand) for operand in read["operands"]]
    return Meaning(read["op_type"], operands, read["attributes"])
