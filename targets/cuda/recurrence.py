"""Recurrences over time: a kernel for each step, in which a thread computes a hidden unit."""

from __future__ import annotations

from typing import Any

from tvm import tirx

from paddle_tvm.targets.cuda.schedules.threads import (
    THREADS,
    guarded,
    integer,
    launch,
    loop,
    positions,
    sequence,
    unrolled,
)
from paddle_tvm.targets.expressions import ceil_div, extent


def recurrence_by_steps(function: tirx.PrimFunc, mode: str) -> tirx.PrimFunc:
    """The recurrence that a function of the importer computes, over all units of a step at once.

    The importer's goes through time with a thread for each row of the batch, as suits a CPU.

    Parameters
    ----------
    function
        Its arguments, with T steps, B rows, D directions, H hidden units in N blocks of L, and G gates:
        inputs (T, B, D, N, G, L), weights (D, N, H, G, L), the GRU's bias (D, N, L), initial states (D, B, H)
        (hidden, and for an LSTM cell), lengths (B,) if there are any; then outputs (T, B, D, H) and final
        states (D, B, H).
    mode
        ``LSTM``, ``GRU``, ``RNN_TANH`` or ``RNN_RELU``.
    """
    return function.with_body(_Recurrence(function, mode).statement())


class _Recurrence:
    def __init__(self, function: tirx.PrimFunc, mode: str) -> None:
        buffers = [parameter for parameter in function.params if isinstance(parameter.ty, tirx.BufferType)]
        count = 2 if mode == "LSTM" else 1
        self.mode = mode
        self.inputs, self.weights, self.bias = buffers[:3]
        self.first = buffers[3 : 3 + count]
        self.last = buffers[-count:]
        self.outputs = buffers[-count - 1]
        between = buffers[3 + count : -count - 1]
        self.lengths = between[0] if between else None
        self.time, self.batch = (extent(dim) for dim in self.inputs.shape[:2])
        self.directions, _, self.gates, self.block = (int(dim) for dim in self.inputs.shape[2:])
        self.units = int(self.outputs.shape[3])
        self.dtype = str(self.outputs.dtype)
        states = (self.directions, self.batch, self.units)
        # Of a step all units read the hidden state before it; the cell is a thread's own.
        self.hidden = tirx.decl_buffer((2, *states), self.dtype, "hidden")
        self.cell = tirx.decl_buffer(states, self.dtype, "cell") if mode == "LSTM" else None

    def statement(self) -> tirx.Stmt:
        memory = [self.hidden, *([] if self.cell is None else [self.cell])]
        return sequence(
            [
                *(tirx.AllocBuffer(buffer) for buffer in memory),
                self._for_each_unit([], self._begin),
                loop("step", self.time, self._step),
                self._for_each_unit([], self._end),
            ]
        )

    def _for_each_unit(self, registers: list[Any], body: Any) -> tirx.Stmt:
        sizes = [self.directions, self.batch, self.units]
        total = self.directions * self.batch * self.units

        def thread_body(block: Any, thread: Any) -> list[tirx.Stmt]:
            number = block * THREADS + thread
            return [guarded([number < integer(total)], sequence(body(positions(number, sizes))))]

        return launch(ceil_div(total, THREADS), THREADS, registers, thread_body)

    def _begin(self, place: list[Any]) -> list[tirx.Stmt]:
        taken = [tirx.BufferStore(self.hidden, self.first[0][tuple(place)], [integer(0), *place])]
        if self.cell is not None:
            taken.append(tirx.BufferStore(self.cell, self.first[1][tuple(place)], place))
        return taken

    def _end(self, place: list[Any]) -> list[tirx.Stmt]:
        newest = self.time % 2 if isinstance(self.time, int) else tirx.floormod(self.time, integer(2))
        given = [tirx.BufferStore(self.last[0], self.hidden[(integer(newest), *place)], place)]
        if self.cell is not None:
            given.append(tirx.BufferStore(self.last[1], self.cell[tuple(place)], place))
        return given

    def _step(self, step: Any) -> tirx.Stmt:
        sums = tirx.decl_buffer((self.gates,), self.dtype, "sums", scope="local")
        return self._for_each_unit([sums], lambda place: self._unit(step, sums, place))

    def _unit(self, step: Any, sums: Any, place: list[Any]) -> list[tirx.Stmt]:
        """One unit of a step: the products of its gates with the hidden state, and what they make of it."""
        direction, row, unit = place
        number, lane = unit // self.block, unit % self.block
        # The backward direction runs through time in reverse.
        time = step
        if self.directions == 2:
            time = tirx.Select(direction == 0, step, integer(self.time) - 1 - step)
        now = step % 2

        def given(gate: int) -> Any:
            if self.mode == "GRU" and gate == 2:
                # The reset gate applies to the hidden part of the candidate alone, its bias included.
                return self.bias[direction, number, lane]
            return self.inputs[time, row, direction, number, gate, lane]

        def add(other: Any) -> tirx.Stmt:
            state = self.hidden[now, direction, row, other]

            def one(gate: Any) -> tirx.Stmt:
                product = self.weights[direction, number, other, gate, lane] * state
                return tirx.BufferStore(sums, sums[gate] + product, [gate])

            return unrolled("gate", self.gates, one)

        before = self.hidden[now, direction, row, unit]
        valid = None if self.lengths is None else time < self.lengths[row].astype("int64")
        candidate = self.inputs[time, row, direction, number, 2, lane] if self.mode == "GRU" else None
        new, stores = self._state(sums, place, before, candidate, valid)
        state = tirx.Var("state", new.ty)
        kept = state if valid is None else tirx.Select(valid, state, before)
        shown = state if valid is None else tirx.Select(valid, state, tirx.const(0, self.dtype))
        return [
            *(tirx.BufferStore(sums, given(gate), [integer(gate)]) for gate in range(self.gates)),
            loop("other", self.units, add),
            *stores,
            tirx.Bind(state, new),
            tirx.BufferStore(self.hidden, kept, [(step + 1) % 2, *place]),
            tirx.BufferStore(self.outputs, shown, [time, row, direction, unit]),
        ]

    def _state(
        self, sums: Any, place: list[Any], before: Any, candidate: Any, valid: Any
    ) -> tuple[Any, list[tirx.Stmt]]:
        """The new hidden state, and statements that come before it."""
        gates = [sums[integer(gate)] for gate in range(self.gates)]
        if self.mode == "LSTM":
            assert self.cell is not None
            old = self.cell[tuple(place)]
            updated = _sigmoid(gates[1]) * old + _sigmoid(gates[0]) * tirx.tanh(gates[2])
            cell = tirx.Var("new_cell", updated.ty)
            kept = cell if valid is None else tirx.Select(valid, cell, old)
            stores = [tirx.Bind(cell, updated), tirx.BufferStore(self.cell, kept, place)]
            return _sigmoid(gates[3]) * tirx.tanh(cell), stores
        if self.mode == "GRU":
            fresh = tirx.tanh(candidate + _sigmoid(gates[0]) * gates[2])
            return fresh + (before - fresh) * _sigmoid(gates[1]), []
        if self.mode == "RNN_TANH":
            return tirx.tanh(gates[0]), []
        return tirx.max(tirx.const(0, self.dtype), gates[0]), []


def _sigmoid(value: Any) -> Any:
    return tirx.const(1, str(value.ty.dtype)) / (tirx.const(1, str(value.ty.dtype)) + tirx.exp(-value))
