"""Files that cannot be compiled: one clear error each."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import helper

from paddle_tvm.compiler.frontends.onnx import import_onnx, missing_onnx_operators
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.runtime.errors import UnsupportedModelError, UsageError

RELU = [helper.make_node("Relu", ["x"], ["y"])]
X = {"x": ("float32", ["n", 4])}
Y = {"y": "float32"}


@pytest.fixture
def small_model(make_graph):
    """A matrix product with a weight of 16 KB."""
    weight = np.arange(64 * 64, dtype="float32").reshape(64, 64)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    return make_graph(nodes, {"x": ("float32", ["n", 64])}, Y, {"w": weight})


def refused(path, match):
    with pytest.raises(UnsupportedModelError, match=match):
        import_onnx(find_model(path))


@pytest.mark.parametrize("kept", [0, 1, 40, 1000, -1])
def test_a_truncated_file_is_refused(small_model, kept):
    small_model.write_bytes(small_model.read_bytes()[:kept])
    refused(small_model, "no ONNX model|damaged|breaks the rules|no outputs|no inputs")


def test_garbage_is_refused(tmp_path, rng):
    path = tmp_path / "model.onnx"
    path.write_bytes(rng.bytes(5000))
    refused(path, "no ONNX model")


def test_missing_external_weights_are_named(small_model):
    model = onnx.load(str(small_model))
    onnx.save_model(
        model, str(small_model), save_as_external_data=True, location="weights.data", size_threshold=0
    )
    (small_model.parent / "weights.data").unlink()
    refused(small_model, r"weights\.data")


def test_cut_off_external_weights_are_refused(small_model):
    model = onnx.load(str(small_model))
    onnx.save_model(
        model, str(small_model), save_as_external_data=True, location="weights.data", size_threshold=0
    )
    weights = small_model.parent / "weights.data"
    weights.write_bytes(weights.read_bytes()[:100])
    refused(small_model, "weight 'w' of shape \\[64, 64\\] cannot be read")


def test_external_weights_are_read(small_model):
    model = onnx.load(str(small_model))
    onnx.save_model(
        model, str(small_model), save_as_external_data=True, location="weights.data", size_threshold=0
    )
    assert import_onnx(find_model(small_model)).outputs[0].shape == ("n", 64)


def test_a_model_without_inputs_is_refused(make_graph):
    nodes = [helper.make_node("Relu", ["w"], ["y"])]
    refused(make_graph(nodes, {}, Y, {"w": np.ones(3, "float32")}), "has no inputs")


def test_a_newer_operator_set_is_refused_with_the_newest_known(make_graph):
    newest = onnx.defs.onnx_opset_version()
    refused(make_graph(RELU, X, Y, opset=newest + 1), f"export the model with opset_version={newest}")


def test_an_operator_set_from_before_broadcasting_is_refused(make_graph):
    refused(make_graph(RELU, X, Y, opset=6), "operator set 6; supported are 7")


def test_two_results_of_one_name_are_refused(make_graph):
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])]
    refused(make_graph(nodes, X, Y), "single static assignment")


def test_two_weights_of_one_name_are_refused(small_model):
    model = onnx.load(str(small_model))
    model.graph.initializer.append(model.graph.initializer[0])
    onnx.save_model(model, str(small_model))
    refused(small_model, "two weights are named 'w'")


def test_a_reference_to_nothing_is_refused(make_graph):
    refused(make_graph([helper.make_node("Relu", ["z"], ["y"])], X, Y), "breaks the rules of ONNX.*z")


def test_shapes_that_do_not_fit_together_are_refused(make_graph):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    refused(make_graph(nodes, X, Y, {"w": np.ones((5, 2), "float32")}), "does not fit together")


def test_missing_operators_are_counted_also_in_branches_and_other_domains(make_graph):
    branch = helper.make_graph(
        [helper.make_node("Det", ["x"], ["inner"])],
        "branch",
        [],
        [helper.make_tensor_value_info("inner", 1, None)],
    )
    nodes = [
        helper.make_node("If", ["c"], ["a"], then_branch=branch, else_branch=branch),
        helper.make_node("Det", ["x"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["d"], domain="my.domain"),
        helper.make_node("Relu", ["d"], ["y"]),
    ]
    path = make_graph(nodes, {"x": ("float32", [3, 3]), "c": ("bool", [])}, Y)
    expected = Counter({"Det": 3, "my.domain::Add": 1})
    assert missing_onnx_operators(find_model(path)) == expected
    refused(path, r"2 operators .* Det \(3 times\), my.domain::Add \(1 time\)")


def test_strings_are_refused(make_graph):
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    path = make_graph(nodes, X, Y)
    model = onnx.load(str(path))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.STRING
    onnx.save_model(model, str(path))
    refused(path, "'x' has the element type STRING")


def test_an_input_of_unknown_rank_needs_a_shape(make_graph):
    path = make_graph(RELU, {"x": ("float32", None)}, Y)
    refused(path, "--shape x=")
    assert import_onnx(find_model(path), {"x": (2, 3)}).outputs[0].shape == (2, 3)


def test_a_shape_for_no_input_is_a_usage_error(make_graph):
    with pytest.raises(UsageError, match="no input z; its inputs are x"):
        import_onnx(find_model(make_graph(RELU, X, Y)), {"z": (1, 4)})


def test_a_shape_against_the_model_is_a_usage_error(make_graph):
    with pytest.raises(UsageError, match="fixes it at 4"):
        import_onnx(find_model(make_graph(RELU, X, Y)), {"x": (1, 5)})


def test_one_name_with_two_values_is_a_usage_error(make_graph):
    nodes = [helper.make_node("Add", ["x", "z"], ["y"])]
    path = make_graph(nodes, {"x": ("float32", ["n"]), "z": ("float32", ["n"])}, Y)
    with pytest.raises(UsageError, match="'n' two values, 2 and 3"):
        import_onnx(find_model(path), {"x": (2,), "z": (3,)})


@pytest.mark.parametrize("kind", ["BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E5M2", "INT4", "UINT4"])
@pytest.mark.parametrize("keep_nodes", [False, True])
def test_casts_to_types_that_numpy_lacks_are_refused(make_graph, kind, keep_nodes):
    """ONNX puts a larger type in their place, and would not round."""
    to = getattr(onnx.TensorProto, kind)
    cast = helper.make_node("Cast", ["x"], ["c"], to=to)
    back = helper.make_node("Cast", ["c"], ["y"], to=onnx.TensorProto.FLOAT)
    path = make_graph([cast, back], X, Y, opset=21)
    with pytest.raises(UnsupportedModelError, match=rf"Cast .*result 'c'\): rounds to {kind}, a type"):
        import_onnx(find_model(path), keep_nodes=keep_nodes)


def test_quantisation_to_four_bits_is_refused(make_graph):
    weights = {"scale": np.array(0.5, "float32")}
    quantised = helper.make_node("QuantizeLinear", ["x", "scale"], ["q"], output_dtype=onnx.TensorProto.INT4)
    back = helper.make_node("DequantizeLinear", ["q", "scale"], ["y"])
    path = make_graph([quantised, back], X, Y, weights, opset=21)
    refused(path, "QuantizeLinear .*rounds to INT4")
