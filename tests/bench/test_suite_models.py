"""The suite's models are the same every time, and built once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from paddle_tvm.compiler.bench.model_files import prepare_files
from paddle_tvm.compiler.bench.suite.models import MODELS
from paddle_tvm.compiler.bench.suite.saved_models import model_to_convert, saved_model
from paddle_tvm.compiler.bench.suite.workloads import SUITE
from paddle_tvm.compiler.demo.weights import DETECTION, RECOGNITION
from paddle_tvm.compiler.frontends.source import find_model


def test_every_workload_has_a_model() -> None:
    known = {*MODELS, DETECTION, RECOGNITION}
    assert {workload.model for workload in SUITE} == known
    assert len({workload.name for workload in SUITE}) == len(SUITE)


def test_a_model_is_built_once_and_the_same_every_time(tmp_path: Path) -> None:
    first = saved_model("mobilenet_v3_small", tmp_path / "one", tmp_path / "log", 600)
    program = find_model(first)
    built = program.program.stat().st_mtime_ns
    again = saved_model("mobilenet_v3_small", tmp_path / "one", tmp_path / "log", 600)
    assert again == first
    assert program.program.stat().st_mtime_ns == built
    elsewhere = saved_model("mobilenet_v3_small", tmp_path / "two", tmp_path / "log", 600)
    assert find_model(elsewhere).sha256() == program.sha256()
    shapes = {"x": (1, 3, 224, 224)}
    files = prepare_files(
        elsewhere, ["onnxruntime", "openvino"], tmp_path, shapes, model_to_convert(elsewhere)
    )
    for peer in ("onnxruntime", "openvino"):
        told = files[peer]
        assert isinstance(told, dict)
        assert json.loads(told["dimensions"]) == {"x_0": 1}
        assert json.loads(told["shapes"]) == {"x": [1, 3, 224, 224]}


def test_inputs_are_the_same_every_time() -> None:
    for workload in SUITE:
        one, other = workload.random_inputs(3), workload.random_inputs(3)
        for name, shape in workload.shapes.items():
            assert one[name].shape == shape
            assert np.array_equal(one[name], other[name])
