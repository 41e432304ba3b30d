"""Contractions: tiles of results by blocks of threads, from tiles of the operands in shared memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm import ir, tirx
from tvm.tirx import Ramp

from paddle_tvm.targets.cuda.schedules.operands import Operand, Products, products_of
from paddle_tvm.targets.cuda.schedules.results import finish
from paddle_tvm.targets.cuda.schedules.stages import Group
from paddle_tvm.targets.cuda.schedules.threads import (
    guarded,
    integer,
    launch,
    loop,
    positions,
    sequence,
    synchronize,
    unrolled,
)
from paddle_tvm.targets.cuda.tile import Engine, Tile, item_bytes, pad
from paddle_tvm.targets.cuda.workloads import ENGINE, tile_of
from paddle_tvm.targets.expressions import ceil_div

# Bytes that a thread reads at once.
_VECTOR_BYTES = 16

# A fragment of results is 16 x 8. A lane has four elements of it, and of the operands' so many registers.
_FRAGMENT_ROWS, _FRAGMENT_COLUMNS = 16, 8
_RESULTS, _LEFT, _RIGHT = 4, 4, 2

# What an engine multiplies.
_DTYPES: dict[Engine, str] = {"fma": "float32", "tf32": "float32", "f16": "float16", "bf16": "bfloat16"}


def schedule_product(group: Group) -> tirx.Stmt:
    """A kernel for a contraction and its followers."""
    notes = group.main.annotations
    engine: Any = str(notes[ENGINE])
    return _Kernel(products_of(group), tile_of(notes), engine).statement()


@dataclass(frozen=True)
class _Side:
    """One operand of a block of threads.

    ``length`` is how much of ``total`` rows or columns a tile has. In shared memory it lies as
    ``[k][length]`` (``by_k``) or as ``[length][k]``. A thread reads ``count`` vectors of it at once into
    ``registers``.
    """

    of_batch: Callable[[Any], Operand]
    length: int
    total: Any
    by_k: bool
    vector: int
    count: int
    registers: Any
    shared: Any


class _Kernel:
    """Threads read the next tiles into registers while they multiply those that are in shared memory."""

    def __init__(self, products: Products, tile: Tile, engine: Engine) -> None:
        self.products = products
        self.tile = tile
        self.engine = engine
        self.threads = tile.threads(engine)
        self.pad = pad(engine)
        self.dtype = _DTYPES[engine]
        fma = engine == "fma"
        # As the products read them: fragments of the left operand from [m][k], those of the right either
        # way; where threads multiply, each takes a column of both.
        by_k = fma or products.right(integer(0)).along == "n"
        self.left = self._side("left", products.left, tile.rows, products.rows, by_k=fma)
        self.right = self._side("right", products.right, tile.columns, products.columns, by_k=by_k)
        # Fragments of a warp.
        self.fragments = (tile.part_rows // _FRAGMENT_ROWS, tile.part_columns // _FRAGMENT_COLUMNS)
        counts = (tile.part_rows, tile.part_columns)
        sums = tile.part_rows * tile.part_columns
        if not fma:
            counts = (self.fragments[0] * _LEFT, self.fragments[1] * _RIGHT)
            sums = self.fragments[0] * self.fragments[1] * _RESULTS
        part = "float32" if fma else "uint32"
        self.left_part = _registers("left_part", counts[0], part)
        self.right_part = _registers("right_part", counts[1], part)
        self.sums = _registers("sums", sums, "float32")

    def _side(
        self, name: str, of_batch: Callable[[Any], Operand], length: int, total: Any, by_k: bool
    ) -> _Side:
        depth = self.tile.depth
        operand = of_batch(integer(0))
        vector = min(operand.vector, _VECTOR_BYTES // (2 if operand.dtype == "float16" else 4))
        while length * depth % (vector * self.threads):
            vector //= 2
        count = length * depth // (vector * self.threads)
        shape = (depth, length + self.pad) if by_k else (length, depth + self.pad)
        return _Side(
            *(of_batch, length, total, by_k, vector, count),
            registers=_registers(f"{name}_next", count * vector, operand.dtype),
            shared=tirx.decl_buffer((2, *shape), self.dtype, f"{name}_tile", scope="shared"),
        )

    def statement(self) -> tirx.Stmt:
        products, tile = self.products, self.tile
        row_tiles = ceil_div(products.rows, tile.rows)
        column_tiles = ceil_div(products.columns, tile.columns)
        sides = (self.left, self.right)
        buffers = [
            *(side.shared for side in sides),
            *(side.registers for side in sides),
            *(self.left_part, self.right_part, self.sums),
        ]

        def body(block: Any, thread: Any) -> list[tirx.Stmt]:
            # Where there are none, one of a grid that has to have a block divides by them.
            tiles = [
                count if isinstance(count, int) else tirx.max(count, integer(1))
                for count in (products.batch, column_tiles, row_tiles)
            ]
            batch, column, row = positions(block, tiles)
            return self._body(batch, column, row, thread)

        return launch(row_tiles * column_tiles * products.batch, self.threads, buffers, body)

    def _body(self, batch: Any, column_tile: Any, row_tile: Any, thread: Any) -> list[tirx.Stmt]:
        tile = self.tile
        row, column = row_tile * tile.rows, column_tile * tile.columns
        steps = ceil_div(self.products.depth, tile.depth)
        sides = ((self.left, row), (self.right, column))

        def fetch(step: Any) -> tirx.Stmt:
            return sequence(
                [self._fetch(side, batch, start, step * tile.depth, thread) for side, start in sides]
            )

        def keep(stage: Any) -> tirx.Stmt:
            return sequence([self._keep(side, batch, stage, thread) for side, _ in sides])

        def step(number: Any) -> tirx.Stmt:
            if isinstance(steps, int) and steps == 1:
                return self._multiply(number, thread)
            more = [number + 1 < integer(steps)]
            return sequence(
                [
                    guarded(more, fetch(number + 1)),
                    self._multiply(number % 2, thread),
                    guarded(more, keep((number + 1) % 2)),
                    synchronize(),
                ]
            )

        zero = tirx.const(0.0, "float32")
        # Where there is no depth, the first step reads nothing, and is not multiplied.
        return [
            unrolled(
                "place", int(self.sums.shape[0]), lambda place: tirx.BufferStore(self.sums, zero, [place])
            ),
            fetch(integer(0)),
            keep(integer(0)),
            synchronize(),
            loop("step", steps, step),
            self._finish(batch, row, column, thread),
        ]

    def _place(self, side: _Side, along: str, number: Any, thread: Any) -> tuple[Any, Any]:
        """Where in a tile a vector of a thread begins: its row or column, and its place along k."""
        element = number * self.threads + thread
        if along == "k":
            per_row = self.tile.depth // side.vector
            return element // per_row, element % per_row * side.vector
        per_row = side.length // side.vector
        return element % per_row * side.vector, element // per_row

    def _fetch(self, side: _Side, batch: Any, start: Any, k: Any, thread: Any) -> tirx.Stmt:
        """Read a thread's share of the next tile."""
        operand = side.of_batch(batch)
        depth = self.products.depth

        def read(number: Any) -> tirx.Stmt:
            position, place = self._place(side, operand.along, number, thread)
            position, place = start + position, k + place
            inside = operand.conditions(position, place)
            if not _divides(side.length, side.total):
                inside.insert(0, position < integer(side.total))
            if not _divides(self.tile.depth, depth):
                inside.insert(0, place < integer(depth))
            value = operand.value(position, place)
            zero: Any = tirx.const(0, operand.dtype)
            at: Any = number * side.vector
            if side.vector > 1:
                *outer, last = value.indices
                value = tirx.BufferLoad(value.source, [*outer, Ramp(last, integer(1), side.vector)])
                zero = tirx.Broadcast(zero, side.vector)
                at = Ramp(at, integer(1), side.vector)
            taken = tirx.BufferStore(side.registers, value, [at])
            if not inside:
                return taken
            return tirx.IfThenElse(tirx.all(*inside), taken, tirx.BufferStore(side.registers, zero, [at]))

        return unrolled("vector", side.count, read)

    def _keep(self, side: _Side, batch: Any, stage: Any, thread: Any) -> tirx.Stmt:
        """Put a thread's share of a tile where the others see it."""
        operand = side.of_batch(batch)
        converted = operand.dtype != self.dtype
        whole = (operand.along == "n") == side.by_k and not converted and side.vector > 1

        def store(number: Any) -> tirx.Stmt:
            position, place = self._place(side, operand.along, number, thread)

            def part(lane: Any) -> tirx.Stmt:
                own, at = (position, place + lane) if operand.along == "k" else (position + lane, place)
                indices = [at, own] if side.by_k else [own, at]
                source: Any = number * side.vector + lane
                if whole:
                    indices[-1] = Ramp(indices[-1], integer(1), side.vector)
                    source = Ramp(source, integer(1), side.vector)
                value = tirx.BufferLoad(side.registers, [source])
                if converted:
                    value = tirx.Cast(self.dtype, value)
                return tirx.BufferStore(side.shared, value, [stage, *indices])

            return part(integer(0)) if whole else unrolled("lane", side.vector, part)

        return unrolled("vector", side.count, store)

    def _multiply(self, stage: Any, thread: Any) -> tirx.Stmt:
        return (
            self._multiply_alone(stage, thread)
            if self.engine == "fma"
            else self._multiply_warps(stage, thread)
        )

    def _multiply_alone(self, stage: Any, thread: Any) -> tirx.Stmt:
        """A thread's own rows and columns."""
        tile = self.tile
        row, column = self._own(thread)

        def take(to: Any, shared: Any, k: Any, start: Any, count: int) -> tirx.Stmt:
            return unrolled("i", count, lambda i: tirx.BufferStore(to, shared[stage, k, start + i], [i]))

        def add(i: Any, j: Any) -> tirx.Stmt:
            at = i * tile.part_columns + j
            value = self.sums[at] + self.left_part[i] * self.right_part[j]
            return tirx.BufferStore(self.sums, value, [at])

        def products(k: Any) -> tirx.Stmt:
            return sequence(
                [
                    take(self.left_part, self.left.shared, k, row, tile.part_rows),
                    take(self.right_part, self.right.shared, k, column, tile.part_columns),
                    _grid((tile.part_rows, tile.part_columns), add),
                ]
            )

        return unrolled("k", tile.depth, products)

    def _own(self, thread: Any) -> tuple[Any, Any]:
        """The first row and column in the tile of a thread's part, or of its warp's."""
        parts = self.tile.columns // self.tile.part_columns
        number = thread if self.engine == "fma" else thread // 32
        return number // parts * self.tile.part_rows, number % parts * self.tile.part_columns

    def _multiply_warps(self, stage: Any, thread: Any) -> tirx.Stmt:
        """Fragments of the operands, and tensor cores."""
        tile = self.tile
        row, column = self._own(thread)
        bits, step = ("16", 16) if item_bytes(self.engine) == 2 else ("32", 8)
        left_stride = tile.depth + self.pad
        right_stride = (tile.columns if self.right.by_k else tile.depth) + self.pad
        load_b = f"pt_load_b{bits}{'_t' if self.right.by_k else ''}"

        def load_left(i: Any, k: Any) -> tirx.Stmt:
            source = self.left.shared[stage, row + i * _FRAGMENT_ROWS, k]
            return _call(f"pt_load_a{bits}", self.left_part[i * _LEFT], source, left_stride)

        def load_right(j: Any, k: Any) -> tirx.Stmt:
            at = column + j * _FRAGMENT_COLUMNS
            place = (k, at) if self.right.by_k else (at, k)
            source = self.right.shared[(stage, *place)]
            return _call(load_b, self.right_part[j * _RIGHT], source, right_stride)

        def multiply(i: Any, j: Any) -> tirx.Stmt:
            return _call(
                f"pt_mma_{self.engine}",
                self.sums[(i * self.fragments[1] + j) * _RESULTS],
                self.left_part[i * _LEFT],
                self.right_part[j * _RIGHT],
            )

        def products(number: Any) -> tirx.Stmt:
            k = number * step
            return sequence(
                [
                    unrolled("i", self.fragments[0], lambda i: load_left(i, k)),
                    unrolled("j", self.fragments[1], lambda j: load_right(j, k)),
                    _grid(self.fragments, multiply),
                ]
            )

        return unrolled("k", tile.depth // step, products)

    def _finish(self, batch: Any, row: Any, column: Any, thread: Any) -> tirx.Stmt:
        """Take up a thread's sums."""
        tile, products = self.tile, self.products
        first_row, first_column = self._own(thread)
        output = products.group.main.outputs[0]

        def one(place: Any, own_row: Any, own_column: Any) -> tirx.Stmt:
            m, n = row + own_row, column + own_column
            inside = []
            if not _divides(tile.rows, products.rows):
                inside.append(m < integer(products.rows))
            if not _divides(tile.columns, products.columns):
                inside.append(n < integer(products.columns))
            if not isinstance(products.batch, int):
                inside.append(batch < integer(products.batch))
            value = self.sums[place]
            if output.dtype != "float32":
                value = tirx.Cast(str(output.dtype), value)
            return guarded(inside, sequence(finish(products.group, [value], products.places(batch, m, n))))

        if self.engine == "fma":
            return _grid(
                (tile.part_rows, tile.part_columns),
                lambda i, j: one(i * tile.part_columns + j, first_row + i, first_column + j),
            )
        lane = thread % 32

        def fragment(i: Any, j: Any) -> tirx.Stmt:
            def element(number: Any) -> tirx.Stmt:
                return one(
                    (i * self.fragments[1] + j) * _RESULTS + number,
                    first_row + i * _FRAGMENT_ROWS + lane // 4 + number // 2 * 8,
                    first_column + j * _FRAGMENT_COLUMNS + lane % 4 * 2 + number % 2,
                )

            return unrolled("number", _RESULTS, element)

        return _grid(self.fragments, fragment)


def _divides(size: int, total: Any) -> bool:
    return isinstance(total, int) and total % size == 0


def _grid(counts: tuple[int, int], body: Callable[[Any, Any], tirx.Stmt]) -> tirx.Stmt:
    return unrolled("i", counts[0], lambda i: unrolled("j", counts[1], lambda j: body(i, j)))


def _registers(name: str, count: int, dtype: str) -> Any:
    return tirx.decl_buffer((count,), dtype, name, scope="local")


def _call(name: str, *arguments: Any) -> tirx.Stmt:
    """A function of native/tensor_cores.cuh on elements by their addresses."""
    values = [
        tirx.address_of(argument) if isinstance(argument, ir.TensorLoad) else tirx.IntImm("int32", argument)
        for argument in arguments
    ]
    return tirx.Evaluate(tirx.call_extern("int32", name, *values))
