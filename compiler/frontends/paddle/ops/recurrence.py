"""The recurrence of an LSTM, GRU or plain RNN over time, as one TIR function.

The products of the inputs with their weights are done for all time steps beforehand. What is left,
the product of the previous hidden state with its weights and the gates, is sequential in time and is
computed here for a *block* of hidden units at a time: all gates of the block are accumulated in
registers while the weights, packed in the order of use, stream by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script import builder as T

from paddle_tvm.compiler.frontends.paddle.ops.lanes import Lanes
from paddle_tvm.targets.base import RECURRENCE

# Gates of a mode, in Paddle's order: LSTM input, forget, cell, output; GRU reset, update, candidate.
GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}

# Rows of the batch that share each load of a weight, where there are enough rows.
_SHARED_ROWS = 2
# Below this many weights a step is too short to be divided between threads (5 us a parallel region).
_PARALLEL_WEIGHTS = 1 << 19


@dataclass(frozen=True)
class Recurrence:
    """What a recurrence function is specialised for; ``batch`` is None where it is symbolic."""

    mode: str
    dtype: str
    hidden: int
    directions: int
    batch: int | None
    has_lengths: bool
    length_dtype: str = "int32"

    @property
    def gates(self) -> int:
        return GATES[self.mode]

    @property
    def block(self) -> int:
        """Hidden units of a block; the one gate of a plain RNN needs more of them to fill the pipeline."""
        return 64 if self.gates == 1 and self.hidden >= 64 else 16

    @property
    def blocks(self) -> int:
        return -(-self.hidden // self.block)


class _Kernel:
    """Buffers of the function that is being built, and the pieces of its body."""

    def __init__(self, spec: Recurrence) -> None:
        self.spec = spec
        self.time = T.int64()
        self.batch: Any = T.int64() if spec.batch is None else T.int64(spec.batch)
        one = spec.directions, self.batch, spec.hidden
        self.gates_in = self._argument(
            "inputs", (self.time, self.batch, spec.directions, spec.blocks, spec.gates, spec.block)
        )
        self.weights = self._argument(
            "weights", (spec.directions, spec.blocks, spec.hidden, spec.gates, spec.block)
        )
        self.candidate_bias = self._argument("bias", (spec.directions, spec.blocks, spec.block))
        self.first = self._states("first", one)
        self.lengths = (
            self._argument("lengths", (self.batch,), spec.length_dtype) if spec.has_lengths else None
        )
        self.outputs = self._argument("outputs", (self.time, self.batch, spec.directions, spec.hidden))
        self.last = self._states("last", one)
        padded = spec.blocks * spec.block
        self.hidden = T.alloc_buffer((2, spec.directions, self.batch, padded), spec.dtype)
        self.cell = (
            T.alloc_buffer((spec.directions, self.batch, padded), spec.dtype) if spec.mode == "LSTM" else None
        )

    def _argument(self, name: str, shape: Sequence[Any], dtype: str | None = None) -> tirx.Buffer:
        return T.match_buffer(T.arg(name, T.handle()), shape, dtype or self.spec.dtype)

    def _states(self, name: str, shape: Sequence[Any]) -> list[tirx.Buffer]:
        parts = ["hidden", "cell"] if self.spec.mode == "LSTM" else ["hidden"]
        return [self._argument(f"{name}_{part}", shape) for part in parts]

    def begin(self, direction: Any, row: Any) -> None:
        """Take over the initial state of a row; padding is zero."""
        spec = self.spec
        with T.serial(T.int64(spec.blocks * spec.block)) as unit:
            inside = unit < spec.hidden
            zero = tirx.const(0, spec.dtype)

            def initial(state: tirx.Buffer) -> Any:
                clamped = T.min(unit, T.int64(spec.hidden - 1))
                return T.Select(inside, state[direction, row, clamped], zero)

            T.buffer_store(self.hidden, initial(self.first[0]), [0, direction, row, unit])
            if self.cell is not None:
                T.buffer_store(self.cell, initial(self.first[1]), [direction, row, unit])

    def end(self, direction: Any, row: Any) -> None:
        """Hand out the final state of a row."""
        with T.serial(T.int64(self.spec.hidden)) as unit:
            final = self.hidden[self.time % 2, direction, row, unit]
            T.buffer_store(self.last[0], final, [direction, row, unit])
            if self.cell is not None:
                T.buffer_store(self.last[1], self.cell[direction, row, unit], [direction, row, unit])

    def step(self, direction: Any, rows: Sequence[Any], step: Any, block: Any) -> None:
        """One time step of one block of hidden units, for some rows of the batch.

        A row beyond the batch is computed as the last row, and not stored.
        """
        spec = self.spec
        lanes = T.int64(spec.block)
        # The backward direction runs through time in reverse.
        time = step if spec.directions == 1 else T.Select(direction == 0, step, self.time - 1 - step)
        clamped = [rows[0], *[T.min(row, self.batch - 1) for row in rows[1:]]]
        sums = T.alloc_buffer((len(rows), spec.gates, spec.block), spec.dtype, scope="local")
        for r, row in enumerate(clamped):
            for gate in range(spec.gates):
                with T.vectorized(lanes) as lane:
                    T.buffer_store(
                        sums, self._start(time, row, direction, block, gate, lane), [r, gate, lane]
                    )
        with T.serial(T.int64(spec.hidden)) as unit:
            for gate in range(spec.gates):
                for r, row in enumerate(clamped):
                    with T.vectorized(lanes) as lane:
                        weight = self.weights[direction, block, unit, gate, lane]
                        previous = self.hidden[step % 2, direction, row, unit]
                        T.buffer_store(sums, sums[r, gate, lane] + weight * previous, [r, gate, lane])
        self._finish(sums, 0, direction, clamped[0], step, time, block)
        for r, row in enumerate(rows[1:], 1):
            with T.If(row < self.batch), T.Then():
                self._finish(sums, r, direction, row, step, time, block)

    def _start(self, time: Any, row: Any, direction: Any, block: Any, gate: int, lane: Any) -> Any:
        if self.spec.mode == "GRU" and gate == 2:
            # The reset gate applies to the hidden part of the candidate alone, its bias included.
            return self.candidate_bias[direction, block, lane]
        return self.gates_in[time, row, direction, block, gate, lane]

    def _finish(
        self, sums: tirx.Buffer, r: int, direction: Any, row: Any, step: Any, time: Any, block: Any
    ) -> None:
        """Apply the gates and store the new state."""
        spec = self.spec
        lanes = T.int64(spec.block)
        state = T.alloc_buffer((spec.block,), spec.dtype, scope="local")
        unit = block * spec.block
        valid = None if self.lengths is None else time < T.cast(self.lengths[row], "int64")

        def gate(index: int) -> Lanes:
            return Lanes(sums, [r, index], spec.block)

        result = Lanes(state, [], spec.block)
        if spec.mode == "LSTM":
            cell = self.cell
            assert cell is not None
            for index in (0, 1, 3):
                gate(index).sigmoid()
            gate(2).tanh()
            result.assign(
                lambda lane: (
                    sums[r, 1, lane] * cell[direction, row, unit + lane] + sums[r, 0, lane] * sums[r, 2, lane]
                )
            )
            with T.vectorized(lanes) as lane:
                old = cell[direction, row, unit + lane]
                new = state[lane] if valid is None else T.Select(valid, state[lane], old)
                T.buffer_store(cell, new, [direction, row, unit + lane])
            result.tanh()
            result.assign(lambda lane: sums[r, 3, lane] * state[lane])
        elif spec.mode == "GRU":
            gate(0).sigmoid()
            gate(1).sigmoid()
            result.assign(
                lambda lane: (
                    self.gates_in[time, row, direction, block, 2, lane] + sums[r, 0, lane] * sums[r, 2, lane]
                )
            )
            result.tanh()
            result.assign(
                lambda lane: (
                    state[lane]
                    + (self.hidden[step % 2, direction, row, unit + lane] - state[lane]) * sums[r, 1, lane]
                )
            )
        else:
            result.assign(lambda lane: sums[r, 0, lane])
            if spec.mode == "RNN_TANH":
                result.tanh()
            else:
                result.assign(lambda lane: T.max(tirx.const(0, spec.dtype), state[lane]))
        with T.vectorized(lanes) as lane:
            old = self.hidden[step % 2, direction, row, unit + lane]
            new = state[lane] if valid is None else T.Select(valid, state[lane], old)
            T.buffer_store(self.hidden, new, [(step + 1) % 2, direction, row, unit + lane])
        self._store_output(state, valid, direction, row, time, block)

    def _store_output(
        self, state: tirx.Buffer, valid: Any, direction: Any, row: Any, time: Any, block: Any
    ) -> None:
        spec = self.spec

        def store(lanes: int) -> None:
            with T.vectorized(T.int64(lanes)) as lane:
                new = state[lane]
                if valid is not None:
                    new = T.Select(valid, new, tirx.const(0, spec.dtype))
                T.buffer_store(self.outputs, new, [time, row, direction, block * spec.block + lane])

        rest = spec.hidden % spec.block
        if not rest:
            store(spec.block)
        elif spec.blocks == 1:
            store(rest)
        else:
            with T.If(block < spec.blocks - 1):
                with T.Then():
                    store(spec.block)
                with T.Else():
                    store(rest)

    def rows_in_parallel(self, shared: int) -> None:
        """Every thread runs through time with its own rows of the batch."""
        spec = self.spec
        groups = tirx.floordiv(self.batch + (shared - 1), shared)
        with T.parallel(groups * spec.directions) as task:
            direction, first = (
                tirx.floormod(task, spec.directions),
                tirx.floordiv(task, spec.directions) * shared,
            )
            rows = [first + offset for offset in range(shared)]
            # Where the last row has no partner it is begun and ended twice, which does no harm.
            for row in rows:
                self.begin(direction, T.min(row, self.batch - 1))
            with T.serial(self.time) as step, T.serial(T.int64(spec.blocks)) as turn:
                # To and fro: the weights that were read last are still in the cache.
                block = T.Select(step % 2 == 0, turn, spec.blocks - 1 - turn)
                self.step(direction, rows, step, block)
            for row in rows:
                self.end(direction, T.min(row, self.batch - 1))

    def blocks_in_parallel(self) -> None:
        """The threads share each time step of a single row."""
        spec = self.spec
        zero = T.int64(0)
        self.begin(zero, zero)
        with T.serial(self.time) as step, T.parallel(T.int64(spec.blocks)) as block:
            self.step(zero, [zero], step, block)
        self.end(zero, zero)


def recurrence_function(spec: Recurrence) -> tirx.PrimFunc:
    """The TIR function of a recurrence.

    Its arguments, with D directions, B rows of the batch, H hidden units in N blocks of L and G gates:
    inputs ``(T, B, D, N, G, L)``, weights ``(D, N, H, G, L)``, the GRU's hidden candidate bias ``(D, N, L)``,
    initial states ``(D, B, H)`` (hidden, and for an LSTM cell), lengths ``(B,)`` if there are any; then
    what it writes: outputs ``(T, B, D, H)`` and final states ``(D, B, H)``.
    """
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("recurrence")
        T.func_attr({"tirx.noalias": True, "tirx.is_scheduled": True, RECURRENCE: spec.mode})
        kernel = _Kernel(spec)
        few = kernel.blocks_in_parallel if _divides_a_step(spec) else lambda: kernel.rows_in_parallel(1)
        many_rows = 2 * _SHARED_ROWS
        _choose(
            spec.batch,
            kernel.batch,
            [
                (many_rows, lambda: kernel.rows_in_parallel(_SHARED_ROWS)),
                (2, lambda: kernel.rows_in_parallel(1)),
                (1, few),
            ],
        )
    return builder.get()


def _divides_a_step(spec: Recurrence) -> bool:
    return spec.directions == 1 and spec.gates * spec.hidden**2 >= _PARALLEL_WEIGHTS


def _choose(known: int | None, batch: Any, forms: Sequence[tuple[int, Callable[[], None]]]) -> None:
    """Emit the first form whose least batch is reached; a batch that is not known chooses at run time."""
    (least, form), *others = forms
    if not others or (known is not None and known >= least):
        form()
    elif known is not None:
        _choose(known, batch, others)
    else:
        with T.If(batch >= least):
            with T.Then():
                form()
            with T.Else():
                _choose(known, batch, others)
