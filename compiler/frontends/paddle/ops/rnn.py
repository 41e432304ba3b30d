"""LSTM, GRU and plain recurrent networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tvm import relax

from paddle_tvm.compiler.frontends.paddle.context import OpContext, shape_of
from paddle_tvm.compiler.frontends.paddle.ops.matmul import product
from paddle_tvm.compiler.frontends.paddle.ops.recurrence import GATES, Recurrence, recurrence_function
from paddle_tvm.compiler.frontends.paddle.registry import Converted, register

Array = npt.NDArray[np.floating]


@register("rnn")
def _rnn(ctx: OpContext) -> Converted:
    mode = ctx.attr("mode")
    layers, directions = ctx.attr("num_layers"), 2 if ctx.attr("is_bidirec") else 1
    if mode not in GATES:
        raise ctx.unsupported(f"mode is {mode!r}; known are {', '.join(GATES)}")
    data = ctx.input(0)
    _, batch, _ = ctx.shape(0)
    spec = Recurrence(
        mode=mode,
        dtype=ctx.dtype(0),
        hidden=ctx.attr("hidden_size"),
        directions=directions,
        batch=batch if isinstance(batch, int) else None,
        has_lengths=ctx.has_input(3),
        length_dtype=ctx.dtype(3) if ctx.has_input(3) else "int32",
    )
    if batch == 0:
        raise ctx.unsupported("the batch is empty; fix it to another size with --shape")
    expected = [layers * directions, batch, spec.hidden]
    states = [ctx.require_equal(state, expected) for state in ctx.inputs(1)]
    lengths = [ctx.require_equal(ctx.input(3), [batch])] if spec.has_lengths else []
    kernel = ctx.builder.add_func(recurrence_function(spec), f"{mode.lower()}_recurrence")
    finals = []
    for layer in range(layers):
        parameters = _layer_parameters(ctx, layer, layers, directions)
        projected = _project_inputs(ctx, spec, data, parameters)
        first = [_layer_state(ctx, state, layer, layers, directions) for state in states]
        weights = np.stack([_packed(spec, hidden.T, spec.hidden) for _, hidden, _, _ in parameters])
        bias = np.stack([_candidate_bias(spec, hidden_bias) for _, _, _, hidden_bias in parameters])
        time = shape_of(data)[0]
        results = ctx.emit(
            relax.call_tir(
                kernel,
                [
                    projected,
                    relax.const(weights, spec.dtype),
                    relax.const(bias, spec.dtype),
                    *first,
                    *lengths,
                ],
                [
                    relax.TensorType([time, batch, directions, spec.hidden], spec.dtype),
                    *[relax.TensorType([directions, batch, spec.hidden], spec.dtype) for _ in first],
                ],
            )
        )
        finals.append([ctx.emit(results[index + 1]) for index in range(len(first))])
        data = ctx.emit(relax.op.reshape(results[0], [time, batch, directions * spec.hidden]))
    last = [
        parts[0] if layers == 1 else ctx.emit(relax.op.concat(parts, axis=0))
        for parts in zip(*finals, strict=True)
    ]
    # The others are the dropout mask and what the gradient needs.
    return [data, None, last, None]


def _layer_parameters(
    ctx: OpContext, layer: int, layers: int, directions: int
) -> list[tuple[Array, Array, Array, Array]]:
    """Input and hidden weights, input and hidden biases, of each direction of a layer.

    All weights come before all biases; in both the order is layer, direction, input and hidden
    (``ResetParameterVector`` in phi's ``rnn_functor.h``).
    """
    values = ctx.values(2)
    arrays = [value.array for value in values]
    if any(array is None for array in arrays):
        raise ctx.unsupported(
            "the weights must be parameters of the model, they are computed from its inputs"
        )
    known = [array for array in arrays if array is not None]
    biases = 2 * layers * directions
    starts = [2 * (layer * directions + direction) for direction in range(directions)]
    return [(known[at], known[at + 1], known[biases + at], known[biases + at + 1]) for at in starts]


def _layer_state(ctx: OpContext, state: relax.Expr, layer: int, layers: int, directions: int) -> relax.Expr:
    if layers == 1:
        return state
    begin = layer * directions
    return ctx.emit(relax.op.strided_slice(state, [0], [begin], [begin + directions]))


def _packed(spec: Recurrence, matrix: Array, rows: int) -> Array:
    """Columns ``(gate, unit)`` of a matrix in the order of use: ``(block, row, gate, unit in the block)``."""
    padded = np.zeros((rows, spec.gates, spec.blocks * spec.block), matrix.dtype)
    padded[:, :, : spec.hidden] = matrix.reshape(rows, spec.gates, spec.hidden)
    parts = padded.reshape(rows, spec.gates, spec.blocks, spec.block)
    return np.ascontiguousarray(parts.transpose(2, 0, 1, 3))


def _candidate_bias(spec: Recurrence, hidden_bias: Array) -> Array:
    return _packed(spec, hidden_bias.reshape(1, -1), 1)[:, 0, -1]


def _project_inputs(
    ctx: OpContext,
    spec: Recurrence,
    data: relax.Expr,
    parameters: Sequence[tuple[Array, Array, Array, Array]],
) -> relax.Expr:
    """The inputs' share of all gates, for all time steps and both directions in one product."""
    time, batch, _ = shape_of(data)
    features = parameters[0][0].shape[1]
    data = ctx.require_equal(data, [time, batch, features])
    weights, biases = [], []
    for input_weight, _, input_bias, hidden_bias in parameters:
        bias = input_bias + hidden_bias
        if spec.mode == "GRU":
            bias[2 * spec.hidden :] = input_bias[2 * spec.hidden :]
        weights.append(_packed(spec, input_weight.T, features).swapaxes(0, 1))
        biases.append(_packed(spec, bias.reshape(1, -1), 1)[:, 0])
    weight = np.stack(weights, axis=1).reshape(features, -1)
    rows = ctx.emit(relax.op.reshape(data, [time * batch, features]))
    projected = product(ctx, rows, relax.const(weight, spec.dtype))
    projected = ctx.emit(relax.op.add(projected, relax.const(np.stack(biases).reshape(-1), spec.dtype)))
    shape = [time, batch, spec.directions, spec.blocks, spec.gates, spec.block]
    return ctx.emit(relax.op.reshape(projected, shape))
