"""Operators with a converter of our own, and TVM's where they were wrong, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from paddle_tvm import compiler
from paddle_tvm.compiler.frontends.onnx import import_onnx
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.runtime.errors import UnsupportedModelError

node = helper.make_node


def ints(*values):
    return np.array(values, dtype="int64")


def floats(rng, *shape):
    return rng.standard_normal(shape).astype("float32")


def check_unary(check_graph, rng, nodes, symbols, shapes, constants=None, opset=17):
    """One float input ``x`` of several shapes, one float output ``y``."""
    feeds = [{"x": floats(rng, *shape)} for shape in shapes]
    check_graph(nodes, {"x": ("float32", symbols)}, {"y": "float32"}, feeds, constants=constants, opset=opset)


@pytest.mark.parametrize("repeats", [(1, 1, 1), (6, 4, 2), (1, 3, 1)])
def test_tile(check_graph, rng, repeats):
    constants = {"r": ints(*repeats)}
    check_unary(
        check_graph, rng, [node("Tile", ["x", "r"], ["y"])], ["n", 4, 5], [(3, 4, 5), (2, 4, 5)], constants
    )


@pytest.mark.parametrize("target", [(3, 4), (1, 4), (2, 1, 1), (2, 3, 4)])
def test_expand(check_graph, rng, target):
    constants = {"s": ints(*target)}
    check_unary(check_graph, rng, [node("Expand", ["x", "s"], ["y"])], [3, 1], [(3, 1)], constants)


@pytest.mark.parametrize("sizes", [None, (2, 3, 1)])
def test_split(check_graph, rng, sizes):
    inputs = ["x"] if sizes is None else ["x", "s"]
    x = [{"x": floats(rng, n, 6)} for n in (2, 3)]
    check_graph(
        [node("Split", inputs, ["a", "b", "c"], axis=-1)],
        {"x": ("float32", ["n", 6])},
        {"c": "float32", "a": "float32", "b": "float32"},
        x,
        constants=None if sizes is None else {"s": ints(*sizes)},
    )


def test_a_split_that_leaves_a_smaller_part(check_graph, rng):
    check_graph(
        [node("Split", ["x"], ["a", "b"], axis=1, num_outputs=2)],
        {"x": ("float32", ["n", 5])},
        {"a": "float32", "b": "float32"},
        [{"x": floats(rng, 2, 5)}],
        opset=18,
    )


@pytest.mark.parametrize(("axis", "largest", "count"), [(-1, 1, 3), (0, 0, 2), (1, 1, 19)])
def test_topk(check_graph, rng, axis, largest, count):
    check_graph(
        [node("TopK", ["x", "k"], ["values", "indices"], axis=axis, largest=largest)],
        {"x": ("float32", ["n", 20, "m"])},
        {"values": "float32", "indices": "int64"},
        [{"x": floats(rng, *shape)} for shape in ((2, 20, 5), (3, 20, 4))],
        constants={"k": ints(count)},
    )


def test_topk_of_equal_elements_takes_the_first(check_graph, rng):
    x = rng.integers(0, 3, (4, 30)).astype("float32")
    check_graph(
        [node("TopK", ["x"], ["values", "indices"], k=5)],
        {"x": ("float32", [4, 30])},
        {"values": "float32", "indices": "int64"},
        [{"x": x}],
        opset=9,
    )


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_cumulative_sums(check_graph, rng, dtype, exclusive, reverse):
    axes = {"first": np.int64(0), "middle": np.int32(-2), "last": ints(-1)}
    check_graph(
        [node("CumSum", ["x", axis], [f"y_{axis}"], exclusive=exclusive, reverse=reverse) for axis in axes],
        {"x": (dtype, ["n", 3, "m"])},
        {f"y_{axis}": dtype for axis in axes},
        [{"x": (9 * rng.standard_normal(shape)).astype(dtype)} for shape in ((2, 3, 70), (5, 3, 1))],
        constants=axes,
    )


def test_a_cumulative_sum_of_a_vector_and_of_nan(check_graph):
    x = np.float32([1, np.inf, 2, -np.inf, 3, np.nan])
    check_graph(
        [node("CumSum", ["x", "a"], ["y"]), node("CumSum", ["x", "a"], ["z"], reverse=1)],
        {"x": ("float32", ["n"])},
        {"y": "float32", "z": "float32"},
        [{"x": x[:count]} for count in (1, 3, 6)],
        constants={"a": np.int64(0)},
    )


@pytest.mark.parametrize("target", ["onednn", "onnxruntime", "cuda"])
def test_cumulative_sums_on_other_targets(make_graph, rng, tmp_path, target, request):
    if target == "cuda":
        request.getfixturevalue("emulator")
    modes = [(exclusive, reverse) for exclusive in (0, 1) for reverse in (0, 1)]
    nodes = [node("MatMul", ["x", "w"], ["h"])]
    nodes += [
        node("CumSum", ["h", "a"], [f"y{2 * exclusive + reverse}"], exclusive=exclusive, reverse=reverse)
        for exclusive, reverse in modes
    ]
    path = make_graph(
        nodes,
        {"x": ("float32", ["n", 6, 8])},
        {f"y{index}": "float32" for index in range(4)},
        {"w": floats(rng, 8, 5), "a": np.int64(-2)},
    )
    shapes = [{"x": (2, 6, 8)}, {"x": (3, 6, 8)}]
    compiler.compile(path, tmp_path / "a.pdtvm", target=target, shapes=shapes, verify=True)


@pytest.mark.parametrize("axis", [0, 1, -1, 3])
def test_flatten(check_graph, rng, axis):
    nodes = [node("Flatten", ["x"], ["y"], axis=axis)]
    check_unary(check_graph, rng, nodes, ["n", 2, 3], [(4, 2, 3), (1, 2, 3)])


def test_flatten_of_everything_dynamic(check_graph, rng):
    check_unary(check_graph, rng, [node("Flatten", ["x"], ["y"])], ["a", "b", "c"], [(4, 2, 3), (1, 5, 2)])


def test_squeeze_and_unsqueeze_with_attributes(check_graph, rng):
    nodes = [
        node("Unsqueeze", ["x"], ["t"], axes=[0, 3]),
        node("Squeeze", ["t"], ["y"], axes=[0]),
    ]
    check_unary(check_graph, rng, nodes, ["n", 3], [(2, 3), (4, 3)], opset=11)


@pytest.mark.parametrize("index", [0, -1, (2, 0), ((1, -3),)])
def test_gather_by_constants(check_graph, rng, index):
    constants = {"i": np.array(index, "int64")}
    nodes = [node("Gather", ["x", "i"], ["y"], axis=1)]
    check_unary(check_graph, rng, nodes, ["n", 3], [(2, 3), (4, 3)], constants)


@pytest.mark.parametrize("batch", ["same", "broadcast"])
def test_matmul_of_dynamic_batches(check_graph, rng, batch):
    other = ["n", "h", "d", "t"] if batch == "same" else [1, "h", "d", "t"]
    check_graph(
        [node("MatMul", ["a", "b"], ["y"])],
        {"a": ("float32", ["n", "h", "t", "d"]), "b": ("float32", other)},
        {"y": "float32"},
        [
            {"a": floats(rng, n, 2, t, 4), "b": floats(rng, n if batch == "same" else 1, 2, 4, t)}
            for n, t in ((2, 3), (3, 5))
        ],
    )


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_gemm(check_graph, rng, alpha):
    constants = {"w": floats(rng, 5, 3), "b": floats(rng, 5)}
    nodes = [node("Gemm", ["x", "w", "b"], ["y"], alpha=alpha, beta=2.0, transB=1)]
    check_unary(check_graph, rng, nodes, ["n", 3], [(2, 3), (4, 3)], constants)


@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
@pytest.mark.parametrize("rounding", ["round_prefer_floor", "floor", "ceil", "round_prefer_ceil"])
def test_nearest_resize_to_sizes(check_graph, rng, coordinates, rounding):
    nodes = [
        node(
            "Resize",
            ["x", "", "", "s"],
            ["y"],
            mode="nearest",
            coordinate_transformation_mode=coordinates,
            nearest_mode=rounding,
        )
    ]
    check_unary(check_graph, rng, nodes, ["n", 2, 4, 6], [(1, 2, 4, 6)], {"s": ints(1, 2, 7, 3)})


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scale", [2.0, 3.0])
def test_resize_of_a_dynamic_picture(check_graph, rng, mode, scale):
    nodes = [
        node(
            "Resize",
            ["x", "", "s"],
            ["y"],
            mode=mode,
            coordinate_transformation_mode="asymmetric" if mode == "nearest" else "half_pixel",
            nearest_mode="floor",
        )
    ]
    constants = {"s": np.array([1, 1, scale, scale], "float32")}
    check_unary(check_graph, rng, nodes, ["n", 2, "h", "w"], [(1, 2, 4, 6), (2, 2, 3, 5)], constants)


def test_resize_to_the_size_of_another(check_graph, rng):
    nodes = [
        node("Shape", ["z"], ["all"]),
        node("Slice", ["all", "two", "four"], ["spatial"]),
        node("Shape", ["x"], ["own"]),
        node("Slice", ["own", "zero", "two"], ["lead"]),
        node("Concat", ["lead", "spatial"], ["size"], axis=0),
        node("Resize", ["x", "", "", "size"], ["y"], mode="linear"),
    ]
    check_graph(
        nodes,
        {"x": ("float32", ["n", 2, "h", "w"]), "z": ("float32", ["n", 1, "H", "W"])},
        {"y": "float32"},
        [
            {"x": floats(rng, 1, 2, 3, 4), "z": floats(rng, 1, 1, 6, 7)},
            {"x": floats(rng, 2, 2, 4, 4), "z": floats(rng, 2, 1, 8, 8)},
        ],
        constants={"zero": ints(0), "two": ints(2), "four": ints(4)},
    )


@pytest.mark.parametrize("pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("op", ["Conv", "MaxPool", "AveragePool"])
def test_automatic_padding(check_graph, rng, op, pad):
    inputs = ["x", "w"] if op == "Conv" else ["x"]
    nodes = [node(op, inputs, ["y"], kernel_shape=[3, 2], strides=[2, 1], auto_pad=pad)]
    constants = {"w": floats(rng, 4, 3, 3, 2)} if op == "Conv" else None
    check_unary(check_graph, rng, nodes, ["n", 3, 8, 7], [(1, 3, 8, 7), (2, 3, 8, 7)], constants)


def test_batch_norm_and_dropout_as_in_inference(check_graph, rng):
    names = ("scale", "bias", "mean")
    constants = {name: floats(rng, 3) for name in names} | {"var": np.abs(floats(rng, 3)) + 0.5}
    nodes = [
        node("BatchNormalization", ["x", *names, "var"], ["t"]),
        node("Dropout", ["t"], ["y"]),
    ]
    check_unary(check_graph, rng, nodes, ["n", 3, "h", 4], [(1, 3, 2, 4), (2, 3, 5, 4)], constants)


def test_a_power_with_an_integer_exponent(check_graph, rng):
    check_unary(check_graph, rng, [node("Pow", ["x", "p"], ["y"])], ["n"], [(3,), (5,)], {"p": ints(2)})


def test_layer_normalization(check_graph, rng):
    nodes = [node("LayerNormalization", ["x", "g", "b"], ["y"], axis=-1)]
    constants = {"g": floats(rng, 8), "b": floats(rng, 8)}
    check_unary(check_graph, rng, nodes, ["n", "t", 8], [(2, 3, 8), (1, 5, 8)], constants)


def test_constants_are_computed_while_importing(make_graph):
    nodes = [
        node("Constant", [], ["c"], value_ints=[2, 3]),
        node("Cast", ["c"], ["f"], to=1),
        node("Sqrt", ["f"], ["r"]),
        node("Add", ["x", "r"], ["y"]),
    ]
    path = make_graph(nodes, {"x": ("float32", ["n", 2])}, {"y": "float32"})
    assert str(import_onnx(find_model(path)).module).count("R.add") == 1
    assert "sqrt" not in str(import_onnx(find_model(path)).module)


X = {"x": ("float32", [1, 2, 4, 4])}


@pytest.mark.parametrize(
    ("made", "constants", "match"),
    [
        (node("IsInf", ["x"], ["y"], detect_negative=0), {}, "one sign"),
        (node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2]), {}, "result 'i' is not supported"),
        (
            node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], ceil_mode=1, count_include_pad=1),
            {},
            "ceil_mode together",
        ),
        (node("Pad", ["x", "p"], ["y"]), {"p": ints(0, 0, -1, 0, 0, 0, 0, 0)}, "negative pads"),
        (node("Resize", ["x", "", "s"], ["y"]), {"s": np.array([1, 1, 1.3, 1], "float32")}, "whole number"),
        (node("Gather", ["x", "i"], ["y"]), {"i": ints(1)}, "outside"),
        (node("CumSum", ["x", "a"], ["y"]), {"a": ints(4)}, "not one axis of an input of rank 4"),
    ],
    ids=lambda value: value.op_type if hasattr(value, "op_type") else "",
)
def test_uses_that_would_go_wrong_are_refused(make_graph, made, constants, match):
    outputs = {"y": "bool" if made.op_type == "IsInf" else "float32"}
    if "i" in made.output:
        outputs["i"] = "int64"
    path = make_graph([made], X, outputs, constants)
    with pytest.raises(UnsupportedModelError, match=match):
        import_onnx(find_model(path))


@pytest.mark.parametrize(
    "made",
    [
        node("Clip", ["x", "low", "high"], ["y"]),
        node("Clip", ["x", "low"], ["y"]),
        node("Clip", ["x", "", "high"], ["y"]),
        node("Clip", ["x", "nan", "high"], ["y"]),
        node("Relu", ["x"], ["y"]),
        node("HardSigmoid", ["x"], ["y"], alpha=0.3),
        node("HardSwish", ["x"], ["y"]),
        node("Elu", ["x"], ["y"], alpha=0.7),
        node("Selu", ["x"], ["y"]),
        node("ThresholdedRelu", ["x"], ["y"]),
        node("Sign", ["x"], ["y"]),
        node("Max", ["x", "low"], ["y"]),
        node("Max", ["row", "x", "high"], ["y"]),
        node("Min", ["high", "x"], ["y"]),
        node("Min", ["x", "row"], ["y"]),
    ],
    ids=lambda made: "-".join([made.op_type, *made.input]),
)
def test_nan_and_infinities(check_graph, rng, made):
    constants = {
        "low": np.float32(-1),
        "high": np.float32(2),
        "nan": np.float32(np.nan),
        "row": np.float32([0, np.nan, -np.inf, 1, np.inf]),
    }
    x = floats(rng, 3, 5)
    x[0], x[1, :3] = np.nan, [np.nan, np.inf, -np.inf]
    used = {name: value for name, value in constants.items() if name in made.input}
    check_graph([made], {"x": ("float32", ["n", 5])}, {"y": "float32"}, [{"x": x}], constants=used)


def test_clip_with_attributes(check_graph, rng):
    check_unary(
        check_graph, rng, [node("Clip", ["x"], ["y"], min=-0.5, max=0.25)], ["n", 7], [(3, 7)], opset=10
    )


def test_extremes_of_tensors_and_of_integers(check_graph, rng):
    a, b = floats(rng, 3, 4), floats(rng, 3, 4)
    a[0], b[1], a[2, :2] = np.nan, np.nan, np.inf
    k = rng.integers(-9, 9, (3, 4))
    check_graph(
        [
            node("Max", ["a", "b", "a"], ["most"]),
            node("Min", ["a", "b"], ["least"]),
            node("Max", ["k", "two"], ["whole"]),
            node("Clip", ["k", "two"], ["clipped"]),
        ],
        {"a": ("float32", ["n", 4]), "b": ("float32", ["n", 4]), "k": ("int64", ["n", 4])},
        {"most": "float32", "least": "float32", "whole": "int64", "clipped": "int64"},
        [{"a": a, "b": b, "k": k}],
        constants={"two": np.int64(2)},
    )


@pytest.mark.parametrize(("dtype", "zero_point"), [("uint8", 128), ("uint8", 3), ("int8", 0), ("int8", -20)])
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_quantisation_and_back(check_graph, rng, dtype, zero_point, axis):
    count = {None: (), 0: (3,), -1: (5,)}[axis]
    constants = {
        "s": rng.uniform(0.01, 0.03, count).astype("float32"),
        "z": np.full(count, zero_point, dtype),
    }
    attributes = {} if axis is None else {"axis": axis}
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], **attributes),
        node("DequantizeLinear", ["q", "s", "z"], ["y"], **attributes),
    ]
    feeds = [{"x": floats(rng, 3, 4, 5) * 3} for _ in range(3)]
    check_graph(
        nodes, {"x": ("float32", [3, "n", 5])}, {"q": dtype, "y": "float32"}, feeds, constants=constants
    )


def test_halves_are_quantised_to_even(check_graph):
    x = np.arange(-4, 4, 0.25, "float32")
    nodes = [node("QuantizeLinear", ["x", "s"], ["y"])]
    constants = {"s": np.float32(0.5)}
    check_graph(nodes, {"x": ("float32", [32])}, {"y": "uint8"}, [{"x": x}], constants=constants)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_dequantised_constants(check_graph, rng, axis):
    count = {None: (), 0: (4,), 1: (3,)}[axis]
    attributes = {} if axis is None else {"axis": axis}
    constants = {
        "b": rng.integers(-1000, 1000, (4, 3)).astype("int32"),
        "w": rng.integers(-128, 128, (4, 3)).astype("int8"),
        "s": rng.uniform(0.01, 0.03, count).astype("float32"),
        "z": rng.integers(-9, 9, count).astype("int8"),
    }
    nodes = [
        node("DequantizeLinear", ["b", "s"], ["bias"], **attributes),
        node("DequantizeLinear", ["w", "s", "z"], ["weights"], **attributes),
        node("Add", ["x", "bias"], ["t"]),
        node("Mul", ["t", "weights"], ["y"]),
    ]
    check_unary(check_graph, rng, nodes, ["n", 4, 3], [(1, 4, 3), (2, 4, 3)], constants)
