"""Reductions of long rows, and what else is done with them, a row by the threads of a block together."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import tvm_ffi
from tvm import ir, tirx
from tvm.sym import Analyzer

from paddle_tvm.targets.cuda.contraction import is_contraction
from paddle_tvm.targets.cuda.schedules.elements import accumulators_of
from paddle_tvm.targets.cuda.schedules.results import compute, finish, redirect
from paddle_tvm.targets.cuda.schedules.stages import Group, Stage
from paddle_tvm.targets.cuda.schedules.threads import (
    guarded,
    integer,
    launch,
    loop,
    positions,
    sequence,
    substitute,
    synchronize,
)
from paddle_tvm.targets.expressions import ceil_div

# Shorter rows than this are left to single threads.
_SHORTEST = 64
# Results of which every thread makes one keep a device busy when there are so many.
_ENOUGH = 1 << 15
# Threads for a row: a warp where it is short.
_THREADS, _WARP = 128, 32
# Of a row that several kernels would read, shared memory holds so much.
_MOST_BYTES = 32 << 10

_COMBINE = (tirx.Add, tirx.Mul, tirx.Max, tirx.Min)


def is_row_reduction(stage: Stage) -> bool:
    """Whether a stage has rows long enough, and combines elements in a way that has no order."""
    if not stage.reduction or combination_of(stage) is None:
        return False
    length = prod(axis.extent for axis in stage.reduction)
    if isinstance(length, int) and length < _SHORTEST:
        return False
    return not isinstance(stage.elements, int) or stage.elements < _ENOUGH


def combination_of(stage: Stage) -> type[ir.Expr] | None:
    """How a stage combines what it has with the next element: a sum, a product, a maximum or a minimum."""
    body = stage.block.body
    if not isinstance(body, tirx.BufferStore):
        return None
    for kind in _COMBINE:
        if isinstance(body.value, kind):
            sides = (body.value.a, body.value.b)
            own = [isinstance(side, ir.TensorLoad) and side.source.same_as(body.buffer) for side in sides]
            return kind if own.count(True) == 1 else None
    return None


def schedule_rows(group: Group) -> tirx.Stmt:
    """A block of threads for each element of the result of a reduction."""
    reduction = _Reduction(group, _THREADS)
    rows = group.main.elements

    def body(block: Any, thread: Any) -> list[tirx.Stmt]:
        places = positions(block, [axis.extent for axis in group.main.spatial])
        return reduction.statements(places, thread, _inside(block, rows))

    return launch(rows, _THREADS, reduction.buffers, body)


def _inside(block: Any, rows: Any) -> list[Any]:
    """A grid of unknown size has a block even where there are no rows."""
    return [] if isinstance(rows, int) else [block < integer(rows)]


class _Reduction:
    """A row reduced by a block of threads: each its share, then these together."""

    def __init__(self, group: Group, threads: int) -> None:
        self.group = group
        self.threads = threads
        (self.output,) = group.main.outputs
        self.accumulators = accumulators_of(group)
        name = f"{self.output.name}_partial"
        self.partial = tirx.decl_buffer((threads,), self.output.dtype, name, scope="shared")
        self.buffers = [*self.accumulators, self.partial]

    def statements(self, places: list[Any], thread: Any, inside: list[Any]) -> list[tirx.Stmt]:
        """Reduce the row at a place, and take up the result."""
        stage = self.group.main
        combine: Any = combination_of(stage)
        length = prod(axis.extent for axis in stage.reduction)
        at = [(axis.variable, place) for axis, place in zip(stage.spatial, places, strict=True)]
        pairs = [(self.output, self.accumulators[0])]
        step = redirect(stage.body_at(places), pairs)

        def add(number: Any) -> tirx.Stmt:
            element = number * self.threads + thread
            taken = positions(element, [axis.extent for axis in stage.reduction])
            values = [(axis.variable, place) for axis, place in zip(stage.reduction, taken, strict=True)]
            return guarded([element < integer(length), *inside], substitute(step, values))

        statements = [
            redirect(substitute(stage.block.init, at), pairs),
            loop("part", ceil_div(length, self.threads), add),
            tirx.BufferStore(self.partial, self.accumulators[0][0], [thread]),
            synchronize(),
        ]
        width = self.threads // 2
        while width:
            folded = combine(self.partial[thread], self.partial[thread + width])
            statements += [
                guarded([thread < width], tirx.BufferStore(self.partial, folded, [thread])),
                synchronize(),
            ]
            width //= 2
        taken = sequence(finish(self.group, [self.partial[0]], places))
        return [*statements, guarded([thread == 0, *inside], taken)]


def schedule_whole_rows(groups: Sequence[Group], results: Sequence[Any]) -> tirx.Stmt | None:
    """One kernel for groups that all work on the same rows, as those of a softmax or a norm do.

    What one hands to the next is in shared memory. None where they do not, or where a row does not fit.

    Parameters
    ----------
    groups
        Of a function, in their order.
    results
        The function's results; all else that is written is between groups.
    """
    axes = _row_axes(groups)
    if axes is None:
        return None
    between = [
        buffer
        for group in groups
        for buffer in group.kept
        if not any(buffer.same_as(result) for result in results)
    ]
    count = len(axes)
    # What a later group reads of a row, a result too, has to be of the same row: blocks do not wait.
    kept = [buffer for group in groups for buffer in group.kept]
    if not all(_reads_own_row(group, buffer, count) for group in groups for buffer in kept):
        return None
    shared = _shared_rows(between, count)
    if shared is None:
        return None
    lengths = [prod(axis.extent for axis in group.main.reduction) for group in groups if group.main.reduction]
    short = all(isinstance(length, int) and length <= _SHORTEST for length in lengths)
    threads = _WARP if short else _THREADS
    reductions = {
        number: _Reduction(group, threads) for number, group in enumerate(groups) if group.main.reduction
    }
    rows = prod(axes)

    def body(block: Any, thread: Any) -> list[tirx.Stmt]:
        row = positions(block, axes)
        inside = _inside(block, rows)
        statements: list[tirx.Stmt] = []
        for number, group in enumerate(groups):
            if number:
                statements.append(synchronize())
            if number in reductions:
                statements += reductions[number].statements(row, thread, inside)
            else:
                statements.append(_share(group, row, thread, threads, inside))
        return [_in_shared(sequence(statements), between, shared, count)]

    buffers = [buffer for reduction in reductions.values() for buffer in reduction.buffers]
    return launch(rows, threads, [*shared, *buffers], body)


def _share(group: Group, row: list[Any], thread: Any, threads: int, inside: list[Any]) -> tirx.Stmt:
    """What a thread computes of a row, element by element."""
    sizes = [axis.extent for axis in group.main.spatial[len(row) :]]
    length = prod(sizes)

    def element(number: Any) -> tirx.Stmt:
        at = number * threads + thread
        places = [*row, *positions(at, sizes)]
        return guarded([at < integer(length), *inside], sequence(compute(group, places)))

    return loop("part", ceil_div(length, threads), element)


def _row_axes(groups: Sequence[Group]) -> list[Any] | None:
    """The sizes of the axes that all groups begin with, and reductions have alone."""
    reducing = [group.main for group in groups if group.main.reduction]
    if len(groups) < 2 or not reducing:
        return None
    if any(is_contraction(group.main.annotations) for group in groups):
        return None
    axes = [axis.extent for axis in reducing[0].spatial]
    count = len(axes)
    same = Analyzer()
    for group in groups:
        own = [axis.extent for axis in group.main.spatial]
        if len(own) < count or not all(map(same.can_prove_equal, own[:count], axes)):
            return None
        if group.main.reduction and (len(own) != count or combination_of(group.main) is None):
            return None
        # A follower that goes over the axes in another order would write another row.
        if any(follower.order[:count] != tuple(range(count)) for follower in group.followers):
            return None
    return axes


def _shared_rows(between: Sequence[Any], count: int) -> list[Any] | None:
    """Shared memory for a row of each buffer; None where they do not fit, or no size is known."""
    size = 0
    made = []
    for buffer in between:
        shape = [int(dim) if isinstance(dim, tirx.IntImm) else None for dim in buffer.shape[count:]]
        if None in shape:
            return None
        own = [dim for dim in shape if dim is not None] or [1]
        size += prod(own) * (8 if "64" in str(buffer.dtype) else 4)
        made.append(tirx.decl_buffer(own, buffer.dtype, f"{buffer.name}_row", scope="shared"))
    return made if size <= _MOST_BYTES else None


def _reads_own_row(group: Group, buffer: Any, count: int) -> bool:
    for stage in (group.main, *(follower.stage for follower in group.followers)):
        nodes: list[Any] = []
        tvm_ffi.structural_walk(stage.block.body, (ir.TensorLoad, nodes.append))
        tvm_ffi.structural_walk(stage.block.body, (tirx.BufferStore, nodes.append))
        for node in nodes:
            target = node.buffer if isinstance(node, tirx.BufferStore) else node.source
            if target.same_as(buffer) and not all(
                index.same_as(axis.variable)
                for index, axis in zip(node.indices[:count], stage.spatial[:count], strict=True)
            ):
                return False
    return True


def _in_shared(body: tirx.Stmt, buffers: Sequence[Any], shared: Sequence[Any], count: int) -> tirx.Stmt:
    """A kernel with rows of buffers in shared memory."""

    def row_of(buffer: Any, indices: Any) -> tuple[Any, list[Any]] | None:
        for old, new in zip(buffers, shared, strict=True):
            if buffer.same_as(old):
                return new, list(indices)[count:] or [integer(0)]
        return None

    def load(node: ir.TensorLoad) -> Any:
        found = row_of(node.source, node.indices)
        return node if found is None else tirx.BufferLoad(*found)

    def store(node: tirx.BufferStore) -> Any:
        found = row_of(node.buffer, node.indices)
        return node if found is None else tirx.BufferStore(found[0], node.value, found[1])

    return tvm_ffi.structural_map(body, ((ir.TensorLoad, load), (tirx.BufferStore, store)))
