"""Which Paddle operators the importer knows: converters to Relax, and folds over constants.

A *converter* builds Relax for one operator. A *fold* computes an operator on values that are known while
importing: constants, and small integer tensors whose elements are expressions over symbolic dimensions,
which is how Paddle programs compute shapes (shape64 → slice → combine → stack → reshape).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tvm import relax

    from paddle_tvm.compiler.frontends.paddle.context import OpContext

KnownArray: TypeAlias = npt.NDArray[Any]
"""A constant, or an object array of ints and TIR expressions over symbolic dimensions."""

Converted: TypeAlias = "relax.Expr | Sequence[relax.Expr | Sequence[relax.Expr] | None]"
"""One expression, or one entry per result: None where nothing may read it, a sequence for a tensor list."""

Converter: TypeAlias = "Callable[[OpContext], Converted]"
Fold: TypeAlias = "Callable[[OpContext], KnownArray | Sequence[KnownArray] | None]"

_converters: dict[str, Converter] = {}
_folds: dict[str, Fold] = {}
_shape_folds: set[str] = set()


def register(*names: str) -> Callable[[Converter], Converter]:
    """Register a converter for ``pd_op.<name>`` (or a full name with a dialect, ``builtin.split``)."""

    def decorate(converter: Converter) -> Converter:
        for name in map(_qualified, names):
            if name in _converters:
                raise ValueError(f"two converters for {name}: {_converters[name]} and {converter}")
            _converters[name] = converter
        return converter

    return decorate


def register_fold(*names: str, reads_values: bool = True) -> Callable[[Fold], Fold]:
    """Register a fold. It is called when every tensor input is known; None means "not this time".

    With ``reads_values=False`` it is always called: it looks at shapes alone, or finds out by itself.
    """

    def decorate(fold: Fold) -> Fold:
        for name in map(_qualified, names):
            if name in _folds:
                raise ValueError(f"two folds for {name}: {_folds[name]} and {fold}")
            _folds[name] = fold
            if not reads_values:
                _shape_folds.add(name)
        return fold

    return decorate


def _qualified(name: str) -> str:
    return name if "." in name else f"pd_op.{name}"


def find_converter(name: str) -> Converter | None:
    """The converter of an operator, None where there is none."""
    return _converters.get(name)


def find_fold(name: str) -> Fold | None:
    """The fold of an operator, None where there is none."""
    return _folds.get(name)


def fold_reads_values(name: str) -> bool:
    """Whether the fold of an operator needs the values of its inputs, not their shapes alone."""
    return name not in _shape_folds


def supported_operators() -> list[str]:
    """Names of all operators that can be imported, sorted."""
    return sorted(_converters.keys() | _folds.keys() | {"builtin.parameter", "builtin.combine"})


def is_constant(array: KnownArray) -> bool:
    """Whether an array holds numbers alone, no symbolic expression."""
    return array.dtype != np.object_
