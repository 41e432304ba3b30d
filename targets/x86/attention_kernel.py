"""Scaled dot-product attention as one TIR function.

A task is some query rows of one head. It packs the rows, and the head's keys, transposed, and values, so
that they are read in order; and then takes a few rows at a time through both products: their scores never
leave the first-level cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script import builder as T

from paddle_tvm.targets.expressions import ceil_div
from paddle_tvm.targets.x86.softmax_rows import exponentials, row_maxima

# Query rows that one task takes at most: packing is repeated for each task of a head.
_TASK_ROWS = 128
# Query rows whose scores are held at once, and of these the rows of a register tile.
_HELD_ROWS = 32
_ROWS = 4


@dataclass(frozen=True)
class Operand:
    """A tensor that the kernel reads.

    Parameters
    ----------
    shape
        Of the tensor in memory; ints and variables.
    index
        From (batch, head, row, column) to indices of that tensor.
    """

    shape: Sequence[Any]
    index: Callable[[Sequence[Any]], list[Any]]


@dataclass(frozen=True)
class Attention:
    """softmax(scale * queries keysᵀ + mask) values, of [batch, heads, rows, columns] each."""

    batch: Any
    heads: Any
    rows: Any
    keys: Any
    depth: int
    width: int
    scale: float
    lanes: int

    @property
    def vectors(self) -> int:
        """Vectors beside each other in a register tile."""
        return 4 if self.lanes == 16 else 2


class _Kernel:
    def __init__(self, spec: Attention, operands: Sequence[Operand]) -> None:
        self.spec = spec
        self.buffers = [
            T.match_buffer(T.arg(f"operand{number}", T.handle()), operand.shape, "float32")
            for number, operand in enumerate(operands)
        ]
        self.operands = operands
        shape = (spec.batch, spec.rows, spec.heads, spec.width)
        self.output = T.match_buffer(T.arg("output", T.handle()), shape, "float32")
        self.key_vectors = ceil_div(spec.keys, spec.lanes)
        self.value_vectors = ceil_div(spec.width, spec.lanes)

    def read(self, operand: int, *index: Any) -> Any:
        return self.buffers[operand][tuple(self.operands[operand].index(index))]

    def task(self, batch: Any, head: Any, first: Any) -> None:
        """All rows of a task, from ``first`` on."""
        spec = self.spec
        columns = self.key_vectors * spec.lanes
        queries = T.alloc_buffer((_TASK_ROWS, spec.depth), "float32")
        keys = T.alloc_buffer((spec.depth, columns), "float32")
        values = T.alloc_buffer((spec.keys, self.value_vectors * spec.lanes), "float32")
        scores = T.alloc_buffer((_HELD_ROWS, columns), "float32")
        inverse = T.alloc_buffer((_HELD_ROWS,), "float32", scope="local")
        rows = tirx.min(spec.rows - first, T.int64(_TASK_ROWS))
        with _serial(ceil_div(rows, _ROWS) * _ROWS) as row, _serial(spec.depth) as d:
            # Rows beyond the last are computed as the last, and not stored.
            query = self.read(0, batch, head, tirx.min(first + row, spec.rows - 1), d)
            T.buffer_store(queries, query * T.float32(spec.scale), [row, d])
        self._pack(batch, head, keys, values)
        with _serial(ceil_div(rows, _HELD_ROWS)) as turn:
            start = turn * _HELD_ROWS
            tiles = ceil_div(tirx.min(rows - start, T.int64(_HELD_ROWS)), _ROWS)
            self._first_product(start, tiles, queries, keys, scores)
            self._softmax(batch, head, first + start, tiles, scores, inverse)
            self._second_product(batch, head, first + start, tiles, scores, inverse, values)

    def _pack(self, batch: Any, head: Any, keys: tirx.Buffer, values: tirx.Buffer) -> None:
        spec = self.spec
        with _serial(spec.depth) as d, _serial(self.key_vectors * spec.lanes - spec.keys) as rest:
            T.buffer_store(keys, T.float32(0), [d, spec.keys + rest])
        with _serial(spec.keys) as key:
            with _serial(spec.depth) as d:
                T.buffer_store(keys, self.read(1, batch, head, d, key), [d, key])
            with _serial(spec.width) as column:
                T.buffer_store(values, self.read(2, batch, head, key, column), [key, column])
            with _serial(self.value_vectors * spec.lanes - spec.width) as rest:
                T.buffer_store(values, T.float32(0), [key, spec.width + rest])

    def _tiles(self, tiles: Any, vectors: Any, emit: Callable[[Any, Any, int], None]) -> None:
        """Walk over the held rows and vectors in register tiles: ``emit(first row, vector, vectors)``."""
        at_once = self.spec.vectors
        whole = vectors // at_once if isinstance(vectors, int) else tirx.floordiv(vectors, at_once)
        if not isinstance(whole, int) or whole > 0:
            with _serial(whole) as group, _serial(tiles) as part:
                emit(part * _ROWS, group * at_once, at_once)
        if not isinstance(vectors, int):
            with _serial(vectors - whole * at_once) as single, _serial(tiles) as part:
                emit(part * _ROWS, whole * at_once + single, 1)
        elif vectors % at_once:
            with _serial(tiles) as part:
                emit(part * _ROWS, T.int64(whole * at_once), vectors % at_once)

    def _product(
        self,
        count: int,
        depth: Any,
        left: Callable[[int, Any], Any],
        right: Callable[[Any, Any], Any],
    ) -> tirx.Buffer:
        """A register tile of sums of ``left(row, k) * right(k, column)``."""
        lanes = T.int64(self.spec.lanes)
        sums = T.alloc_buffer((_ROWS, count, self.spec.lanes), "float32", scope="local")
        for row in range(_ROWS):
            for vector in range(count):
                with T.vectorized(lanes) as lane:
                    T.buffer_store(sums, T.float32(0), [row, vector, lane])
        with _serial(depth) as k:
            for row in range(_ROWS):
                for vector in range(count):
                    with T.vectorized(lanes) as lane:
                        term = left(row, k) * right(k, vector * self.spec.lanes + lane)
                        T.buffer_store(sums, sums[row, vector, lane] + term, [row, vector, lane])
        return sums

    def _first_product(
        self, start: Any, tiles: Any, queries: tirx.Buffer, keys: tirx.Buffer, scores: tirx.Buffer
    ) -> None:
        spec = self.spec

        def emit(part: Any, first: Any, count: int) -> None:
            at = first * spec.lanes
            sums = self._product(
                count,
                spec.depth,
                lambda row, k: queries[start + part + row, k],
                lambda k, column: keys[k, at + column],
            )
            for row in range(_ROWS):
                for vector in range(count):
                    with T.vectorized(T.int64(spec.lanes)) as lane:
                        place = [part + row, at + vector * spec.lanes + lane]
                        T.buffer_store(scores, sums[row, vector, lane], place)

        self._tiles(tiles, self.key_vectors, emit)

    def _softmax(
        self, batch: Any, head: Any, start: Any, tiles: Any, scores: tirx.Buffer, inverse: tirx.Buffer
    ) -> None:
        """Exponentials of the held rows' scores, and one over the sum of each."""
        spec = self.spec
        with _serial(tiles * _ROWS) as row:
            self._mask(batch, head, tirx.min(start + row, spec.rows - 1), row, scores)
        highest = T.alloc_buffer((_ROWS,), "float32", scope="local")
        with _serial(tiles) as part:
            first = part * _ROWS
            row_maxima(scores, first, highest, _ROWS, self.key_vectors, spec.lanes)
            exponentials(scores, first, highest, inverse, _ROWS, self.key_vectors, spec.lanes)
        with _serial(tiles * _ROWS) as row:
            T.buffer_store(inverse, T.float32(1) / inverse[row], [row])

    def _mask(self, batch: Any, head: Any, query: Any, row: Any, scores: tirx.Buffer) -> None:
        """Add the mask to a row of scores; beyond the last key they are minus infinity."""
        spec = self.spec
        if len(self.operands) > 3:
            with _serial(spec.keys) as key:
                masked = scores[row, key] + self.read(3, batch, head, query, key)
                T.buffer_store(scores, masked, [row, key])
        with _serial(self.key_vectors * spec.lanes - spec.keys) as rest:
            T.buffer_store(scores, tirx.const(float("-inf"), "float32"), [row, spec.keys + rest])

    def _second_product(
        self,
        batch: Any,
        head: Any,
        start: Any,
        tiles: Any,
        scores: tirx.Buffer,
        inverse: tirx.Buffer,
        values: tirx.Buffer,
    ) -> None:
        spec = self.spec

        def emit(part: Any, first: Any, count: int) -> None:
            at = first * spec.lanes
            sums = self._product(
                count,
                spec.keys,
                lambda row, k: scores[part + row, k],
                lambda k, column: values[k, at + column],
            )

            def store(row: int) -> None:
                for vector in range(count):
                    begin = at + vector * spec.lanes

                    def lanes_of(lane: Any, begin: Any = begin, vector: int = vector) -> None:
                        result = sums[row, vector, lane] * inverse[part + row]
                        T.buffer_store(self.output, result, [batch, start + part + row, head, begin + lane])

                    if spec.width % spec.lanes == 0:
                        with T.vectorized(T.int64(spec.lanes)) as lane:
                            lanes_of(lane)
                    else:
                        with _serial(tirx.min(T.int64(spec.lanes), spec.width - begin)) as lane:
                            lanes_of(lane)

            for row in range(_ROWS):
                if isinstance(spec.rows, int) and spec.rows % _ROWS == 0:
                    store(row)
                else:
                    with T.If(start + part + row < spec.rows), T.Then():
                        store(row)

        self._tiles(tiles, self.value_vectors, emit)


def attention_function(spec: Attention, operands: Sequence[Operand]) -> tirx.PrimFunc:
    """The TIR function of an attention.

    Parameters
    ----------
    spec
        Sizes; ints, and variables that are dimensions of the operands.
    operands
        Queries, keys as [batch, heads, depth, keys], values, and a mask to add to the scores where there is
        one; float32.

    Returns
    -------
    PrimFunc
        Its arguments are the operands' tensors, and the result as [batch, rows, heads, width].
    """
    with IRBuilder() as builder, T.prim_func(s_tir=True, is_private=True):
        T.func_attr({"tirx.noalias": True, "tirx.is_scheduled": True, "op_pattern": 8})
        kernel = _Kernel(spec, operands)
        chunks = ceil_div(spec.rows, _TASK_ROWS)
        with T.parallel(_int64(spec.batch * spec.heads * chunks)) as task:
            first = tirx.floormod(task, chunks) * _TASK_ROWS
            head = tirx.floormod(tirx.floordiv(task, chunks), spec.heads)
            batch = tirx.floordiv(tirx.floordiv(task, chunks), spec.heads)
            kernel.task(batch, head, first)
    return builder.get()


def _serial(extent: Any) -> Any:
    return T.serial(_int64(extent))


def _int64(value: Any) -> Any:
    return T.int64(value) if isinstance(value, int) else value
