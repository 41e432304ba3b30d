"""Which integer inputs of a Paddle program are indices, and into how many rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from paddle_tvm.compiler.frontends.paddle.program import Operation, Program, Value

# Operators that pass values on as they are, so that a bound on their result bounds their input.
_PASSING = frozenset(
    f"pd_op.{name}"
    for name in (
        "assign", "cast", "concat", "expand", "flatten", "reshape", "share_data_", "slice", "split",
        "split_with_num", "squeeze", "stack", "strided_slice", "tile", "transpose", "unsqueeze",
    )
) | {"builtin.combine", "builtin.split"}  # fmt: skip


def find_index_bounds(program: Program) -> dict[str, int]:
    """For each integer input that is used as an index: the number of rows that it may point into."""
    readers: dict[Value, list[Operation]] = {}
    for operation in program.operations:
        for value in operation.inputs:
            if value is not None:
                readers.setdefault(value, []).append(operation)
    bounds = {}
    for port in program.inputs:
        if port.value.dtype is not None and np.dtype(port.value.dtype).kind in "iu":
            found = list(_bounds(port.value, readers))
            if found:
                bounds[port.name] = min(found)
    return bounds


def _bounds(value: Value, readers: Mapping[Value, list[Operation]]) -> Iterator[int]:
    pending, seen = [value], {value}
    while pending:
        value = pending.pop()
        for operation in readers.get(value, ()):
            bound = _bound_of_index(operation, value)
            if bound is not None:
                yield bound
            if operation.name in _PASSING:
                fresh = [output for output in operation.outputs if output not in seen]
                seen.update(fresh)
                pending += fresh


def _bound_of_index(operation: Operation, value: Value) -> int | None:
    """The rows that ``value`` points into where the operation uses it as an index, else None."""
    name = operation.name.removeprefix("pd_op.")
    if name == "embedding" and operation.inputs[0] is value:
        table, axis = operation.inputs[1], 0
    elif name in ("gather", "gather_nd", "index_select", "take_along_axis") and operation.inputs[1] is value:
        table, axis = operation.inputs[0], int(operation.attrs.get("axis", operation.attrs.get("dim", 0)))
    else:
        return None
    if table is None or not table.shape:
        return None
    # An unknown number of rows is at least one.
    return max(table.shape[axis], 1)
