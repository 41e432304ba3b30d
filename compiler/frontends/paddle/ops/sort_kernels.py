"""TIR functions that order the elements of rows.

TVM sorts through functions of its compiler library, which an artifact cannot call. These are stable, and
take NaN for the largest value, as Paddle does. Each row is one thread's.
"""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

from paddle_tvm.runtime.failures import SIZES_REFUSED


def _int(value: int) -> tirx.Expr:
    return tirx.IntImm("int64", value)


def _stands_before(left: Any, right: Any, descending: bool) -> Any:
    first = left > right if descending else left < right
    if not str(left.ty).startswith("float"):
        return first
    alone, other = (left, right) if descending else (right, left)
    return tirx.any(first, tirx.all(tirx.isnan(alone), tirx.Not(tirx.isnan(other))))


def _check_count(count: Any, length: Any) -> None:
    reason = "the axis has fewer elements than topk or kthvalue shall take of it"
    with T.Assert(length >= count, SIZES_REFUSED + reason):
        pass


def sort_kernel(dtype: str, descending: bool, takes_first: bool = False) -> tirx.PrimFunc:
    """Merge sort: from ``data (rows, length)`` to ``order``, the indices; ``spare`` is workspace.

    With ``takes_first`` there is one more result, the first columns of the order, as many as it has.
    """
    with IRBuilder() as builder, T.prim_func(s_tir=True, is_private=True):
        T.func_attr({"tirx.is_scheduled": True, "tirx.noalias": True, "op_pattern": 8})
        rows, length = (tirx.Var(name, "int64") for name in ("rows", "length"))
        data = T.match_buffer(T.arg("data", T.handle()), (rows, length), dtype)
        order = T.match_buffer(T.arg("order", T.handle()), (rows, length), "int64")
        spare = T.match_buffer(T.arg("spare", T.handle()), (rows, length), "int64")
        count = tirx.Var("count", "int64")
        first = T.match_buffer(T.arg("first", T.handle()), (rows, count), "int64") if takes_first else None

        def merge(source: Any, target: Any, row: Any, width: Any, heads: Any) -> None:
            """Merge neighbouring runs of ``width``."""
            with T.serial(0, (length + 2 * width - 1) // (2 * width)) as pair:
                low = pair * 2 * width
                middle = tirx.min(low + width, length)
                high = tirx.min(low + 2 * width, length)
                T.buffer_store(heads, low, [0])
                T.buffer_store(heads, middle, [1])
                with T.serial(0, high - low) as step:
                    # A run that is used up is read at its end, and not taken.
                    left = source[row, tirx.min(heads[0], length - 1)]
                    right = source[row, tirx.min(heads[1], length - 1)]
                    right_first = _stands_before(data[row, right], data[row, left], descending)
                    takes_right = tirx.any(heads[0] >= middle, tirx.all(heads[1] < high, right_first)).astype(
                        "int64"
                    )
                    taken = T.alloc_buffer((1,), "int64", scope="local")
                    T.buffer_store(taken, takes_right, [0])
                    T.buffer_store(target, tirx.Select(taken[0] != 0, right, left), [row, low + step])
                    T.buffer_store(heads, heads[0] + 1 - taken[0], [0])
                    T.buffer_store(heads, heads[1] + taken[0], [1])

        with T.sblock("root"):
            if first is not None:
                _check_count(count, length)
            with T.parallel(0, rows) as row:
                heads = T.alloc_buffer((2,), "int64", scope="local")
                width = T.alloc_buffer((1,), "int64", scope="local")
                with T.serial(0, length) as place:
                    T.buffer_store(order, place, [row, place])
                T.buffer_store(width, _int(1), [0])
                with T.While(width[0] < length):
                    # Two passes at once, so that the result always ends in the same buffer.
                    merge(order, spare, row, width[0], heads)
                    merge(spare, order, row, 2 * width[0], heads)
                    T.buffer_store(width, 4 * width[0], [0])
                if first is not None:
                    with T.serial(0, count) as place:
                        T.buffer_store(first, order[row, place], [row, place])
    return builder.get()


def select_kernel(dtype: str, count: int, descending: bool) -> tirx.PrimFunc:
    """The first ``count`` of the order, by insertion: for a few out of many."""
    with IRBuilder() as builder, T.prim_func(s_tir=True, is_private=True):
        T.func_attr({"tirx.is_scheduled": True, "tirx.noalias": True, "op_pattern": 8})
        rows, length = (tirx.Var(name, "int64") for name in ("rows", "length"))
        data = T.match_buffer(T.arg("data", T.handle()), (rows, length), dtype)
        order = T.match_buffer(T.arg("order", T.handle()), (rows, count), "int64")
        with T.sblock("root"):
            _check_count(_int(count), length)
            with T.parallel(0, rows) as row:
                place = T.alloc_buffer((1,), "int64", scope="local")
                with T.serial(0, count) as slot:
                    T.buffer_store(order, _int(0), [row, slot])
                with T.serial(0, length) as candidate:

                    def before(slot: Any, candidate: Any = candidate) -> Any:
                        return _stands_before(data[row, candidate], data[row, order[row, slot]], descending)

                    with T.If(tirx.any(candidate < count, before(_int(count - 1)))), T.Then():
                        T.buffer_store(place, tirx.min(candidate, _int(count - 1)), [0])
                        above = tirx.max(place[0] - 1, _int(0))
                        with T.While(tirx.all(place[0] > 0, before(above))):
                            T.buffer_store(order, order[row, above], [row, place[0]])
                            T.buffer_store(place, place[0] - 1, [0])
                        T.buffer_store(order, candidate, [row, place[0]])
    return builder.get()


def mode_kernel(dtype: str) -> tirx.PrimFunc:
    """The most frequent value of each row of an ascending order: the index of its last occurrence."""
    with IRBuilder() as builder, T.prim_func(s_tir=True, is_private=True):
        T.func_attr({"tirx.is_scheduled": True, "tirx.noalias": True, "op_pattern": 8})
        rows, length = (tirx.Var(name, "int64") for name in ("rows", "length"))
        data = T.match_buffer(T.arg("data", T.handle()), (rows, length), dtype)
        order = T.match_buffer(T.arg("order", T.handle()), (rows, length), "int64")
        out = T.match_buffer(T.arg("out", T.handle()), (rows, 1), "int64")
        with T.sblock("root"), T.parallel(0, rows) as row:
            run = T.alloc_buffer((1,), "int64", scope="local")
            longest = T.alloc_buffer((1,), "int64", scope="local")
            T.buffer_store(run, _int(0), [0])
            T.buffer_store(longest, _int(0), [0])
            with T.serial(0, length) as place:
                after = tirx.min(place + 1, length - 1)
                goes_on = data[row, order[row, after]] == data[row, order[row, place]]
                T.buffer_store(run, run[0] + 1, [0])
                with T.If(tirx.any(place == length - 1, tirx.Not(goes_on))), T.Then():
                    with T.If(run[0] > longest[0]), T.Then():
                        T.buffer_store(longest, run[0], [0])
                        T.buffer_store(out, order[row, place], [row, 0])
                    T.buffer_store(run, _int(0), [0])
    return builder.get()
