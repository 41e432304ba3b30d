"""Which ONNX operators have a converter or a fold of our own; the others are TVM's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from paddle_tvm.compiler.frontends.paddle.registry import KnownArray

if TYPE_CHECKING:
    from tvm import relax

    from paddle_tvm.compiler.frontends.onnx.context import NodeContext
    from paddle_tvm.compiler.frontends.paddle.context import TensorValue

Converter: TypeAlias = "Callable[[NodeContext], TensorValue | relax.Expr | Sequence[relax.Expr]]"
Fold: TypeAlias = "Callable[[NodeContext], KnownArray | None]"

_converters: dict[str, Converter] = {}
_folds: dict[str, Fold] = {}


def register(*op_types: str) -> Callable[[Converter], Converter]:
    """Register a converter of an operator of the standard domain."""

    def decorate(converter: Converter) -> Converter:
        for op_type in op_types:
            if op_type in _converters:
                raise ValueError(f"two converters for {op_type}: {_converters[op_type]} and {converter}")
            _converters[op_type] = converter
        return converter

    return decorate


def register_fold(*op_types: str) -> Callable[[Fold], Fold]:
    """Register a fold over arrays that hold symbolic dimensions; None means "not this time"."""

    def decorate(fold: Fold) -> Fold:
        for op_type in op_types:
            if op_type in _folds:
                raise ValueError(f"two folds for {op_type}: {_folds[op_type]} and {fold}")
            _folds[op_type] = fold
        return fold

    return decorate


def find_converter(op_type: str) -> Converter | None:
    """Our converter of an operator, None where TVM's is used."""
    return _converters.get(op_type)


def find_fold(op_type: str) -> Fold | None:
    """The fold of an operator, None where there is none."""
    return _folds.get(op_type)


def registered() -> set[str]:
    """Operators with a converter of our own."""
    return set(_converters)
