"""Builds TIR statements that run on the threads of a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tvm_ffi
from tvm import ir, tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize
from tvm.tirx import For, ForKind, IterVar
from tvm.tirx.op import tvm_storage_sync

THREADS = 256
"""Threads of a block where each computes elements of its own."""


def integer(value: Any) -> Any:
    """An index, of an int too."""
    return tirx.IntImm("int64", value) if isinstance(value, int) else value


def launch(
    grid: Any, threads: int, buffers: Sequence[Any], body: Callable[[Any, Any], Sequence[tirx.Stmt]]
) -> tirx.Stmt:
    """A kernel of ``grid`` blocks: ``body`` gets the numbers of block and thread.

    ``buffers`` are those that a block or a thread has for itself. A grid whose size is not known has at least
    one block, since CUDA refuses an empty one.
    """
    size = grid if isinstance(grid, int) else tirx.max(grid, integer(1))
    block, thread = tirx.Var("block", "int64"), tirx.Var("thread", "int64")
    statement = opaque(buffers, sequence(body(block, thread)))
    for variable, extent, tag in ((thread, threads, "threadIdx.x"), (block, size, "blockIdx.x")):
        axis = IterVar(ir.Range(0, integer(extent)), tirx.Var(tag, "int64"), IterVar.ThreadIndex, tag)
        statement = For(variable, integer(0), integer(extent), ForKind.THREAD_BINDING, statement, axis)
    return statement


def opaque(buffers: Sequence[Any], body: tirx.Stmt) -> tirx.Stmt:
    """A block without axes that holds buffers of its own."""
    return SBlockRealize([], True, SBlock([], [], [], "kernel", body, alloc_buffers=list(buffers)))


def loop(
    name: str, extent: Any, body: Callable[[Any], tirx.Stmt], kind: ForKind = ForKind.SERIAL
) -> tirx.Stmt:
    """A loop of a thread; none where it runs once."""
    if isinstance(extent, int) and extent == 1:
        return body(integer(0))
    variable = tirx.Var(name, "int64")
    return For(variable, integer(0), integer(extent), kind, body(variable))


def unrolled(name: str, extent: int, body: Callable[[Any], tirx.Stmt]) -> tirx.Stmt:
    """A loop over registers, whose numbers have to be known."""
    return loop(name, extent, body, ForKind.UNROLLED)


def guarded(conditions: Sequence[Any], statement: tirx.Stmt) -> tirx.Stmt:
    """A statement that runs where all conditions hold."""
    return statement if not conditions else tirx.IfThenElse(tirx.all(*conditions), statement, None)


def sequence(statements: Sequence[tirx.Stmt]) -> tirx.Stmt:
    flat: list[tirx.Stmt] = []
    for statement in statements:
        flat += list(statement.seq) if isinstance(statement, tirx.SeqStmt) else [statement]
    return flat[0] if len(flat) == 1 else tirx.SeqStmt(flat)


def synchronize() -> tirx.Stmt:
    """Wait for the other threads of the block, and see what they wrote."""
    return tirx.Evaluate(tvm_storage_sync("shared"))


def substitute(body: Any, values: Sequence[tuple[Any, Any]]) -> Any:
    """A statement or expression with variables replaced."""

    def replace(variable: ir.Var) -> Any:
        for old, new in values:
            if variable.same_as(old):
                return new
        return variable

    return tvm_ffi.structural_map(body, ((tirx.Var, replace),))


def positions(linear: Any, extents: Sequence[Any]) -> list[Any]:
    """The place along each axis of an element, by its number in row-major order."""
    places: list[Any] = []
    for axis in reversed(range(len(extents))):
        extent = extents[axis]
        if isinstance(extent, int) and extent == 1:
            places.insert(0, integer(0))
        elif axis == 0 or all(isinstance(outer, int) and outer == 1 for outer in extents[:axis]):
            places.insert(0, linear)
            linear = integer(0)
        else:
            places.insert(0, tirx.floormod(linear, integer(extent)))
            linear = tirx.floordiv(linear, integer(extent))
    return places
