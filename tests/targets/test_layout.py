"""Blocked layouts through whole small graphs, against NumPy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tvm
from graph_reference import CPUS, Graph, check, compare, compiled, evaluate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tvm import ir, relax, tirx

from paddle_tvm.compiler.lowering import lower
from paddle_tvm.targets.x86 import x86_target

IMAGE = [2, 24, 7, 9]


def squeeze_and_excite(g: Graph, x: relax.Expr) -> Any:
    y = g.conv(x, 24, 3, padding=1)
    hidden = g.relu(g.add(g.conv(g.mean(y, [2, 3], keepdims=True), 6), g.const(1, 6, 1, 1)))
    return g.multiply(y, g.sigmoid(g.add(g.conv(hidden, 24), g.const(1, 24, 1, 1))))


def residual(g: Graph, x: relax.Expr) -> Any:
    y = g.relu(g.add(g.conv(x, 24, 3, padding=1), g.const(1, 24, 1, 1)))
    return g.relu(g.add(g.add(g.conv(y, 24, 3, padding=1), g.const(24, 1, 1)), y))


def spatial_attention(g: Graph, x: relax.Expr) -> Any:
    y = g.conv(x, 20)
    both = g.concat([g.mean(y, [1], keepdims=True), g.max(y, [1], keepdims=True)], 1)
    return g.multiply(y, g.sigmoid(g.conv(both, 1, 3, padding=1)))


def every_broadcast(g: Graph, x: relax.Expr) -> Any:
    y = g.conv(x, 24)
    for shape in (
        *[(), (1,), (9,), (7, 9), (7, 1), (1, 7, 9), (24, 1, 1), (24, 7, 9), (24, 1, 9), (1, 1, 1, 1)],
        *[(1, 24, 1, 1), (1, 1, 7, 9), (1, 1, 7, 1), (1, 1, 1, 9), (2, 1, 1, 1), (2, 1, 7, 9)],
        *[(2, 24, 1, 1), (2, 24, 7, 9)],
    ):
        y = g.add(y, g.const(*shape))
    row = g.conv(g.mean(x, [2, 3], keepdims=True), 24)
    return y, g.add(row, g.const(2, 24, 7, 9)), g.multiply(g.const(1, 1, 7, 9), row)


def numbers_and_bounds(g: Graph, x: relax.Expr) -> Any:
    y = g.conv(x, 24)
    return g.clip(y, 0, 0.5), g.add(y, tirx.FloatImm("float32", 2.0))


def comparisons(g: Graph, x: relax.Expr) -> Any:
    y = g.conv(x, 24)
    positive = g.astype(g.greater(y, g.const()), "float32")
    return (
        positive,
        g.greater(y, g.const()),
        g.where(g.greater(y, g.const(1, 24, 1, 1)), y, x),
        g.where(g.less_equal(y, g.const(24, 1, 1)), g.const(), y),
    )


def reductions(g: Graph, x: relax.Expr) -> Any:
    y = g.conv(x, 20)
    return (
        g.max(y, [1], keepdims=True),
        g.mean(y, [-1, -2], keepdims=True),
        g.min(y, [2, 3]),
        g.sum(y, None),
        g.max(y, [2, 3], keepdims=True),
        g.multiply(y, g.sigmoid(g.mean(y, [1], keepdims=True))),
        g.softmax(y, 1),
    )


def pools(g: Graph, x: relax.Expr) -> Any:
    y = g.conv(x, 58)
    return (
        g.max_pool2d(y, (3, 3), (2, 2), (1, 1, 1, 1)),
        g.avg_pool2d(y, (2, 3), (2, 1), (0, 1, 0, 1), count_include_pad=True),
        g.avg_pool2d(y, (3, 3), (1, 1), (1, 1, 1, 1)),
        g.adaptive_avg_pool2d(y, (1, 1)),
    )


def concatenations(g: Graph, x: relax.Expr) -> Any:
    a, b, c = g.conv(x, 16), g.conv(x, 24), g.conv(x, 5)
    parts = g.emit(relax.Tuple([a, x, c]))
    return (
        g.conv(g.concat([a, b, c], 1), 24),
        g.concat([a, b], 1),
        g.concat([b, a, c], 1),
        g.emit(relax.op.concat(parts, 1)),
        g.concat([b, b], 2),
        g.conv(g.concat([g.conv(x, 5 + number) for number in range(10)], 1), 8),
    )


def slices(g: Graph, x: relax.Expr) -> Any:
    y = g.conv(x, 58)
    return (
        g.conv(g.slice(y, 16, 48), 24),
        g.slice(y, -5, -1),
        g.slice(y, 1, 100, 3),
        g.slice(y, -100, 5),
        g.slice(y, 3, 3),
        g.slice(y, 1, 5, axis=2),
        # One channel for all.
        g.multiply(y, g.sigmoid(g.slice(y, 3, 4))),
    )


def shuffle_units(g: Graph, x: relax.Expr) -> Any:
    y = g.conv(x, 58, 3, padding=1)
    for _ in range(2):
        left, right = g.slice(y, 0, 29), g.slice(y, 29, 58)
        right = g.relu(g.conv(g.conv(right, 29, 3, padding=1, groups=29), 29))
        y = g.shuffle(g.concat([left, right], 1), 2)
    return g.conv(y, 16), g.slice(y, 29, 58)


def reshapes_that_are_no_shuffle(g: Graph, x: relax.Expr) -> Any:
    y = g.conv(x, 4)
    split = g.reshape(y, [1, 2, 2, 14, 9])
    return g.reshape(g.permute_dims(split, [0, 2, 1, 3, 4]), [2, 4, 7, 9])


def copies_of_copies(g: Graph, x: relax.Expr) -> Any:
    joined = g.relu(g.concat([g.conv(x, 32), g.conv(x, 16), g.conv(x, 48)], 1))
    again = g.negative(g.concat([g.slice(joined, 32, 96), g.conv(x, 16)], 1))
    other = g.concat([g.conv(x, 32), g.conv(x, 32), g.conv(x, 32)], 1)
    return g.square(g.slice(again, 16, 48)), g.slice(g.relu(other), 0, 16)


def copy_to_another_rank(g: Graph, x: relax.Expr) -> Any:
    joined = g.concat([g.conv(x, 32), g.conv(x, 16), g.conv(x, 48)], 1)
    return g.relu(g.permute_dims(g.reshape(joined, [2, 2, 48, 7, 9]), [0, 2, 1, 3, 4]))


def dense_block(g: Graph, x: relax.Expr) -> Any:
    features = [g.conv(x, 16)]
    for _ in range(4):
        joined = g.concat(list(features), 1)
        scaled = g.relu(g.multiply(joined, g.const(1, int(joined.ty.shape[1]), 1, 1)))
        features.append(g.conv(scaled, 12, 3, padding=1))
    return g.concat(features, 1)


def whole_numbers(g: Graph, x: relax.Expr) -> Any:
    y = g.astype(g.multiply(g.conv(x, 20), g.const(1, 20, 1, 1)), "int32")
    # Lanes beyond the last channel must not be divided by zero.
    divisor = relax.const(np.arange(1, 21, dtype="int32").reshape(1, 20, 1, 1))
    return g.astype(g.divide(y, divisor), "float32")


def other_precisions(g: Graph, x: relax.Expr) -> Any:
    return g.astype(g.exp(g.astype(g.conv(x, 20, 3, padding=1), "float64")), "float32")


def infinite_lanes(g: Graph, x: relax.Expr) -> Any:
    """Lanes beyond the last channel hold Inf and NaN: 1 / 0, and that times 0."""
    y = g.conv(x, 20)
    positive = relax.const(np.linspace(0.5, 2, 20, dtype="float32").reshape(1, 20, 1, 1))
    inverse = g.divide(relax.const(np.float32(1)), g.add(g.abs(y), positive))
    z = g.add(g.multiply(inverse, y), g.log(positive))
    return (
        g.conv(z, 6, 3, padding=1),
        g.conv(z, 20, 3, groups=20),
        g.conv(z, 2),
        g.conv(g.slice(z, 3, 12), 9, 3),
        g.conv(g.max_pool2d(z, (2, 2)), 20),
        g.conv2d_transpose(z, g.const(20, 5, 2, 2), strides=(2, 2)),
        g.conv2d_transpose(z, g.const(20, 1, 2, 2), strides=(2, 2)),
        g.mean(z, [2, 3], keepdims=True),
        g.sum(z, [1]),
        g.softmax(z, 1),
        g.concat([z, g.conv(z, 20)], 1),
    )


def undefined_channels(g: Graph, x: relax.Expr) -> Any:
    """NaN and Inf of real channels stay in their places."""
    huge = np.where(np.arange(20) % 3, 0, np.inf).astype("float32").reshape(20, 1, 1)
    y = g.add(g.conv(x, 20), relax.const(huge))
    square = g.multiply(y, y)
    return square, g.log(y), g.divide(square, g.relu(y)), g.slice(g.log(y), 2, 11)


GRAPHS = [
    squeeze_and_excite,
    residual,
    spatial_attention,
    every_broadcast,
    numbers_and_bounds,
    comparisons,
    reductions,
    pools,
    concatenations,
    slices,
    shuffle_units,
    reshapes_that_are_no_shuffle,
    copies_of_copies,
    copy_to_another_rank,
    dense_block,
    whole_numbers,
    other_precisions,
    infinite_lanes,
    undefined_channels,
]


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.__name__)
def test_graph(graph, mcpu):
    check([IMAGE], graph, mcpu)


def strided_branches(g: Graph, x: relax.Expr) -> Any:
    """Branches whose sizes are written differently: (h - 1) // 2 + 1, (h + 1) // 2."""
    y = g.clip(g.add(g.conv(x, 24, 3, stride=2, padding=1), g.const(1, 24, 1, 1)), -0.3, 0.6)
    pooled, filtered = g.max_pool2d(y, (3, 3), (2, 2), (1, 1, 1, 1)), g.conv(y, 24, 3, stride=2, padding=1)
    s = g.add(pooled, filtered)
    gate = g.sigmoid(g.conv(g.mean(s, [2, 3], keepdims=True), 24))
    return g.multiply(s, gate), g.concat([s, g.minimum(g.conv(s, 24), s)], 1), g.mean(y, [2, 3])


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("channels", [3, 16])
def test_symbolic_batch_height_and_width(channels, mcpu):
    sizes = [{"n": 1, "h": 17, "w": 70}, {"n": 3, "h": 8, "w": 33}, {"n": 2, "h": 4, "w": 7}]
    check([["n", channels, "h", "w"]], strided_branches, mcpu, sizes)


@pytest.mark.parametrize("mcpu", CPUS)
@pytest.mark.parametrize("shape", [[1, 16, 6, 9], [1, 16, 6, "w"]], ids=["static", "width"])
def test_one_number_that_gates_a_whole_image(shape, mcpu):
    def graph(g: Graph, x: relax.Expr) -> Any:
        y = g.conv(x, 20)
        number = g.conv(g.mean(y, [2, 3], keepdims=True), 1)
        return g.multiply(y, g.sigmoid(number)), g.multiply(g.conv(x, 20), number)

    check([shape], graph, mcpu, [{"w": 9}])


@pytest.mark.parametrize("mcpu", CPUS)
def test_symbolic_width_alone(mcpu):
    check([[1, 16, 4, "w"]], strided_branches, mcpu, [{"w": 60}, {"w": 5}])


@pytest.mark.parametrize("mcpu", CPUS)
def test_symbolic_batch_of_channel_shuffles(mcpu):
    check([["n", 24, 6, 5]], shuffle_units, mcpu, [{"n": 1}, {"n": 3}])


def test_concatenation_with_symbolic_channels():
    def graph(g: Graph, x: relax.Expr, y: relax.Expr) -> Any:
        return g.concat([g.conv(y, 24), x], 1)

    check([["n", "c", 4, 5], ["n", 24, 4, 5]], graph, None, [{"n": 1, "c": 24}, {"n": 2, "c": 1}])


@pytest.mark.parametrize("mcpu", CPUS)
def test_weights_that_are_no_constants(mcpu):
    def graph(g: Graph, x: relax.Expr, weight: relax.Expr) -> Any:
        y = g.conv2d(g.conv(x, 24), weight, padding=[1] * 4)
        return g.relu(g.add(y, g.const(1, 20, 1, 1)))

    check([IMAGE, [20, 24, 3, 3]], graph, mcpu)


@pytest.mark.parametrize("mcpu", CPUS)
def test_float64(mcpu):
    check([IMAGE], residual, mcpu, dtype="float64")


def test_blocks_of_a_parameter_are_not_taken_into_the_next_dataflow_block():
    weight = relax.const(np.random.default_rng(0).standard_normal((16, 16, 1, 1)).astype("float32"))
    x = relax.Var("x", relax.TensorType([1, 16, 5, 6], "float32"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        with builder.dataflow():
            first = builder.emit_output(relax.op.nn.relu(builder.emit(relax.op.nn.conv2d(x, weight))))
        between = builder.emit(relax.op.nn.relu(first))
        with builder.dataflow():
            second = builder.emit(relax.op.nn.conv2d(x, weight))
            output = builder.emit_output(relax.Tuple([builder.emit(relax.op.add(second, between))]))
        builder.emit_func_output(output)
    module = builder.get()
    array = np.random.default_rng(1).standard_normal((1, 16, 5, 6)).astype("float32")
    compare(compiled(module, None)(array)[0], evaluate(module["main"], [array])[0])


def transforms(module: tvm.IRModule) -> list[str]:
    """The changes of layout that are left in a graph, in order, without numbers."""
    return [
        name
        for block in module["main"].body.blocks
        for binding in block.bindings
        if isinstance(binding.value, relax.Call)
        and isinstance(binding.value.args[0], ir.GlobalVar)
        and (name := binding.value.args[0].name_hint.rstrip("0123456789").rstrip("_"))
        in ("block_channels", "unblock_channels", "move_channels")
    ]


def arranged(inputs: list[Any], body: Any, mcpu: str | None = None) -> list[str]:
    return transforms(x86_target(mcpu).arrange(Graph(inputs).module(body)))


@pytest.mark.parametrize("mcpu", CPUS)
def test_a_residual_network_changes_layout_only_where_it_ends(mcpu):
    def network(g: Graph, x: relax.Expr) -> Any:
        y = g.relu(g.add(g.conv(x, 64, 7, stride=2, padding=3), g.const(1, 64, 1, 1)))
        y = g.max_pool2d(y, (3, 3), (2, 2), (1, 1, 1, 1))
        for stride in (1, 2):
            z = g.conv(y, 64)
            z = g.relu(g.add(g.conv(z, 64, 3, stride=stride, padding=1, groups=2), g.const(1, 64, 1, 1)))
            z = g.multiply(z, g.sigmoid(g.conv(g.mean(z, [2, 3], keepdims=True), 64)))
            y = g.relu(g.add(g.conv(z, 128), g.conv(y, 128, stride=stride)))
            y = g.conv2d_transpose(g.relu(y), g.const(128, 64, 2, 2), strides=(2, 2))
        return y

    assert arranged([1, 3, 64, 64], network, mcpu) == ["unblock_channels"]
    assert arranged(["n", 3, "h", "w"], network, mcpu) == ["unblock_channels"]
    # An image is read as it is, more channels are put into blocks.
    assert arranged([1, 64, 64, 64], network, mcpu) == ["block_channels", "unblock_channels"]


def test_means_over_height_and_width_leave_blocks_without_a_copy():
    def network(g: Graph, x: relax.Expr) -> Any:
        return g.reshape(g.mean(g.conv(x, 64, 3), [2, 3], keepdims=True), [1, 64])

    assert arranged([1, 3, 16, 16], network) == []


def test_a_shuffle_unit_is_one_copy_for_each_branch():
    def network(g: Graph, x: relax.Expr) -> Any:
        y = g.conv(x, 64)
        z = g.shuffle(g.concat([g.slice(y, 0, 32), g.conv(g.slice(y, 32, 64), 32)], 1), 2)
        return g.mean(g.conv(g.slice(z, 0, 32), 32), [2, 3]), g.mean(g.conv(g.slice(z, 32, 64), 32), [2, 3])

    moves = [name for name in arranged([1, 3, 16, 16], network) if name == "move_channels"]
    # The half that the first unit filters, and the two halves of its shuffled result.
    assert len(moves) == 3


@pytest.mark.parametrize("form", ["static", "dynamic"])
def test_accumulators_are_registers(form):
    """No tile takes memory: what LLVM gets has no allocation within a loop over tiles."""

    def network(g: Graph, x: relax.Expr) -> Any:
        y = g.relu(g.add(g.conv(x, 48, 3, stride=2, padding=1), g.const(1, 48, 1, 1)))
        return g.mean(g.add(g.conv(y, 48), y), [2, 3])

    shape = [1, 3, 65, 65] if form == "static" else ["n", 3, "h", "w"]
    target = x86_target("icelake-server")
    scheduled = lower(Graph(shape).module(network), target)
    kernels = {
        variable.name_hint: function
        for variable, function in scheduled.functions.items()
        if isinstance(function, tirx.PrimFunc) and "conv2d" in variable.name_hint
    }
    assert kernels
    for name, function in kernels.items():
        kernel = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
        library = tvm.compile(kernel, target=target.tvm_target, tir_pipeline=target.tir_pipeline)
        taken = library.mod.inspect_source("ll").count("@TVMBackendAllocWorkspace(i32 1")
        # The padded input is the only thing that lies in memory.
        assert taken <= 1, name


OPERATIONS = [
    "conv",
    "depthwise",
    "group",
    "relu",
    "bias",
    "gate",
    "concat",
    "slice",
    "shuffle",
    "pool",
    "add",
]


def random_graph(choices: list[tuple[str, int]]) -> Any:
    """A graph of the operations; the number says which of the earlier tensors, and how large the change."""

    def graph(g: Graph, x: relax.Expr) -> Any:
        tensors = [g.conv(x, 20)]
        for operation, number in choices:
            y, other = tensors[-1 - number % 2 % len(tensors)], tensors[number // 2 % len(tensors)]
            channels = int(y.ty.shape[1])
            if operation == "conv":
                y = g.conv(
                    y, (8, 16, 21, 32, 5)[number % 5], (1, 3)[number // 5 % 2], padding=number // 5 % 2
                )
            elif operation == "depthwise":
                y = g.conv(y, channels, 3, padding=1, groups=channels)
            elif operation == "group":
                groups = next(count for count in (4, 3, 2, 1) if channels % count == 0)
                y = g.conv(y, channels, groups=groups)
            elif operation == "relu":
                y = g.clip(y, -0.5, 0.7) if number % 2 else g.relu(y)
            elif operation == "bias":
                y = g.add(y, g.const(*[(1, channels, 1, 1), (channels, 1, 1), (), (9,)][number % 4]))
            elif operation == "gate":
                gate = g.conv(g.mean(y, [2, 3], keepdims=True), (1, channels)[number % 2])
                y = g.multiply(y, g.sigmoid(gate))
            elif operation == "concat":
                y = g.concat([y, other] if number % 3 else [other, y, other], 1)
            elif operation == "slice":
                first = number % channels
                y = g.slice(y, first, channels, 1 + number % 2)
            elif operation == "shuffle":
                y = g.shuffle(y, next(count for count in (4, 3, 2, 1) if channels % count == 0))
            elif operation == "pool":
                y = g.max_pool2d(y, (3, 3), (1, 1), (1, 1, 1, 1))
            else:
                same = [tensor for tensor in tensors if int(tensor.ty.shape[1]) == channels]
                y = g.add(y, same[number % len(same)])
            tensors.append(y)
        return tuple(tensors[-2:])

    return graph


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 40)), min_size=3, max_size=9),
    st.sampled_from(CPUS),
    st.booleans(),
)
def test_random_graph(choices, mcpu, dynamic):
    shape: list[int | str] = ["n", 16, "h", 9] if dynamic else [2, 16, 6, 9]
    check([shape], random_graph(choices), mcpu, [{"n": 2, "h": 6}, {"n": 1, "h": 3}] if dynamic else ({},))
