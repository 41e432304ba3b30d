"""Recurrent networks against Paddle."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

NETWORKS = {
    "LSTM": paddle.nn.LSTM,
    "GRU": paddle.nn.GRU,
    "RNN_TANH": paddle.nn.SimpleRNN,
    "RNN_RELU": lambda *sizes, **options: paddle.nn.SimpleRNN(*sizes, activation="relu", **options),
}


class Recurrent(paddle.nn.Layer):
    """A network of which every output is an output, with optional lengths and initial states."""

    def __init__(self, mode, *sizes, **options):
        super().__init__()
        paddle.seed(3)
        self.mode = mode
        self.network = NETWORKS[mode](*sizes, **options)

    def flat(self, results):
        outputs, states = results
        return (outputs, *states) if self.mode == "LSTM" else (outputs, states)

    def forward(self, x):
        return self.flat(self.network(x))


class WithLengths(Recurrent):
    def forward(self, x, lengths):
        return self.flat(self.network(x, sequence_length=lengths))


class WithStates(Recurrent):
    def forward(self, x, hidden, cell):
        states = (hidden, cell) if self.mode == "LSTM" else hidden + 0 * cell
        return self.flat(self.network(x, states))


def sequences(rng, *shape, scale=1.0, dtype="float32"):
    return (scale * rng.standard_normal(shape)).astype(dtype)


@pytest.mark.parametrize("mode", NETWORKS)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "direction": "bidirect", "dropout": 0.5}])
def test_outputs_and_final_states(check_op, rng, mode, options):
    """16 hidden units fill one block; batches of 1, 3 and 5 take the three forms of the kernel."""
    check_op(
        Recurrent(mode, 8, 16, **options),
        sequences(rng, 3, 5, 8),
        dynamic=[(0, 1)],
        more=[[sequences(rng, 1, 1, 8)], [sequences(rng, 5, 4, 8)]],
    )


@pytest.mark.parametrize(("mode", "hidden"), [("LSTM", 20), ("GRU", 7), ("RNN_TANH", 70), ("RNN_RELU", 128)])
def test_hidden_units_that_do_and_do_not_fill_their_blocks(check_op, rng, mode, hidden):
    model = Recurrent(mode, 3, hidden, time_major=True, direction="bidirect")
    check_op(model, sequences(rng, 4, 2, 3), dynamic=[(0, 1)], more=[[sequences(rng, 2, 9, 3)]])


@pytest.mark.parametrize(
    ("mode", "dtype"), [("LSTM", "int32"), ("LSTM", "int64"), ("GRU", "int32"), ("RNN_TANH", "int32")]
)
def test_beyond_its_length_a_sequence_has_zero_outputs_and_keeps_its_state(check_op, rng, mode, dtype):
    check_op(
        WithLengths(mode, 4, 18, num_layers=2, direction="bidirect"),
        sequences(rng, 3, 5, 4),
        np.array([5, 2, 3], dtype),
        dynamic=[(0, 1), (0,)],
        more=[
            [sequences(rng, 5, 7, 4), np.array([1, 7, 6, 2, 0], dtype)],
            [sequences(rng, 1, 3, 4), np.array([2], dtype)],
        ],
    )


@pytest.mark.parametrize("mode", ["LSTM", "GRU"])
def test_initial_states(check_op, rng, mode):
    check_op(
        WithStates(mode, 4, 8, num_layers=2, direction="bidirect"),
        sequences(rng, 2, 3, 4),
        sequences(rng, 4, 2, 8),
        sequences(rng, 4, 2, 8),
        dynamic=[(0, 1), (1,), (1,)],
    )


@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN_TANH"])
def test_a_large_network_shares_each_step_between_threads(check_op, rng, mode):
    hidden = {"LSTM": 368, "GRU": 420, "RNN_TANH": 736}[mode]
    check_op(
        Recurrent(mode, 4, hidden),
        sequences(rng, 1, 6, 4),
        dynamic=[(0, 1)],
        more=[[sequences(rng, 2, 3, 4)]],
    )


@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN_TANH"])
def test_large_infinite_and_missing_values(check_op, rng, mode):
    x = sequences(rng, 4, 3, 4, scale=300)
    x[1, 1, 2], x[2, 1, 0] = np.inf, np.nan
    check_op(Recurrent(mode, 4, 16), x, dynamic=[(0, 1)])


@pytest.mark.parametrize("mode", ["LSTM", "GRU", "RNN_RELU"])
def test_double_precision(check_op, rng, mode):
    paddle.set_default_dtype("float64")
    try:
        model = Recurrent(mode, 4, 8)
    finally:
        paddle.set_default_dtype("float32")
    check_op(model, sequences(rng, 2, 3, 4, dtype="float64"), dynamic=None)


@pytest.mark.parametrize("cell", [paddle.nn.LSTMCell, paddle.nn.GRUCell, paddle.nn.SimpleRNNCell])
def test_a_single_cell(check_op, rng, cell):
    class Cell(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.cell = cell(4, 8)

        def forward(self, x):
            return self.cell(x)[0]

    check_op(Cell(), sequences(rng, 3, 4), dynamic=[(0,)])


@pytest.mark.parametrize("mode", NETWORKS)
def test_features_computed_from_the_input(check_op, rng, mode):
    class Network(Recurrent):
        def forward(self, x):
            return super().forward(paddle.bmm(x, x.transpose([0, 2, 1])))

    check_op(
        Network(mode, 6, 4, num_layers=2, direction="bidirect"),
        sequences(rng, 2, 6, 5),
        dynamic=[(0, 1, 2)],
        more=[[sequences(rng, 1, 6, 3)], [sequences(rng, 5, 6, 2)]],
    )
