"""Which Relax operators have a converter to ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tvm import relax

if TYPE_CHECKING:
    from paddle_tvm.targets.onnx_export.context import ExportContext

Convert: TypeAlias = "Callable[[ExportContext], str | Sequence[str]]"
Refuse: TypeAlias = "Callable[[relax.Call], str | None]"


def takes_all(call: relax.Call) -> str | None:
    """Refuses nothing."""
    return None


@dataclass(frozen=True)
class Converter:
    """How an operator becomes ONNX.

    Attributes
    ----------
    operator
        The Relax operator.
    operands
        How many it may have, counting shapes and lists of numbers.
    refuse
        Why a call has no counterpart in ONNX: the rest of a sentence that begins with the operator's name.
    convert
        Adds the nodes of a call, and names its results.
    """

    operator: str
    operands: tuple[int, ...]
    refuse: Refuse
    convert: Convert


_converters: dict[str, Converter] = {}


def register(
    *operators: str, operands: int | Sequence[int] = 1, refuse: Refuse = takes_all
) -> Callable[[Convert], Convert]:
    """Register the converter of Relax operators, named without ``relax.``."""

    def decorate(convert: Convert) -> Convert:
        counts = (operands,) if isinstance(operands, int) else tuple(operands)
        for operator in operators:
            name = operator if operator.startswith("paddle_tvm.") else f"relax.{operator}"
            if name in _converters:
                raise ValueError(f"two converters for {name}: {_converters[name].convert} and {convert}")
            _converters[name] = Converter(name, counts, refuse, convert)
        return convert

    return decorate


def find_converter(operator: str) -> Converter | None:
    """The converter of an operator, by its full name."""
    return _converters.get(operator)


def converters() -> tuple[Converter, ...]:
    """All converters, by name."""
    return tuple(_converters[name] for name in sorted(_converters))
