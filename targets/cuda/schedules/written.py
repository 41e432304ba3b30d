"""Functions whose loops somebody wrote: sorts, scans, and what else goes over its data in an order."""

from __future__ import annotations

from typing import Any

import tvm_ffi
from tvm import ir, tirx
from tvm.s_tir.stmt import SBlock, SBlockRealize

from paddle_tvm.targets.cuda.schedules.threads import (
    guarded,
    integer,
    launch,
    sequence,
    substitute,
)
from paddle_tvm.targets.expressions import ceil_div

_THREADS = 64


def bind_written(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Run parallel loops on threads, what is around them on the CPU, and what has none on one thread."""
    return function.with_body(_place(function.body))


def _place(statement: tirx.Stmt) -> tirx.Stmt:
    if isinstance(statement, SBlockRealize) and not statement.block.iter_vars:
        return _place_block(statement.block)
    if isinstance(statement, tirx.SeqStmt):
        return _place_sequence(list(statement.seq))
    if isinstance(statement, tirx.For) and statement.kind == tirx.ForKind.PARALLEL:
        return _place_parallel(statement)
    if _is_parallel(statement):
        if isinstance(statement, tirx.For) and statement.kind == tirx.ForKind.SERIAL:
            return tirx.For(
                statement.loop_var, statement.min, statement.extent, statement.kind, _place(statement.body)
            )
        if isinstance(statement, tirx.IfThenElse) and not _reads(statement.condition):
            otherwise = None if statement.else_case is None else _place(statement.else_case)
            return tirx.IfThenElse(statement.condition, _place(statement.then_case), otherwise)
    return launch(1, 1, [], lambda block, thread: [_serial(statement)])


def _place_block(block: SBlock) -> tirx.Stmt:
    """Memory between kernels stays where it is; registers go into the one kernel that then is."""
    outside = [buffer for buffer in block.alloc_buffers if buffer.scope() in ("", "global")]
    inside = [buffer for buffer in block.alloc_buffers if buffer.scope() not in ("", "global")]
    if inside:
        body = launch(1, 1, inside, lambda number, thread: [_serial(block.body)])
    else:
        body = _place(block.body)
    return SBlockRealize(
        [],
        True,
        SBlock([], block.reads, block.writes, block.name_hint, body, None, outside, [], block.annotations),
    )


def _place_sequence(statements: list[tirx.Stmt]) -> tirx.Stmt:
    # What is asked of sizes is asked on the CPU, which can say no.
    asked = [statement for statement in statements if _asks_sizes(statement)]
    allocations = [statement for statement in statements if isinstance(statement, tirx.AllocBuffer)]
    rest = [
        statement
        for statement in statements
        if not isinstance(statement, tirx.AllocBuffer) and not _asks_sizes(statement)
    ]
    if any(allocation.buffer.scope() not in ("", "global") for allocation in allocations):
        inner = sequence([*allocations, *rest])
        return sequence([*asked, launch(1, 1, [], lambda block, thread: [_serial(inner)])])
    if any(isinstance(statement, tirx.Bind) for statement in rest):
        kernels = [launch(1, 1, [], lambda block, thread: [_serial(sequence(rest))])]
    else:
        kernels = [_place(statement) for statement in rest]
    return sequence([*asked, *allocations, *kernels])


def _asks_sizes(statement: tirx.Stmt) -> bool:
    return isinstance(statement, tirx.AssertStmt) and not _reads(statement.condition)


def _place_parallel(loop: tirx.For) -> tirx.Stmt:
    def body(block: Any, thread: Any) -> list[tirx.Stmt]:
        number = block * _THREADS + thread
        inner = substitute(_serial(loop.body), [(loop.loop_var, number + loop.min)])
        return [guarded([number < integer(loop.extent)], inner)]

    return launch(ceil_div(loop.extent, _THREADS), _THREADS, [], body)


def _is_parallel(statement: Any) -> bool:
    loops: list[tirx.For] = []
    tvm_ffi.structural_walk(statement, (tirx.For, loops.append))
    return any(loop.kind == tirx.ForKind.PARALLEL for loop in loops)


def _reads(condition: Any) -> bool:
    """Whether a condition is of what is in memory, which the CPU does not see."""
    loads: list[Any] = []
    tvm_ffi.structural_walk(condition, (ir.TensorLoad, loads.append))
    return bool(loads)


def _serial(statement: Any) -> Any:
    """A statement for one thread."""

    def one(loop: tirx.For) -> tirx.Stmt:
        if loop.kind not in (tirx.ForKind.PARALLEL, tirx.ForKind.VECTORIZED):
            return loop
        return tirx.For(loop.loop_var, loop.min, loop.extent, tirx.ForKind.SERIAL, loop.body)

    return tvm_ffi.structural_map(statement, ((tirx.For, one),))
