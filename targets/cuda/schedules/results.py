"""What a thread does with the elements that it has computed: the followers of a group, and the writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tvm_ffi
from tvm import ir, tirx

from paddle_tvm.targets.cuda.schedules.stages import Group, Stage


def finish(group: Group, values: Sequence[Any], places: Sequence[Any]) -> list[tirx.Stmt]:
    """Statements that take up results of the group's first stage at a place.

    Parameters
    ----------
    group
        The stages.
    values
        The element of each output of the first stage.
    places
        Where along its axes.
    """
    known = list(zip(group.main.outputs, values, strict=True))
    statements: list[tirx.Stmt] = []
    for output, value in known:
        if group.keeps(output):
            statements.append(tirx.BufferStore(output, value, list(places)))
    for follower in group.followers:
        statements += _follow(group, follower.stage, follower.places(places), known)
    return statements


def compute(group: Group, places: Sequence[Any]) -> list[tirx.Stmt]:
    """Statements that compute a place of a group whose first stage reduces nothing."""
    known: list[tuple[Any, Any]] = []
    statements = _follow(group, group.main, places, known)
    for follower in group.followers:
        statements += _follow(group, follower.stage, follower.places(places), known)
    return statements


def _follow(
    group: Group, stage: Stage, places: Sequence[Any], known: list[tuple[Any, Any]]
) -> list[tirx.Stmt]:
    """One stage, which reads elements that are known; adds what it computes to them."""
    body = replace_loads(stage.body_at(places), known)
    statements: list[tirx.Stmt] = []
    for statement in body.seq if isinstance(body, tirx.SeqStmt) else [body]:
        if not isinstance(statement, tirx.BufferStore):
            statements.append(statement)
            continue
        value = tirx.Var(f"{statement.buffer.name}_value", statement.value.ty)
        statements.append(tirx.Bind(value, statement.value))
        known.append((statement.buffer, value))
        if group.keeps(statement.buffer):
            statements.append(tirx.BufferStore(statement.buffer, value, list(statement.indices)))
    return statements


def replace_loads(body: Any, values: Sequence[tuple[Any, Any]]) -> Any:
    """A statement or expression with what is read from buffers replaced by values."""

    def replace(load: ir.TensorLoad) -> Any:
        for buffer, value in values:
            if load.source.same_as(buffer):
                return value
        return load

    return tvm_ffi.structural_map(body, ((ir.TensorLoad, replace),))


def redirect(body: Any, buffers: Mapping[Any, Any] | Sequence[tuple[Any, Any]]) -> Any:
    """A statement with buffers replaced by others of one element."""
    pairs = list(buffers)
    zero = [tirx.IntImm("int64", 0)]

    def load(node: ir.TensorLoad) -> Any:
        return next((new[0] for old, new in pairs if node.source.same_as(old)), node)

    def store(node: tirx.BufferStore) -> Any:
        for old, new in pairs:
            if node.buffer.same_as(old):
                return tirx.BufferStore(new, node.value, zero)
        return node

    return tvm_ffi.structural_map(body, ((ir.TensorLoad, load), (tirx.BufferStore, store)))
