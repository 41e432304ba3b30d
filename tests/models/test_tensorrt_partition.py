"""What TensorRT would take of models: in ONNX Runtime it computes what our CPU code does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import paddle
import pytest
from paddle import nn
from paddle.nn import functional as F
from paddle.static import InputSpec
from zoo import ZOO

from paddle_tvm import compiler, runtime
from paddle_tvm.compiler.bench.suite.models import MODELS
from paddle_tvm.compiler.bench.suite.workloads import choose_workloads
from paddle_tvm.compiler.demo.weights import find_weights
from paddle_tvm.compiler.tensorrt_subgraphs import TensorRtSubgraphs, tensorrt_subgraphs
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.onnx_export import OnnxExport

Array = npt.NDArray[Any]


def _run(exported: OnnxExport, inputs: list[Array]) -> list[Array]:
    model = exported.self_contained()
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]
    return list(session.run(None, dict(zip(names, inputs, strict=True))))


def _check_is_one_subgraph(model: Path, inputs: dict[str, Array], folder: Path) -> None:
    shapes = {name: array.shape for name, array in inputs.items()}
    found = tensorrt_subgraphs(model, shapes)
    assert not found.reasons
    (exported,) = found.taken.values()
    compiler.compile(model, folder / "out.pdtvm", shapes=shapes)
    predictor = runtime.create_predictor(runtime.Config(str(folder / "out.pdtvm")))
    arrays = [inputs[name] for name in predictor.get_input_names()]
    wanted = predictor.run(arrays)
    for got, expected in zip(_run(exported, arrays), wanted, strict=True):
        assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["resnet50", "ocr_detection", "ocr_recognition", "encoder"])
def test_models_are_one_subgraph(name: str, tmp_path: Path) -> None:
    model = ZOO[name]
    (tmp_path / "saved").mkdir()
    inputs = model.random_inputs(model.shapes[0], seed=1)
    _check_is_one_subgraph(model.save(tmp_path / "saved"), inputs, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "ocr_detection", "ocr_recognition", "bert"])
def test_models_of_the_suite_are_one_subgraph(name: str, tmp_path: Path) -> None:
    (workload,) = choose_workloads([name])
    if workload.model in MODELS:
        (tmp_path / "saved").mkdir()
        model = MODELS[workload.model](tmp_path / "saved")
    else:
        model = find_weights().programs[workload.model]
    _check_is_one_subgraph(model, workload.random_inputs(1), tmp_path)


def test_dynamic_sizes(tmp_path: Path) -> None:
    model = ZOO["resnet18"]
    (tmp_path / "saved").mkdir()
    saved = model.save(tmp_path / "saved")
    found = tensorrt_subgraphs(saved)
    assert not found.reasons
    (exported,) = found.taken.values()
    for shapes in model.shapes:
        inputs = list(model.random_inputs(shapes, seed=2).values())
        fixed = tensorrt_subgraphs(saved, shapes).taken.values()
        (wanted,) = (_run(each, inputs) for each in fixed)
        for got, expected in zip(_run(exported, inputs), wanted, strict=True):
            assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


def _partition(layer: nn.Layer, shape: tuple[int, ...], folder: Path, size: int = 1) -> TensorRtSubgraphs:
    layer.eval()
    paddle.jit.save(layer, str(folder / "model"), input_spec=[InputSpec(shape, "float32", "x")])
    return tensorrt_subgraphs(folder / "model", min_subgraph_size=size)


class Layer(nn.Layer):  # type: ignore[misc]  # Paddle has no types.
    """Calls a function of one tensor."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


REFUSED: dict[str, tuple[Callable[[Any], Any], tuple[int, ...], str]] = {
    "integers": (
        lambda x: paddle.cumsum(paddle.cast(x, "int64"), 0),
        (3, 4),
        "TensorRT's CumSum does not compute int64",
    ),
    "many dimensions": (
        lambda x: paddle.reshape(x, [1] * 7 + [2, 2]) * 2,
        (2, 2),
        "TensorRT's tensors have 8 dimensions at most",
    ),
    "cubic": (lambda x: F.interpolate(x, [7, 3], mode="bicubic"), (1, 2, 4, 5), "and this is cubic"),
    "double": (lambda x: paddle.exp(paddle.cast(x, "float64")), (2, 2), "does not compute float64"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_parser_refuses_stays_with_a_reason(name: str, tmp_path: Path) -> None:
    function, shape, words = REFUSED[name]
    found = _partition(Layer(function), shape, tmp_path)
    assert any(words in reason for reason in found.reasons.values()), found.reasons


def test_small_subgraphs_stay(tmp_path: Path) -> None:
    layer = Layer(lambda x: paddle.cumsum(paddle.cast(F.relu(x) * 2, "int64"), 0) + 1)
    assert len(_partition(layer, (3, 4), tmp_path, size=1).taken) == 2
    found = _partition(layer, (3, 4), tmp_path, size=3)
    (exported,) = found.taken.values()
    assert [node.op_type for node in exported.model.graph.node] == [
        "Relu",
        "Mul",
        "Cast",
        "Reshape",
        "Identity",
    ]
    reason = "fewer than 3 operators (--min-subgraph-size) are not worth an engine, and its subgraph has 2"
    assert reason in found.reasons.values()


def test_a_subgraph_has_operators() -> None:
    with pytest.raises(UsageError, match="at least 1 operator, got 0"):
        tensorrt_subgraphs("model", min_subgraph_size=0)
