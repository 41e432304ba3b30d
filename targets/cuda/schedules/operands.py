"""A contraction as products of matrices, whatever the axes of its block are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from tvm import ir, tirx

from paddle_tvm.targets.cuda.contraction import GROUPS, RULE, VECTORS, run_of
from paddle_tvm.targets.cuda.schedules.stages import Axis, Group
from paddle_tvm.targets.cuda.schedules.threads import integer, positions, substitute


@dataclass(frozen=True)
class Operand:
    """One side of the products.

    ``value`` is the element at a row or column and a place along k; it is read where ``conditions`` hold, and
    zero elsewhere. ``along`` says whether neighbours in memory are neighbours along ``k`` or not, in runs
    of ``vector`` elements.
    """

    value: Callable[[Any, Any], Any]
    conditions: Callable[[Any, Any], list[Any]]
    dtype: str
    along: str
    vector: int


@dataclass(frozen=True)
class Products:
    """A contraction as products of matrices [rows, depth] and [depth, columns]."""

    group: Group
    batch: Any
    rows: Any
    columns: Any
    depth: Any
    left: Callable[[Any], Operand]
    right: Callable[[Any], Operand]
    places: Callable[[Any, Any, Any], list[Any]]


def products_of(group: Group) -> Products:
    """The contraction that the first stage of a group is."""
    stage = group.main
    letters = str(stage.annotations[RULE])
    groups = int(stage.annotations[GROUPS])
    runs = [run_of(run) for run in str(stage.annotations[VECTORS]).split(",")]
    by_letter: dict[str, list[Axis]] = {
        letter: [axis for axis, of in zip(stage.spatial, letters, strict=True) if of == letter]
        for letter in "bmn"
    }
    sizes = {letter: prod(axis.extent for axis in axes) for letter, axes in by_letter.items()}
    columns = sizes["n"] if groups == 1 else sizes["n"] // groups

    def places(batch: Any, row: Any, column: Any) -> list[Any]:
        numbers = {"b": batch, "m": row, "n": column}
        if groups > 1:
            numbers["n"] = batch * columns + column
        found = {
            letter: positions(numbers[letter], [axis.extent for axis in axes])
            for letter, axes in by_letter.items()
        }
        return [found[letter].pop(0) for letter in letters]

    (k,) = stage.reduction
    left, right = _factors(stage.block.body)

    def operand(factor: Any, number: int, batch: Any) -> Operand:
        condition, load = _load(factor)
        along, vector = runs[number]
        # What an operand does not depend on is as good as any other place.
        zero = integer(0)

        def at(position: Any, depth: Any) -> list[tuple[Any, Any]]:
            place = places(batch, *((position, zero) if number == 0 else (zero, position)))
            values = [(axis.variable, at) for axis, at in zip(stage.spatial, place, strict=True)]
            return [*values, (k.variable, depth)]

        return Operand(
            value=lambda position, depth: substitute(load, at(position, depth)),
            conditions=lambda position, depth: (
                [] if condition is None else [substitute(condition, at(position, depth))]
            ),
            dtype=str(load.ty.dtype),
            along=along,
            vector=vector if isinstance(load, ir.TensorLoad) else 1,
        )

    return Products(
        group=group,
        batch=sizes["b"] if groups == 1 else groups,
        rows=sizes["m"],
        columns=columns,
        depth=k.extent,
        left=lambda batch: operand(left, 0, batch),
        right=lambda batch: operand(right, 1, batch),
        places=places,
    )


def _factors(body: tirx.Stmt) -> tuple[Any, Any]:
    """The operands of ``sum = sum + left * right``."""
    assert isinstance(body, tirx.BufferStore)
    assert isinstance(body.value, tirx.Add)
    own = isinstance(body.value.a, ir.TensorLoad) and body.value.a.source.same_as(body.buffer)
    product = body.value.b if own else body.value.a
    assert isinstance(product, tirx.Mul)
    return product.a, product.b


def _load(factor: Any) -> tuple[Any, Any]:
    """The condition under which an operand is read, and what is read."""
    while isinstance(factor, tirx.Cast):
        factor = factor.value
    if isinstance(factor, ir.Call) and isinstance(factor.op, ir.Op) and factor.op.name == "prim.if_then_else":
        return factor.args[0], factor.args[1]
    return None, factor
