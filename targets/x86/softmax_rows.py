"""The two passes of a softmax over rows of whole vectors, in TIR."""

from __future__ import annotations

from typing import Any

from tvm import tirx
from tvm.tirx.script import builder as T


def row_maxima(
    rows: tirx.Buffer, first: Any, highest: tirx.Buffer, count: int, vectors: Any, lanes: int
) -> None:
    """Store the largest element of each of ``count`` rows from ``first`` on; NaN is passed over."""
    many = T.alloc_buffer((count, lanes), "float32", scope="local")
    for row in range(count):
        with T.vectorized(T.int64(lanes)) as lane:
            T.buffer_store(many, tirx.const(float("-inf"), "float32"), [row, lane])
    with T.serial(_int64(vectors)) as vector:
        for row in range(count):
            with T.vectorized(T.int64(lanes)) as lane:
                larger = tirx.max(rows[first + row, vector * lanes + lane], many[row, lane])
                T.buffer_store(many, larger, [row, lane])
    for row in range(count):
        _fold(many, row, lanes, tirx.max)
        T.buffer_store(highest, many[row, 0], [row])


def exponentials(
    rows: tirx.Buffer,
    first: Any,
    highest: tirx.Buffer,
    totals: tirx.Buffer,
    count: int,
    vectors: Any,
    lanes: int,
) -> None:
    """Replace each element of ``count`` rows from ``first`` on by exp(element - highest of its row).

    ``totals`` takes the sum of each row.
    Below -87 the result is that of -87, 1.6e-38: Paddle cuts off at -64 already.
    """
    sums = T.alloc_buffer((count, lanes), "float32", scope="local")
    for row in range(count):
        with T.vectorized(T.int64(lanes)) as lane:
            T.buffer_store(sums, T.float32(0), [row, lane])
    with T.serial(_int64(vectors)) as vector:
        power = T.alloc_buffer((count, lanes), "float32", scope="local")
        value = T.alloc_buffer((count, lanes), "float32", scope="local")
        # Step by step for all rows: the steps of one row wait for each other.
        for row in range(count):
            with T.vectorized(T.int64(lanes)) as lane:
                # The order of operands lets a NaN pass.
                below = tirx.max(T.float32(-87.0), rows[first + row, vector * lanes + lane] - highest[row])
                T.buffer_store(value, below, [row, lane])
        for row in range(count):
            with T.vectorized(T.int64(lanes)) as lane:
                nearest = tirx.floor(value[row, lane] * T.float32(1.44269504) + T.float32(0.5))
                T.buffer_store(power, nearest, [row, lane])
        for row in range(count):
            with T.vectorized(T.int64(lanes)) as lane:
                # ln 2 in two parts, so that the difference is exact.
                rest = value[row, lane] - power[row, lane] * T.float32(0.693359375)
                rest = rest - power[row, lane] * T.float32(-2.12194440e-4)
                T.buffer_store(value, rest, [row, lane])
        for row in range(count):
            with T.vectorized(T.int64(lanes)) as lane:
                bits = T.shift_left(T.cast(power[row, lane], "int32") + 127, T.int32(23))
                result = _exp_polynomial(value[row, lane]) * T.reinterpret("float32", bits)
                T.buffer_store(value, result, [row, lane])
        for row in range(count):
            with T.vectorized(T.int64(lanes)) as lane:
                T.buffer_store(rows, value[row, lane], [first + row, vector * lanes + lane])
            with T.vectorized(T.int64(lanes)) as lane:
                T.buffer_store(sums, sums[row, lane] + value[row, lane], [row, lane])
    for row in range(count):
        _fold(sums, row, lanes, lambda left, right: left + right)
        T.buffer_store(totals, sums[row, 0], [first + row])


def _fold(many: tirx.Buffer, row: int, lanes: int, combine: Any) -> None:
    """Reduce the lanes of a row to its first one, half by half."""
    while lanes > 2:
        lanes //= 2
        with T.vectorized(T.int64(lanes)) as lane:
            T.buffer_store(many, combine(many[row, lane], many[row, lanes + lane]), [row, lane])
    T.buffer_store(many, combine(many[row, 0], many[row, 1]), [row, 0])


def _exp_polynomial(x: Any) -> Any:
    """``exp`` for ``|x| <= ln(2) / 2``; the minimax polynomial of the Cephes library."""
    result = T.float32(1.9875691500e-4)
    for factor in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5, 1.0, 1.0):
        result = result * x + T.float32(factor)
    return result


def _int64(value: Any) -> Any:
    return T.int64(value) if isinstance(value, int) else value
