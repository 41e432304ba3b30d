"""Symbolic dimensions: every graph runs at sizes that it was not written for."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from paddle_tvm.compiler.frontends.onnx import import_onnx
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.imported import TensorPort
from paddle_tvm.runtime.errors import UnsupportedModelError

node = helper.make_node


def ints(*values):
    return np.array(values, dtype="int64")


def floats(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


def test_ports_have_the_names_and_order_of_the_graph(make_graph):
    path = make_graph(
        [node("Add", ["b", "a"], ["sum"]), node("Shape", ["a"], ["size"])],
        {"b": ("float32", ["batch", None]), "a": ("float32", ["batch", None])},
        {"size": "int64", "sum": "float32"},
    )
    imported = import_onnx(find_model(path))
    assert imported.inputs == (
        TensorPort("b", "float32", ("batch", "b_1")),
        TensorPort("a", "float32", ("batch", "b_1")),
    )
    assert imported.outputs == (
        TensorPort("size", "int64", (2,)),
        TensorPort("sum", "float32", ("batch", "b_1")),
    )
    assert imported.operators == {"Add": 1, "Shape": 1}


def test_a_fixed_dimension_is_fixed_wherever_its_name_stands(make_graph):
    path = make_graph(
        [node("Concat", ["a", "b"], ["y"], axis=1)],
        {"a": ("float32", ["batch", 3]), "b": ("float32", ["batch", "n"])},
        {"y": "float32"},
    )
    imported = import_onnx(find_model(path), {"a": (4, 3)})
    assert [port.shape for port in imported.inputs] == [(4, 3), (4, "n")]
    batch, joined = imported.outputs[0].shape
    assert (batch, sorted(str(joined).split(" + "))) == (4, ["3", "n"])


def test_weights_among_the_inputs_stay_weights(make_graph):
    path = make_graph(
        [node("Add", ["x", "w"], ["y"])],
        {"x": ("float32", ["n", 2]), "w": ("float32", [2])},
        {"y": "float32"},
        {"w": np.ones(2, "float32")},
    )
    assert [port.name for port in import_onnx(find_model(path)).inputs] == ["x"]


def test_a_reshape_computed_from_the_shape(check_graph, rng):
    # What exporters write for x.reshape(x.shape[0], x.shape[1] * x.shape[2], -1).
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["batch"]),
        node("Slice", ["s", "one", "three", "zeros"], ["rest"]),
        node("ReduceProd", ["rest"], ["flat"], keepdims=1),
        node("Unsqueeze", ["batch", "zeros"], ["first"]),
        node("Concat", ["first", "flat", "minus"], ["shape"], axis=0),
        node("Reshape", ["x", "shape"], ["y"]),
    ]
    constants = {
        "zero": np.array(0, "int64"),
        "zeros": ints(0),
        "one": ints(1),
        "three": ints(3),
        "minus": ints(-1),
    }
    check_graph(
        nodes,
        {"x": ("float32", ["n", "c", "h", 4])},
        {"y": "float32"},
        [{"x": floats(rng, 2, 3, 5, 4)}, {"x": floats(rng, 7, 1, 2, 4)}],
        constants=constants,
    )


@pytest.mark.parametrize("target", [(-1, 6), (0, -1), (0, 0, 2, 3), (0, 2, -1, 3)])
def test_a_reshape_that_holds_for_every_batch(check_graph, rng, target):
    check_graph(
        [node("Reshape", ["x", "s"], ["y"])],
        {"x": ("float32", ["n", 2, 6] if target == (0, 0, 2, 3) else ["n", 6])},
        {"y": "float32"},
        [{"x": floats(rng, *(n, 2, 6) if target == (0, 0, 2, 3) else (n, 6))} for n in (1, 4)],
        constants={"s": ints(*target)},
    )


def test_a_reshape_that_holds_for_one_batch_is_checked_when_it_runs(make_graph, run_compiled, rng):

    path = make_graph(
        [node("Reshape", ["x", "s"], ["y"])],
        {"x": ("float32", ["n", 6])},
        {"y": "float32"},
        {"s": ints(2, 6)},
    )
    _, run = run_compiled(path)
    x = floats(rng, 2, 6)
    np.testing.assert_array_equal(run({"x": x})[0], x)
    with pytest.raises(Exception, match="2"):
        run({"x": floats(rng, 3, 6)})


def test_a_reshape_that_cannot_be_decided_asks_for_the_shape(make_graph):
    path = make_graph(
        [node("Reshape", ["x", "s"], ["y"])],
        {"x": ("float32", ["n", "m"])},
        {"y": "float32"},
        {"s": ints(4, 5)},
    )
    with pytest.raises(UnsupportedModelError, match="--shape"):
        import_onnx(find_model(path))
    assert import_onnx(find_model(path), {"x": (2, 10)}).outputs[0].shape == (4, 5)


def test_a_shape_that_depends_on_values_is_refused(make_graph):
    path = make_graph(
        [node("Reshape", ["x", "s"], ["y"])],
        {"x": ("float32", [2, 3]), "s": ("int64", [2])},
        {"y": "float32"},
    )
    with pytest.raises(UnsupportedModelError, match="depends on the values"):
        import_onnx(find_model(path))


@pytest.mark.parametrize(
    ("start", "end", "step"),
    [(0, 2, 1), (1, 1 << 62, 1), (-1, 1 << 31, 1), (0, -1, 1), (-3, -1, 1), (0, 1 << 31, 2), (2, 100, 1)],
)
def test_slices_of_a_dynamic_axis(check_graph, rng, start, end, step):
    check_graph(
        [node("Slice", ["x", "b", "e", "a", "s"], ["y"])],
        {"x": ("float32", ["n", 3])},
        {"y": "float32"},
        [{"x": floats(rng, 4, 3)}, {"x": floats(rng, 9, 3)}],
        constants={"b": ints(start), "e": ints(end), "a": ints(0), "s": ints(step)},
    )


def test_a_dynamic_axis_backwards(check_graph, rng):
    check_graph(
        [node("Slice", ["x", "b", "e", "a", "s"], ["y"])],
        {"x": ("float32", [2, "n"])},
        {"y": "float32"},
        [{"x": floats(rng, 2, 5)}, {"x": floats(rng, 2, 3)}],
        constants={"b": ints(-1), "e": ints(-(1 << 62)), "a": ints(1), "s": ints(-1)},
    )


def test_the_last_of_a_dynamic_axis_squeezed(check_graph, rng):
    check_graph(
        [node("Slice", ["x", "b", "e", "a"], ["t"]), node("Squeeze", ["t", "a"], ["y"])],
        {"x": ("float32", ["n", "t", 4])},
        {"y": "float32"},
        [{"x": floats(rng, 2, 5, 4)}, {"x": floats(rng, 1, 1, 4)}],
        constants={"b": ints(-1), "e": ints(1 << 62), "a": ints(1)},
    )


def test_positions_made_from_the_length(check_graph, rng):
    nodes = [
        node("Shape", ["ids"], ["s"], start=1, end=2),
        node("Squeeze", ["s"], ["length"]),
        node("Range", ["zero", "length", "one"], ["positions"]),
        node("Unsqueeze", ["positions", "axis"], ["row"]),
        node("Expand", ["row", "whole"], ["rows"]),
        node("Shape", ["ids"], ["whole"]),
        node("Gather", ["table", "rows"], ["p"]),
        node("Gather", ["table", "ids"], ["t"]),
        node("Add", ["p", "t"], ["y"]),
    ]
    nodes.insert(4, nodes.pop(5))
    constants = {
        "zero": np.array(0, "int64"),
        "one": np.array(1, "int64"),
        "axis": ints(0),
        "table": floats(rng, 20, 4),
    }
    check_graph(
        nodes,
        {"ids": ("int64", ["n", "t"])},
        {"y": "float32"},
        [{"ids": rng.integers(-20, 20, shape)} for shape in ((2, 5), (3, 9))],
        constants=constants,
    )


def test_a_branch_decided_by_the_rank(check_graph, rng):
    def branch(op):
        output = helper.make_tensor_value_info(f"{op}_out", 1, None)
        return helper.make_graph([node(op, ["x"], [f"{op}_out"])], op, [], [output])

    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Size", ["s"], ["rank"]),
        node("Equal", ["rank", "two"], ["c"]),
        node("If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("Abs")),
    ]
    check_graph(
        nodes,
        {"x": ("float32", ["n", 3])},
        {"y": "float32"},
        [{"x": floats(rng, 2, 3)}, {"x": floats(rng, 5, 3)}],
        constants={"two": np.array(2, "int64")},
    )


def test_inputs_that_must_have_one_size_share_its_symbol(check_graph, rng):
    check_graph(
        [node("Add", ["a", "b"], ["y"])],
        {"a": ("float32", ["n", 3]), "b": ("float32", ["m", 3])},
        {"y": "float32"},
        [{"a": floats(rng, n, 3), "b": floats(rng, n, 3)} for n in (2, 5)],
    )


def _of_eight(op, *weights, **attributes):
    """A node that reads the channels and weights of the given shapes."""
    names = [f"w{number}" for number in range(len(weights))]
    return node(op, ["channels", *names], ["y"], **attributes), weights


@pytest.mark.parametrize(
    "made",
    [
        _of_eight("Conv", (4, 8, 3), pads=[1, 1]),
        _of_eight("Conv", (4, 4, 3), pads=[1, 1], group=2),
        _of_eight("ConvTranspose", (8, 4, 3)),
        _of_eight("BatchNormalization", (8,), (8,), (8,), (8,)),
        _of_eight("InstanceNormalization", (8,), (8,)),
        _of_eight("LayerNormalization", (8, 8), (8, 8), axis=1),
        _of_eight("PRelu", (8, 1)),
    ],
    ids=lambda made: made[0].op_type,
)
def test_channels_computed_from_the_input_have_to_fit_the_weights(
    make_graph, run_compiled, run_reference, rng, made
):
    operator, shapes = made
    path = make_graph(
        [
            node("Transpose", ["x"], ["turned"], perm=[0, 2, 1]),
            node("MatMul", ["x", "turned"], ["channels"]),
            operator,
        ],
        {"x": ("float32", ["n", "t", "k"])},
        {"y": "float32"},
        {f"w{number}": abs(floats(rng, *shape)) for number, shape in enumerate(shapes)},
    )
    _, run = run_compiled(path)
    for shape in ((2, 8, 5), (1, 8, 3)):
        feeds = {"x": floats(rng, *shape)}
        for ours, theirs in zip(run(feeds), run_reference(path, feeds), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    with pytest.raises(RuntimeError, match="shape"):
        run({"x": floats(rng, 2, 7, 5)})


def test_rows_computed_from_the_input_have_to_fit_a_gemm(make_graph, run_compiled, run_reference, rng):
    path = make_graph(
        [
            node("Transpose", ["x"], ["turned"]),
            node("MatMul", ["x", "turned"], ["square"]),
            node("Gemm", ["square", "w"], ["y"], transB=1),
        ],
        {"x": ("float32", ["t", "k"])},
        {"y": "float32"},
        {"w": floats(rng, 4, 8)},
    )
    _, run = run_compiled(path)
    for columns in (3, 5):
        feeds = {"x": floats(rng, 8, columns)}
        np.testing.assert_allclose(run(feeds)[0], run_reference(path, feeds)[0], rtol=1e-4, atol=1e-4)
    with pytest.raises(RuntimeError, match="shape"):
        run({"x": floats(rng, 7, 3)})
