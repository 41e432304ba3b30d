"""Softmax and layer normalization: every row from start to end by one thread, while it is in the cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import mul
from typing import Any

from tvm import relax, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script import builder as T

from paddle_tvm.targets.expressions import ceil_div
from paddle_tvm.targets.x86.kernel_symbols import KernelSymbols
from paddle_tvm.targets.x86.softmax_rows import exponentials, row_maxima

# Fewer elements than this take about as long as starting the threads.
_PARALLEL_ELEMENTS = 1 << 13

Legalization = Callable[[relax.BlockBuilder, relax.Call], relax.Expr]


def legalize_softmax(
    builder: relax.BlockBuilder, call: relax.Call, lanes: int, otherwise: Legalization
) -> relax.Expr:
    """A ``relax.nn.softmax`` over the last axis of float32; ``otherwise`` lowers every other one."""
    data = call.args[0]
    if int(call.attrs.axis) not in (-1, len(data.ty.shape) - 1):
        return otherwise(builder, call)

    def emit(row: _Row) -> None:
        vectors = ceil_div(row.length, lanes)
        padded = vectors * lanes
        values = T.alloc_buffer((1, padded), "float32")
        highest = T.alloc_buffer((1,), "float32", scope="local")
        total = T.alloc_buffer((1,), "float32", scope="local")
        with _serial(row.length) as column:
            T.buffer_store(values, row.read(0, column), [0, column])
        with _serial(padded - row.length) as rest:
            lowest = tirx.const(float("-inf"), "float32")
            T.buffer_store(values, lowest, [0, row.length + rest])
        row_maxima(values, 0, highest, 1, vectors, lanes)
        exponentials(values, 0, highest, total, 1, vectors, lanes)
        T.buffer_store(total, T.float32(1) / total[0], [0])
        with _serial(row.length) as column:
            row.write(column, values[0, column] * total[0])

    lowered = _call(builder, call, [data], "softmax", emit)
    return otherwise(builder, call) if lowered is None else lowered


def legalize_layer_norm(builder: relax.BlockBuilder, call: relax.Call, otherwise: Legalization) -> relax.Expr:
    """A ``relax.nn.layer_norm`` over the last axis of float32; ``otherwise`` lowers every other one."""
    data, scale, shift = call.args
    attrs = call.attrs
    if [int(axis) % len(data.ty.shape) for axis in attrs.axes] != [len(data.ty.shape) - 1]:
        return otherwise(builder, call)
    has_scale, has_shift, epsilon = bool(attrs.scale), bool(attrs.center), float(attrs.epsilon)

    def emit(row: _Row) -> None:
        sums = T.alloc_buffer((2,), "float32", scope="local")
        factor = T.float32(1) / T.cast(_int64(row.length), "float32")
        T.buffer_store(sums, T.float32(0), [0])
        with _serial(row.length) as column:
            T.buffer_store(sums, sums[0] + row.read(0, column), [0])
        T.buffer_store(sums, sums[0] * factor, [0])
        T.buffer_store(sums, T.float32(0), [1])
        with _serial(row.length) as column:
            distance = row.read(0, column) - sums[0]
            T.buffer_store(sums, sums[1] + distance * distance, [1])
        T.buffer_store(sums, T.float32(1) / T.sqrt(sums[1] * factor + T.float32(epsilon)), [1])
        with _serial(row.length) as column:
            value = (row.read(0, column) - sums[0]) * sums[1]
            value = value * row.buffers[1][column] if has_scale else value
            row.write(column, value + row.buffers[2][column] if has_shift else value)

    lowered = _call(builder, call, [data, scale, shift], "layer_norm", emit)
    return otherwise(builder, call) if lowered is None else lowered


class _Row:
    """A row of the first buffer of a kernel, and the same of its result."""

    def __init__(self, buffers: Sequence[tirx.Buffer], shape: Sequence[Any], row: Any) -> None:
        self.buffers = buffers
        self.length = shape[-1]
        self._outer: list[Any] = []
        for size in reversed(shape[1:-1]):
            self._outer.insert(0, tirx.floormod(row, size))
            row = tirx.floordiv(row, size)
        if len(shape) > 1:
            self._outer.insert(0, row)

    def read(self, buffer: int, column: Any) -> Any:
        return self.buffers[buffer][(*self._outer, column)]

    def write(self, column: Any, value: Any) -> None:
        T.buffer_store(self.buffers[-1], value, [*self._outer, column])


def _call(
    builder: relax.BlockBuilder,
    call: relax.Call,
    arguments: Sequence[relax.Expr],
    name: str,
    emit: Callable[[_Row], None],
) -> relax.Expr | None:
    """A call of a kernel that handles each row of its first argument; None where it cannot be written."""
    symbols = KernelSymbols()
    shapes = [symbols.argument(argument.ty.shape) for argument in arguments]
    shape = shapes[0]
    dtypes = {str(argument.ty.dtype) for argument in arguments}
    if dtypes != {"float32"} or not symbols.complete() or 0 in shape:
        return None
    with IRBuilder() as writer, T.prim_func(s_tir=True, is_private=True):
        T.func_attr({"tirx.noalias": True, "tirx.is_scheduled": True, "op_pattern": 8})
        buffers = [
            T.match_buffer(T.arg(f"x{number}", T.handle()), sizes, "float32")
            for number, sizes in enumerate([*shapes, shape])
        ]
        rows = reduce(mul, shape[:-1], 1)
        total = rows * shape[-1]
        small = isinstance(total, int) and total < _PARALLEL_ELEMENTS
        with T.sblock("root"), (T.serial if small else T.parallel)(_int64(rows)) as row:
            emit(_Row(buffers, shape, row))
    function = builder.add_func(writer.get(), name)
    return relax.call_tir(function, list(arguments), relax.TensorType(call.ty.shape, "float32"))


def _serial(size: Any) -> Any:
    return T.serial(_int64(size))


def _int64(value: Any) -> Any:
    return T.int64(value) if isinstance(value, int) else value
