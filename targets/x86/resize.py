"""Blocked forms of functions that move or mix elements within each channel: resizing, padding, flipping.

Importers emit these as TIR functions with the arithmetic of the framework that the model comes from. That
arithmetic stays: the function is rewritten for vectors of channels where it treats every channel alike,
which is read off its body, so that it needs no annotation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tvm_ffi
from tvm import ir, relax, te, tirx
from tvm.s_tir.stmt import SBlock

from paddle_tvm.targets.expressions import extent
from paddle_tvm.targets.x86.conv2d import FUSES_WHAT_FOLLOWS
from paddle_tvm.targets.x86.tile import RULE

RESIZE = "resize"


def legalize_resize(
    builder: relax.BlockBuilder, call: relax.Call, data_blocked: relax.Expr
) -> relax.Expr | None:
    """A ``call_tir`` of a function of one NCHW tensor, on the blocked tensor.

    Parameters
    ----------
    call
        Its function must belong to the builder's module.
    data_blocked
        The tensor as [N, C / lanes, H, W, lanes].

    Returns
    -------
    relax.Expr or None
        The blocked result; None where the function is not of that kind: it reduces, reads several tensors,
        or what it reads or computes depends on the batch or the channel otherwise than element by element.
    """
    function = builder.get()[call.args[0]]
    channelwise = _read(function) if isinstance(function, tirx.PrimFunc) else None
    if channelwise is None:
        return None
    data, *scalars = call.args[1].fields
    values = _values(channelwise, data.ty.shape, scalars)
    if values is None:
        return None
    variables, expressions = values
    output = [extent(dim) for dim in call.ty.shape][2:]
    return builder.call_te(
        lambda data, output, expressions: resize_blocked(
            data, channelwise, output, list(zip(variables, expressions, strict=True))
        ),
        data_blocked,
        output,
        expressions,
        primfunc_name_hint=call.args[0].name_hint,
        primfunc_attrs=FUSES_WHAT_FOLLOWS,
    )


@dataclass(frozen=True)
class Channelwise:
    """A function that computes each element of a channel from elements of that channel.

    ``value`` is an expression of ``axes``, the batch, channel, row and column, and of what ``data`` holds.
    """

    data: Any
    scalars: list[Any]
    axes: list[Any]
    value: Any


def _read(function: tirx.PrimFunc) -> Channelwise | None:
    data, *scalars, output = function.params
    blocks: list[SBlock] = []
    tvm_ffi.structural_walk(function.body, (SBlock, blocks.append), order="post")
    if len(blocks) != 2 or not all(isinstance(param.ty, tirx.BufferType) for param in (data, output)):
        return None
    block = blocks[0]
    store, axes = block.body, [axis.var for axis in block.iter_vars]
    if (
        len(axes) != 4
        or len(data.shape) != 4
        or block.init is not None
        or not isinstance(store, tirx.BufferStore)
        or not store.buffer.same_as(output)
        or not all(map(_same, store.indices, axes))
        or any(isinstance(scalar.ty, tirx.BufferType) for scalar in scalars)
    ):
        return None
    batch, channel = axes[:2]
    loads: list[ir.TensorLoad] = []
    tvm_ffi.structural_walk(store.value, (ir.TensorLoad, loads.append))
    for load in loads:
        if not load.source.same_as(data) or not all(map(_same, load.indices[:2], axes[:2])):
            return None
        if any(_uses(index, variable) for index in load.indices[2:] for variable in (batch, channel)):
            return None
    # Beside its loads the value must not know which channel it is for.
    places = sum(_count(load.indices[0], batch) + _count(load.indices[1], channel) for load in loads)
    if _count(store.value, batch) + _count(store.value, channel) != places:
        return None
    return Channelwise(data, list(scalars), axes, store.value)


def _same(index: Any, axis: Any) -> bool:
    return bool(index.same_as(axis))


def _count(expression: Any, variable: Any) -> int:
    found: list[Any] = []
    tvm_ffi.structural_walk(expression, (tirx.Var, found.append))
    return sum(bool(other.same_as(variable)) for other in found)


def _uses(expression: Any, variable: Any) -> bool:
    return _count(expression, variable) > 0


def _values(
    channelwise: Channelwise, shape: Sequence[Any], scalars: Sequence[Any]
) -> tuple[list[Any], list[Any]] | None:
    """The variables of the function, and what they are where it is called; None where that is not known."""
    variables = list(channelwise.scalars)
    expressions = list(scalars)
    for dim, size in zip(channelwise.data.shape, shape, strict=True):
        if isinstance(dim, tirx.Var) and not any(dim.same_as(known) for known in variables):
            variables.append(dim)
            expressions.append(extent(size))
    used: list[Any] = []
    tvm_ffi.structural_walk(channelwise.value, (tirx.Var, used.append))
    known = [*variables, *channelwise.axes, channelwise.data]
    if any(not any(variable.same_as(other) for other in known) for variable in used):
        return None
    return variables, expressions


def resize_blocked(
    data: te.Tensor, channelwise: Channelwise, output: Sequence[Any], values: Sequence[tuple[Any, Any]]
) -> te.Tensor:
    """The function on [N, blocks, H, W, lanes], ``output`` rows and columns, given its variables' values.

    What depends on the column alone is computed once, into tables.
    """
    # As expressions, whose axes have 64 bits as those of the function do.
    batch, blocks, _, _, lanes = data.shape
    rows, columns = map(_int64, output)
    known = _substitute(channelwise.value, [(variable, _int64(value)) for variable, value in values])
    _, _, row, column = channelwise.axes
    tables: list[tuple[Any, te.Tensor]] = []

    def table(expression: Any) -> te.Tensor:
        for other, tensor in tables:
            if tvm_ffi.structural_equal(expression, other):
                return tensor
        tensor = te.compute(
            (columns,), lambda x: _substitute(expression, [(column, x)]), name=f"table_{len(tables)}"
        )
        tables.append((expression, tensor))
        return tensor

    def tabulate(expression: Any) -> Any:
        if _is_worth_a_table(expression, column, channelwise.axes):
            return table(expression)[column]
        return expression

    value = tvm_ffi.structural_map(known, ((ir.Expr, tabulate),), order="pre")

    def element(n: Any, c: Any, y: Any, x: Any, lane: Any) -> Any:
        def read(load: ir.TensorLoad) -> Any:
            return (
                data[n, c, load.indices[2], load.indices[3], lane]
                if load.source.same_as(channelwise.data)
                else load
            )

        placed = tvm_ffi.structural_map(value, ((ir.TensorLoad, read),))
        return _substitute(placed, [(row, y), (column, x)])

    return te.compute((batch, blocks, rows, columns, lanes), element, name="resize", attrs={RULE: RESIZE})


def _is_worth_a_table(expression: Any, column: Any, axes: Sequence[Any]) -> bool:
    """Whether an expression depends on the column and on no other axis, and converts numbers."""
    if not isinstance(expression, ir.Expr) or isinstance(expression, tirx.Var):
        return False
    if not ir.is_prim_expr(expression) or not _uses(expression, column):
        return False
    loads: list[Any] = []
    casts: list[Any] = []
    tvm_ffi.structural_walk(expression, (ir.TensorLoad, loads.append), order="post")
    tvm_ffi.structural_walk(expression, (tirx.Cast, casts.append), order="post")
    others = [axis for axis in axes if not axis.same_as(column)]
    return bool(casts) and not loads and not any(_uses(expression, axis) for axis in others)


def _substitute(expression: Any, values: Sequence[tuple[Any, Any]]) -> Any:
    def replace(variable: tirx.Var) -> Any:
        return next((new for old, new in values if variable.same_as(old)), variable)

    replacement: Callable[[Any], Any] = replace
    return tvm_ffi.structural_map(expression, ((tirx.Var, replacement),))


def _int64(value: Any) -> Any:
    return tirx.IntImm("int64", value) if isinstance(value, int) else value
