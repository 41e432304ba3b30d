"""The option ``--shape``: shapes of inputs by name, in one set or several."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeAlias

import click

from paddle_tvm.runtime.errors import UsageError

ShapeSet: TypeAlias = "dict[str, tuple[int | str, ...]]"
"""Shapes by input name; -1 leaves a dimension as the model has it, a word names its symbol."""

_SYMBOL = re.compile(r"[A-Za-z_]\w*")

# Sizes in bytes, of whatever dtype, stay within what NumPy and the kernels count with.
_MOST_ELEMENTS = 1 << 48


def shape_option(help: str) -> Callable[[Any], Any]:
    """``--shape``, whose values ``parse_shapes`` reads."""
    return click.option("--shape", "shapes", metavar="NAME=DIM,DIM,...", multiple=True, help=help)


def parse_shapes(values: Sequence[str], option: str = "--shape") -> list[ShapeSet]:
    """Read the values of ``--shape``, or of another option like it.

    Inputs of one set are separated by spaces or stand in options of their own; ``;`` ends a set, and so
    does a name that the set has already.

    Returns
    -------
    list
        The sets. An empty one, as after a last ``;``, asks for the dynamic form.

    Raises
    ------
    UsageError
        A value cannot be read, or the sets name different inputs.
    """
    if not values:
        return []
    sets: list[ShapeSet] = [{}]
    for value in values:
        for number, part in enumerate(value.split(";")):
            if number:
                sets.append({})
            for item in part.split():
                name, shape = _parse_item(item, value, option)
                if name in sets[-1]:
                    sets.append({})
                sets[-1][name] = shape
    named = [set(shapes) for shapes in sets if shapes]
    if not named:
        raise UsageError(f"{option} '{' '.join(values)}' names no input; write it like x=1,3,224,224")
    for number, names in enumerate(named[1:], 2):
        if names != named[0]:
            raise UsageError(
                f"{option}: set 1 names {', '.join(sorted(named[0]))}, set {number} names "
                f"{', '.join(sorted(names))}; every set must name the same inputs"
            )
    return sets


def parse_one_shape_set(values: Sequence[str], option: str = "--shape") -> dict[str, tuple[int, ...]]:
    """As ``parse_shapes``, where one set of whole shapes is wanted."""
    sets = parse_shapes(values, option)
    if not sets:
        return {}
    if len(sets) > 1:
        raise UsageError(f"{option} gives {len(sets)} sets of shapes; this command takes one")
    return require_numbers(sets[0], option)


def require_numbers(shapes: ShapeSet, option: str = "--shape") -> dict[str, tuple[int, ...]]:
    """Shapes without unknown dimensions."""
    whole: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes.items():
        numbers = tuple(dim for dim in shape if isinstance(dim, int) and dim >= 0)
        if len(numbers) != len(shape):
            listed = ",".join(map(str, shape))
            raise UsageError(f"{option} {name}={listed}: every dimension must be a number here")
        whole[name] = numbers
    return whole


def _parse_item(item: str, value: str, option: str) -> tuple[str, tuple[int | str, ...]]:
    name, equals, dims = item.rpartition("=")
    if not equals or not name:
        raise UsageError(f"{option} '{value}': '{item}' has no input name; write it like x=1,3,224,224")
    # A 0-d input has no dimensions: "x=".
    shape = tuple(_parse_dim(dim.strip(), value, option) for dim in dims.split(",")) if dims else ()
    if prod(dim for dim in shape if isinstance(dim, int) and dim > 0) > _MOST_ELEMENTS:
        raise UsageError(f"{option} '{value}': '{item}' has more elements than fit into memory")
    return name, shape


def _parse_dim(dim: str, value: str, option: str) -> int | str:
    if dim in ("?", "-1"):
        return -1
    if dim.isascii() and dim.isdigit():
        return int(dim)
    if _SYMBOL.fullmatch(dim):
        return dim
    raise UsageError(f"{option} '{value}': '{dim}' is no dimension; write a number, -1 or a symbol's name")
