"""Reads a tensor where it comes from: through transposes, reshapes and slices that are never written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tvm import relax, tirx
from tvm.sym import Analyzer

from paddle_tvm.targets.expressions import extent

Index = Sequence[Any]
Lookup = Callable[[relax.Var], relax.Expr | None]


@dataclass(frozen=True)
class View:
    """A tensor as elements of another one: ``index`` maps its own indices to those of ``base``."""

    base: relax.Expr
    index: Callable[[Index], list[Any]]

    def through(self, step: Callable[[Index], list[Any]], base: relax.Expr) -> View:
        """The same elements, of what this view's base is itself made from."""
        return View(base, lambda index: step(self.index(index)))


def dims(tensor: relax.Expr) -> list[Any]:
    return [extent(dim) for dim in tensor.ty.shape]


def view_of(tensor: relax.Expr, lookup: Lookup) -> View:
    """Follow a tensor back through operators that only move elements."""
    view = View(tensor, list)
    while True:
        call = lookup(view.base) if isinstance(view.base, relax.Var) else None
        step = _step(call) if isinstance(call, relax.Call) else None
        if step is None or not isinstance(call, relax.Call):
            return view
        view = view.through(step, call.args[0])


def _step(call: relax.Call) -> Callable[[Index], list[Any]] | None:
    """From indices of a call's result to those of its operand; None where the call does more."""
    name = getattr(call.op, "name", "")
    if name == "relax.permute_dims":
        axes = transposition(call)
        return lambda index: [index[axes.index(axis)] for axis in range(len(axes))]
    if name == "relax.reshape":
        return _regrouping(dims(call.args[0]), dims(call))
    if name == "relax.squeeze":
        return _regrouping(dims(call.args[0]), dims(call))
    if name == "relax.strided_slice":
        return _slice(call)
    return None


def transposition(call: relax.Call) -> list[int]:
    """The axes of a ``relax.permute_dims``."""
    rank = len(call.args[0].ty.shape)
    if call.attrs.axes is None:
        return list(reversed(range(rank)))
    return [int(axis) % rank for axis in call.attrs.axes]


def _regrouping(source: Sequence[Any], target: Sequence[Any]) -> Callable[[Index], list[Any]] | None:
    """A reshape that splits dimensions or adds and removes those of one element; not one that merges."""
    groups: list[list[int]] = []
    place = 0
    for size in source:
        group: list[int] = []
        if not _is_one(size):
            product: Any = 1
            while not _same(product, size):
                if place == len(target):
                    return None
                group.append(place)
                product = target[place] if _is_one(product) else product * target[place]
                if isinstance(product, int) and isinstance(size, int) and product > size:
                    return None
                place += 1
        groups.append(group)
    if any(not _is_one(size) for size in target[place:]):
        return None

    def step(index: Index) -> list[Any]:
        result = []
        for group in groups:
            value: Any = tirx.IntImm("int64", 0)
            for axis in group:
                if not _is_one(target[axis]):
                    value = value * target[axis] + index[axis]
            result.append(value)
        return result

    # The sizes of symbolic dimensions must not be needed: the caller's symbols are others.
    inner = [axis for group in groups for axis in [a for a in group if not _is_one(target[a])][1:]]
    return step if all(isinstance(target[axis], int) for axis in inner) else None


def _is_one(size: Any) -> bool:
    return isinstance(size, int) and size == 1


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, int) or isinstance(right, int):
        return isinstance(left, int) and isinstance(right, int) and left == right
    return bool(Analyzer().can_prove_equal(left, right))


def same_dims(left: Sequence[Any], right: Sequence[Any]) -> bool:
    """Whether two shapes are equal for certain."""
    return len(left) == len(right) and all(_same(a, b) for a, b in zip(left, right, strict=True))


def _slice(call: relax.Call) -> Callable[[Index], list[Any]] | None:
    numbers = [_numbers(argument) for argument in call.args[1:]]
    if len(numbers) < 3 or any(part is None for part in numbers):
        return None
    axes, begins = numbers[0] or [], numbers[1] or []
    strides = (numbers[3] or []) if len(numbers) > 3 else [1] * len(axes)
    sizes = dims(call.args[0])
    if any(stride != 1 for stride in strides):
        return None
    offsets: dict[int, int] = {}
    for axis, begin in zip(axes, begins, strict=True):
        axis %= len(sizes)
        if begin < 0:
            if not isinstance(sizes[axis], int):
                return None
            begin = max(0, begin + sizes[axis])
        offsets[axis] = begin
    return lambda index: [
        value + offsets[axis] if offsets.get(axis) else value for axis, value in enumerate(index)
    ]


def _numbers(argument: relax.Expr) -> list[int] | None:
    """The constants of a tuple of numbers."""
    if not isinstance(argument, relax.Tuple):
        return None
    found = [getattr(field, "value", field) for field in argument.fields]
    if not all(isinstance(value, int | tirx.IntImm) for value in found):
        return None
    return [int(value) for value in found]
