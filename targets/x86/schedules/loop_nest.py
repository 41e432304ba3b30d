"""Builds TIR statements for schedules that write their loops themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import tvm_ffi
from tvm import ir, s_tir, tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import For, ForKind

from paddle_tvm.targets.expressions import simplify

SERIAL, PARALLEL = ForKind.SERIAL, ForKind.PARALLEL
UNROLLED, VECTORIZED = ForKind.UNROLLED, ForKind.VECTORIZED


def loop(name: str, start: Any, extent: Any, body: Callable[[Any], Any], kind: ForKind = SERIAL) -> tirx.Stmt:
    """A loop over [start, start + extent); none where it runs once.

    It counts from zero: CanonicalizeLoop of TVM 0.27 forgets to shift the bounds of loops inside.
    """
    start, extent = int64(simplify(start)), simplify(extent)
    if extent == 1:
        return body(start)
    variable = tirx.Var(name, "int64")
    return For(variable, int64(0), int64(extent), kind, body(simplify(start + variable)))


def vectors(body: Callable[[Any], tirx.Stmt], lanes: int = 16) -> tirx.Stmt:
    """A statement on every lane of a vector."""
    return loop("lane", 0, lanes, body, VECTORIZED)


def clear(buffer: Any) -> tirx.Stmt:
    """Fill a buffer of constant shape with zeros, in vectors along its last axis."""
    *outer, lanes = (int(size) for size in buffer.shape)
    zero = tirx.const(0, buffer.dtype)

    def row_of(row: Any) -> tirx.Stmt:
        place = unravel(row, outer)
        return vectors(lambda lane: tirx.BufferStore(buffer, zero, [*place, lane]), lanes)

    return loop("row", 0, prod(outer), row_of)


def int64(value: Any) -> Any:
    """An expression, of an int too."""
    return tirx.IntImm("int64", value) if isinstance(value, int) else value


def sequence(statements: Sequence[tirx.Stmt]) -> tirx.Stmt:
    return statements[0] if len(statements) == 1 else tirx.SeqStmt(list(statements))


def opaque_block(name: str, buffers: Sequence[Any], body: tirx.Stmt) -> tirx.Stmt:
    """A block without axes that holds buffers of its own."""
    return SBlockRealize([], True, SBlock([], [], [], name, body, alloc_buffers=list(buffers)))


def substitute(expression: Any, values: Sequence[tuple[Any, Any]]) -> Any:
    """The expression with variables replaced."""

    def replace(variable: ir.Var) -> Any:
        for old, new in values:
            if variable.same_as(old):
                return new
        return variable

    return tvm_ffi.structural_map(expression, ((tirx.Var, replace),))


def replace_loads(expression: Any, buffer: Any, replacement: Callable[[ir.TensorLoad], Any]) -> Any:
    """The expression with what is read from a buffer replaced."""

    def replace(load: ir.TensorLoad) -> Any:
        return replacement(load) if load.source.same_as(buffer) else load

    return tvm_ffi.structural_map(expression, ((ir.TensorLoad, replace),))


def without_conditions(expression: Any) -> Any:
    """The expression with every ``if_then_else`` taken to hold."""

    def strip(call: ir.Call) -> Any:
        is_condition = isinstance(call.op, ir.Op) and call.op.name == "prim.if_then_else"
        return call.args[1] if is_condition else call

    return tvm_ffi.structural_map(expression, ((ir.Call, strip),))


def unravel(place: Any, sizes: list[Any]) -> list[Any]:
    """Indices of a place in an array of the given sizes."""
    indices: list[Any] = []
    for axis, size in reversed(list(enumerate(sizes))):
        if isinstance(size, int) and size == 1:
            indices.append(tirx.IntImm("int64", 0))
        elif all(isinstance(before, int) and before == 1 for before in sizes[:axis]):
            indices.append(place)
            place = tirx.IntImm("int64", 0)
        else:
            indices.append(tirx.floormod(place, size))
            place = tirx.floordiv(place, size)
    return indices[::-1]


def holds_block(statement: tirx.Stmt, blocks: Sequence[SBlock]) -> bool:
    """Whether one of the blocks is part of a statement."""
    found: list[SBlock] = []
    tvm_ffi.structural_walk(statement, (SBlock, found.append))
    return any(inner.same_as(block) for inner in found for block in blocks)


def root_statements(schedule: s_tir.Schedule) -> list[tirx.Stmt]:
    """What runs in a function, one after the other."""
    body = schedule.get(schedule.get_sblock("root")).body
    return list(body.seq) if isinstance(body, tirx.SeqStmt) else [body]


def replace_root(schedule: s_tir.Schedule, statements: Sequence[tirx.Stmt], dropped: Sequence[Any]) -> None:
    """Give a function other statements, and drop buffers that they do not need."""
    handle = schedule.get_sblock("root")
    root = schedule.get(handle)
    kept = [buffer for buffer in root.alloc_buffers if not any(buffer.same_as(drop) for drop in dropped)]
    new = SBlock(
        [], root.reads, root.writes, root.name_hint, sequence(statements), None, kept, [], root.annotations
    )
    schedule.state.replace(schedule.get_sref(handle), new, {root: new})
