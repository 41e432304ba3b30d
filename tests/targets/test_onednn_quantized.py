"""Quantised models in oneDNN against the float simulation of the same graph, as ONNX Runtime computes it.

ONNX Runtime does what the graph says, without optimisation: it dequantises, computes in float32, and rounds.
The integers of a result may differ from it by one where the number before rounding is a tie but for the error
of float32; both files are made of the same nodes, and the reference gives those numbers out, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import paddle
import pytest
import tvm_ffi
from onnx import helper
from paddle import nn
from paddle.quantization import PTQ, QuantConfig
from paddle.quantization.observers import AbsmaxObserver
from paddle.static import InputSpec

from paddle_tvm import compiler, runtime
from paddle_tvm.compiler.cli.main import run_command_line
from paddle_tvm.compiler.profiling.kernel_table import KernelTable, kernels_file, read_kernel_table
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.cpu import cpu_features

Arrays = dict[str, np.ndarray]

pytestmark = pytest.mark.skipif(
    not {"avx512_vnni", "avx_vnni"} & cpu_features(),
    reason="this machine's CPU has neither avx512_vnni nor avx_vnni, without which products stay in float32",
)


INPUT_SCALE = 0.02


class Graph:
    """An ONNX graph in the making, of one float32 input ``x``."""

    def __init__(self, shape: Sequence[int], seed: int = 0) -> None:
        self.shape = tuple(shape)
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: Arrays = {}
        # Of each output, the number before rounding, its scale, and its zero point.
        self.outputs: dict[str, tuple[str, float, int]] = {}

    def add(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def constant(self, array: Any, dtype: str) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array, dtype)
        return name

    def quantize(self, value: str, scale: float, zero_point: int, dtype: str) -> str:
        return self.add(
            "QuantizeLinear", [value, self.constant(scale, "float32"), self.constant(zero_point, dtype)]
        )

    def dequantize(self, value: str, scale: Any, zero_point: Any, dtype: str, axis: int | None = None) -> str:
        parameters = [self.constant(scale, "float32"), self.constant(zero_point, dtype)]
        return self.add("DequantizeLinear", [value, *parameters], **({} if axis is None else {"axis": axis}))

    def rounded(self, value: str, scale: float, zero_point: int, dtype: str) -> str:
        """Through integers and back."""
        return self.dequantize(self.quantize(value, scale, zero_point, dtype), scale, zero_point, dtype)

    def weights(self, shape: Sequence[int], axis: int | None = None) -> str:
        """Dequantised int8 weights: a scale for all, or for each place of an axis."""
        integers = self.constant(self.rng.integers(-127, 128, shape), "int8")
        count = 1 if axis is None else shape[axis]
        scales = self.rng.uniform(0.002, 0.02, count)
        if axis is None:
            return self.dequantize(integers, scales[0], 0, "int8")
        return self.dequantize(integers, scales, np.zeros(count), "int8", axis)

    def bias(self, count: int, scale: float = 0.004) -> str:
        integers = self.constant(self.rng.integers(-200, 200, count), "int32")
        return self.dequantize(integers, np.full(count, scale), np.zeros(count), "int32", 0)

    def output(self, value: str, scale: float, zero_point: int, dtype: str) -> None:
        self.outputs[self.rounded(value, scale, zero_point, dtype)] = (value, scale, zero_point)

    def input(self) -> np.ndarray:
        """Random numbers that are no ties: what is rounded differently there differs in every product."""
        quanta = np.rint(self.rng.standard_normal(self.shape) / INPUT_SCALE)
        between = self.rng.uniform(-0.45, 0.45, self.shape)
        return ((quanta + between) * INPUT_SCALE).astype("float32")

    def save(self, path: Path, outputs: Sequence[str]) -> Path:
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
            [onnx.numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save_model(model, str(path))
        return path


class Quantized:
    """A graph compiled for oneDNN, and its simulation."""

    def __init__(self, folder: Path, graph: Graph, **options: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.graph = graph
        self.artifact = folder / "model.pdtvm"
        compiler.compile(
            graph.save(folder / "model.onnx", [*graph.outputs]), self.artifact, target="onednn", **options
        )
        exact = [exact for exact, _, _ in graph.outputs.values()]
        path = graph.save(folder / "simulation.onnx", [*graph.outputs, *exact])
        settings = onnxruntime.SessionOptions()
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        settings.intra_op_num_threads = 1
        self.simulation = onnxruntime.InferenceSession(
            str(path), settings, providers=["CPUExecutionProvider"]
        )
        config = runtime.Config(str(self.artifact))
        config.set_cpu_math_library_num_threads(2)
        self.predictor = runtime.create_predictor(config)

    def check(self, rounds: int) -> None:
        """Run random inputs: integers are equal, or were a tie."""
        for _ in range(rounds):
            x = self.graph.input()
            expected = self.simulation.run(None, {"x": x})
            count = len(self.graph.outputs)
            for got, wanted, exact, (_, scale, zero_point) in zip(
                self.predictor.run([x]),
                expected[:count],
                expected[count:],
                self.graph.outputs.values(),
                strict=True,
            ):
                quanta = np.rint(got / scale) - np.rint(wanted / scale)
                assert np.abs(quanta).max() <= 1
                numbers = exact[quanta != 0] / scale + zero_point
                np.testing.assert_allclose(numbers - np.floor(numbers), 0.5, atol=2e-3)

    def described(self) -> list[tuple[str, str, str]]:
        """What oneDNN runs: name, implementation, layouts."""
        return _described(self.artifact)

    def left(self) -> Mapping[str, str]:
        return self.table().left["main"]

    def table(self) -> KernelTable:
        (variant,) = read_manifest(self.artifact).variants
        return read_kernel_table((self.artifact / kernels_file(variant.library)).read_bytes(), "")


def _described(artifact: Path) -> list[tuple[str, str, str]]:
    """What oneDNN runs in an artifact that is loaded."""
    module = tvm_ffi.load_module(str(artifact / "model.so"))
    (variant,) = read_manifest(artifact).variants
    described = [module.get_function(f"{name}_describe", True)() for name in variant.loads]
    return [tuple(step) for text in described for step in json.loads(text)]


KINDS = [("uint8", 128), ("uint8", 0), ("uint8", 37), ("int8", 0), ("int8", -11)]


def test_convolutions(tmp_path: Path) -> None:
    graph = Graph((2, 16, 9, 7))
    for number, (dtype, zero_point) in enumerate(KINDS):
        x = graph.rounded("x", INPUT_SCALE, zero_point, dtype)
        per_channel = 0 if number % 2 else None
        for shape, attributes in (
            ((24, 16, 3, 3), {"pads": [1, 1, 1, 1]}),
            ((8, 16, 1, 1), {"strides": [2, 2]}),
            ((32, 4, 3, 3), {"group": 4, "pads": [0, 1, 1, 2]}),
            ((16, 1, 5, 5), {"group": 16, "pads": [2, 2, 2, 2]}),
            ((7, 16, 3, 3), {"dilations": [2, 2], "pads": [2, 2, 2, 2]}),
        ):
            operands = [x, graph.weights(shape, per_channel)]
            if number != 2:
                operands.append(graph.bias(shape[0]))
            y = graph.add("Conv", operands, **attributes)
            if number % 2:
                y = graph.add("Relu", [y])
            graph.output(y, 0.05, zero_point, dtype)
    model = Quantized(tmp_path, graph)
    model.check(20)
    assert not model.left()
    products = [(name, layouts) for name, _, layouts in model.described() if "convolution" in name]
    assert len(products) == 5 * len(KINDS)
    # They read integers, and write them.
    assert all(set(layouts.replace(" -> ", " ").split()) & {"u8", "s8"} for _, layouts in products)
    assert not any("bf16" in layouts or "f32" in layouts for _, layouts in products)


def test_products_of_matrices(tmp_path: Path) -> None:
    graph = Graph((2, 5, 24))
    for number, (dtype, zero_point) in enumerate(KINDS):
        x = graph.rounded("x", INPUT_SCALE, zero_point, dtype)
        weights = graph.weights((24, 40), 1 if number % 2 else None)
        y = graph.add("MatMul", [x, weights])
        graph.output(graph.add("Add", [y, graph.bias(40)]), 0.04, zero_point, dtype)
        rows = graph.add("Reshape", [x, graph.constant([10, 24], "int64")])
        gemm = graph.add(
            "Gemm", [rows, graph.weights((9, 24), 0 if number % 2 else None), graph.bias(9)], transB=1
        )
        graph.output(gemm, 0.03, zero_point, dtype)
    model = Quantized(tmp_path, graph)
    model.check(20)
    assert not model.left()
    products = [layouts for name, _, layouts in model.described() if "matmul" in name]
    assert len(products) == 2 * len(KINDS)
    assert all(layouts.startswith(("u8 ", "s8 ")) for layouts in products)


def test_sums_pooling_and_views(tmp_path: Path) -> None:
    graph = Graph((1, 16, 12, 12))
    # Other integers of another scale, and no ties either.
    turned = graph.add("Transpose", ["x"], perm=[0, 1, 3, 2])
    larger = graph.add("Mul", [turned, graph.constant(2.5, "float32")])
    for dtype, zero_point in KINDS:
        x = graph.rounded("x", INPUT_SCALE, zero_point, dtype)
        y = graph.rounded(larger, 2.5 * INPUT_SCALE, zero_point + 3, dtype)
        graph.output(graph.add("Relu", [graph.add("Add", [y, x])]), 0.061, zero_point, dtype)
        graph.output(graph.add("Sub", [x, y]), 0.053, zero_point, dtype)
        graph.output(
            graph.add("Add", [graph.add("Conv", [x, graph.weights((16, 16, 1, 1))]), y]), 0.1, 0, "int8"
        )
        pooled = graph.add("MaxPool", [y], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        graph.output(pooled, 2.5 * INPUT_SCALE, zero_point + 3, dtype)
        graph.output(graph.add("AveragePool", [y], kernel_shape=[3, 3]), 0.023, zero_point, dtype)
        rows = graph.add("Transpose", [y], perm=[0, 2, 3, 1])
        graph.output(graph.add("MatMul", [rows, graph.weights((16, 8))]), 0.1, zero_point, dtype)
    model = Quantized(tmp_path, graph)
    model.check(20)
    assert not model.left()
    described = model.described()
    pooling = [layouts for name, _, layouts in described if name == "pooling" and layouts[0] in "us"]
    assert len(pooling) == len(KINDS)
    assert sum(name.startswith("binary") for name, _, _ in described) == 2 * len(KINDS)


def test_roundings_add_up_to_little_in_a_network(tmp_path: Path) -> None:
    """A tie that falls to the other side is seen by what comes after it."""
    graph = Graph((1, 16, 14, 14))
    value = graph.rounded("x", INPUT_SCALE, 128, "uint8")
    for _ in range(4):
        branch = graph.add(
            "Conv", [value, graph.weights((16, 16, 3, 3), 0), graph.bias(16)], pads=[1, 1, 1, 1]
        )
        branch = graph.rounded(graph.add("Relu", [branch]), 0.05, 0, "uint8")
        branch = graph.add("Conv", [branch, graph.weights((16, 16, 1, 1), 0)])
        branch = graph.rounded(branch, 0.1, 120, "uint8")
        value = graph.rounded(graph.add("Relu", [graph.add("Add", [branch, value])]), 0.08, 0, "uint8")
    graph.output(graph.add("GlobalAveragePool", [value]), 0.005, 0, "uint8")
    model = Quantized(tmp_path, graph)
    for _ in range(20):
        x = graph.input()
        (got,), (wanted, _) = model.predictor.run([x]), model.simulation.run(None, {"x": x})
        assert np.abs(got - wanted).max() <= 0.01 * np.abs(wanted).max()
    names = [name for name, _, _ in model.described()]
    assert sum("convolution" in name for name in names) == 8
    # Before the mean, and of the result.
    assert sum("dequantization" in name for name in names) <= 2


def test_weights_that_several_products_read(tmp_path: Path) -> None:
    graph = Graph((1, 8, 6, 6))
    x = graph.rounded("x", INPUT_SCALE, 7, "uint8")
    small = graph.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    weights, bias = graph.weights((8, 8, 3, 3), 0), graph.bias(8)
    for level in (x, small, graph.rounded(small, INPUT_SCALE, 7, "uint8")):
        graph.output(graph.add("Conv", [level, weights, bias], pads=[1, 1, 1, 1]), 0.1, 3, "int8")
    # Not of an integer source.
    graph.output(graph.add("Conv", ["x", weights]), 0.1, 0, "int8")
    square, rows = graph.weights((6, 6)), graph.add("Reshape", [x, graph.constant([48, 6], "int64")])
    graph.output(graph.add("Gemm", [rows, square], transB=1), 0.05, 0, "int8")
    graph.output(graph.add("MatMul", [rows, square]), 0.05, 0, "int8")
    # Its values are asked for, too.
    graph.output(graph.add("Mul", [square, graph.constant(2, "float32")]), 0.01, 0, "int8")
    model = Quantized(tmp_path, graph)
    model.check(10)


def test_scales_of_matrices_are_of_their_columns(tmp_path: Path) -> None:
    graph = Graph((2, 5, 8))
    x = graph.rounded("x", INPUT_SCALE, 10, "uint8")
    for shape, axis in (((2, 8, 8), 1), ((2, 8, 9), 1), ((2, 8, 9), 2), ((2, 8, 8), None)):
        graph.output(graph.add("MatMul", [x, graph.weights(shape, axis)]), 0.05, 0, "int8")
    model = Quantized(tmp_path, graph)
    model.check(10)


def test_constants_that_are_read_in_two_ways(tmp_path: Path) -> None:
    graph = Graph((1, 8, 6, 6))
    x = graph.rounded("x", INPUT_SCALE, 0, "int8")
    y = graph.rounded(graph.add("Conv", [x, graph.weights((8, 8, 1, 1), 0)]), 0.05, 0, "int8")
    constant = graph.dequantize(
        graph.constant(graph.rng.integers(-127, 127, (1, 8, 6, 6)), "int8"), 0.0301, 0, "int8"
    )
    graph.output(graph.add("Add", [y, constant]), 0.0507, 0, "int8")
    turned = graph.add("Transpose", [constant], perm=[0, 1, 3, 2])
    graph.output(graph.add("Sub", [turned, y]), 0.0613, 0, "int8")
    # Rounded to what it is.
    again = graph.rounded(constant, 0.0301, 0, "int8")
    graph.output(graph.add("Add", [y, again]), 0.0617, 0, "int8")
    model = Quantized(tmp_path, graph)
    model.check(10)


def test_arithmetic_that_quantisation_cancels(tmp_path: Path) -> None:
    graph = Graph((1, 8, 6, 6))
    scaled = graph.add("Mul", ["x", graph.constant(0.5, "float32")])
    rounded = graph.rounded(scaled, 0.5, 0, "int8")
    graph.output(graph.add("Conv", [rounded, graph.weights((8, 8, 1, 1), 0)]), 0.0313, 0, "int8")
    model = Quantized(tmp_path, graph)
    model.check(10)


def test_scales_that_have_no_inverse_are_left(tmp_path: Path) -> None:
    graph = Graph((1, 8, 6, 6))
    x = graph.rounded("x", INPUT_SCALE, 7, "uint8")
    graph.output(graph.add("Conv", [x, graph.weights((8, 8, 1, 1), 0)]), 1e-40, 3, "uint8")
    model = Quantized(tmp_path, graph)
    assert any("its scale is" in reason for reason in model.left().values())


def test_what_is_not_symmetric_is_computed_in_float32(tmp_path: Path) -> None:
    graph = Graph((1, 8, 6, 6))
    x = graph.rounded("x", INPUT_SCALE, 10, "uint8")
    unsigned = graph.constant(graph.rng.integers(0, 256, (8, 8, 3, 3)), "uint8")
    graph.output(graph.add("Conv", [x, graph.dequantize(unsigned, 0.01, 128, "uint8")]), 0.1, 0, "int8")
    shifted = graph.constant(graph.rng.integers(-128, 128, (8, 8, 3, 3)), "int8")
    graph.output(graph.add("Conv", [x, graph.dequantize(shifted, 0.01, 3, "int8")]), 0.1, 0, "int8")
    # The source is no integer: weights are what is left to be multiplied.
    graph.output(graph.add("Conv", ["x", graph.weights((8, 8, 3, 3), 0)]), 0.1, 0, "int8")
    model = Quantized(tmp_path, graph)
    model.check(10)
    assert not model.left()
    assert sum("convolution" in name for name, _, _ in model.described()) == 3


def test_products_are_in_float32_for_cpus_without_their_instructions(tmp_path: Path) -> None:
    graph = Graph((1, 8, 6, 6))
    x = graph.rounded("x", INPUT_SCALE, 10, "uint8")
    graph.output(graph.add("Conv", [x, graph.weights((8, 8, 3, 3), 0), graph.bias(8)]), 0.1, 0, "int8")
    model = Quantized(tmp_path, graph, mcpu="haswell")
    model.check(10)
    assert not model.left()
    (layouts,) = [layouts for name, _, layouts in model.described() if "convolution" in name]
    assert "u8" not in layouts
    # So that their rates are compared with the peak, which is float32's.
    assert model.table().arithmetic("main") == ()


def test_shares_of_the_float32_peak_are_not_given_of_what_is_computed_on_integers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = Graph((1, 8, 6, 6))
    x = graph.rounded("x", INPUT_SCALE, 10, "uint8")
    graph.output(graph.add("Conv", [x, graph.weights((8, 8, 3, 3), 0), graph.bias(8)]), 0.1, 0, "int8")
    model = Quantized(tmp_path, graph)
    assert model.table().arithmetic("main") == ("int8",)
    assert run_command_line(["profile", str(model.artifact), "--rounds", "2", "--json"]) == 0
    (kernel,) = json.loads(capsys.readouterr().out)["kernels"]
    assert kernel["schedule"]["arithmetic"] == "int8"
    assert kernel["gflops"] > 0
    assert kernel["share_of_peak"] is None
    assert run_command_line(["profile", str(model.artifact), "--rounds", "2"]) == 0
    shown = capsys.readouterr().out
    assert "subgraph in onednn, in int8" in shown
    assert "no share of peak for what is computed in int8: the peak is that of float32" in shown
    assert "Winograd" not in shown


def test_quantised_products_beside_bfloat16(tmp_path: Path) -> None:
    """Integers are computed as ever; what has none is in bfloat16."""
    if "avx512_bf16" not in cpu_features():
        pytest.skip("this machine's CPU has no avx512_bf16, which bfloat16 needs")
    graph = Graph((1, 8, 6, 6))
    x = graph.rounded("x", INPUT_SCALE, 10, "uint8")
    graph.output(graph.add("Conv", [x, graph.weights((8, 8, 3, 3), 0), graph.bias(8)]), 0.1, 0, "int8")
    model = Quantized(tmp_path / "integers", graph, precision="bfloat16")
    model.check(10)
    graph.constants["f"] = (graph.rng.standard_normal((8, 8, 3, 3)) * 0.1).astype("float32")
    graph.output(graph.add("Conv", ["x", "f"]), 1e-3, 0, "int8")
    model = Quantized(tmp_path / "both", graph, precision="bfloat16")
    layouts = [layouts for name, _, layouts in model.described() if "convolution" in name]
    assert sorted(layout.split()[0] for layout in layouts) == ["bf16", "u8"]


def test_a_network_that_paddle_has_quantised(tmp_path: Path) -> None:
    """Its products are on integers; what Python makes of the layer is the reference."""
    paddle.seed(7)
    net = nn.Sequential(nn.Conv2D(3, 8, 3, padding=1), nn.Conv2D(8, 4, 1), nn.Flatten(), nn.Linear(144, 5))
    net.eval()
    observer = AbsmaxObserver(quant_bits=8)
    tool = PTQ(QuantConfig(activation=observer, weight=observer))
    observed = tool.quantize(net)
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((2, 3, 6, 6)).astype("float32") for _ in range(10)]
    for x in inputs:
        observed(paddle.to_tensor(x))
    converted = tool.convert(observed)
    converted.eval()
    spec = InputSpec([2, 3, 6, 6], "float32", "x")
    paddle.jit.save(converted, str(tmp_path / "model"), input_spec=[spec])
    artifact = tmp_path / "model.pdtvm"
    compiler.compile(tmp_path / "model", artifact, target="onednn")
    predictor = runtime.create_predictor(runtime.Config(str(artifact)))
    for x in inputs:
        expected = converted(paddle.to_tensor(x)).numpy()
        # As much as some ties that fall to the other side before the last product.
        assert np.abs(predictor.run([x])[0] - expected).max() <= 0.01 * np.abs(expected).max()
    described = _described(artifact)
    products = [layouts for name, _, layouts in described if name.startswith(("convolution", "matmul"))]
    assert len(products) == 3
    assert all(layouts.startswith("s8 ") for layouts in products)
