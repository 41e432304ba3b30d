"""ONNX tests compare with ONNX Runtime on the same file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tvm
from onnx import helper
from tvm import relax, runtime

from paddle_tvm.compiler.frontends.onnx import import_onnx
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.imported import ImportedModel
from paddle_tvm.compiler.lowering import build, lower, optimise
from paddle_tvm.targets.x86 import x86_target

ATOL, RTOL = 1e-5, 1e-4

Shape = Sequence[Any]
MakeGraph = Callable[..., Path]
CheckGraph = Callable[..., None]


@pytest.fixture
def make_graph(tmp_path: Path) -> MakeGraph:
    """``make_graph(nodes, inputs, outputs, constants)`` writes an .onnx file.

    ``inputs`` maps a name to a dtype and a shape; ``outputs`` is a list of names, or maps names to dtypes.
    """

    def make(
        nodes: Sequence[onnx.NodeProto],
        inputs: Mapping[str, tuple[str, Shape]],
        outputs: Mapping[str, str],
        constants: Mapping[str, np.ndarray] | None = None,
        opset: int = 17,
    ) -> Path:
        graph = helper.make_graph(
            nodes,
            "graph",
            [_port(name, dtype, shape) for name, (dtype, shape) in inputs.items()],
            [_port(name, dtype, None) for name, dtype in outputs.items()],
            [onnx.numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        path = tmp_path / "model.onnx"
        onnx.save_model(model, str(path))
        return path

    return make


def _port(name: str, dtype: str, shape: Shape | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def compile_onnx(
    path: Path, shapes: Mapping[str, Sequence[int | str]] | None = None
) -> tuple[ImportedModel, Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]]:
    """Import and compile a file; gives the import's result and a function that runs the model."""
    target = x86_target()
    imported = import_onnx(find_model(path), shapes)
    machine = relax.VirtualMachine(build(lower(optimise(imported.module), target), target), tvm.cpu())

    def run(feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        results = machine["main"](*[runtime.tensor(feeds[port.name]) for port in imported.inputs])
        return [result.numpy() for result in results]

    return imported, run


def run_onnxruntime(path: Path, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The model in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(feeds)))


@pytest.fixture
def run_compiled() -> Callable[..., Any]:
    """``compile_onnx`` for tests that need no comparison."""
    return compile_onnx


@pytest.fixture
def run_reference() -> Callable[..., list[np.ndarray]]:
    """``run_onnxruntime``."""
    return run_onnxruntime


@pytest.fixture
def check_graph(make_graph: MakeGraph) -> CheckGraph:
    """``check_graph(nodes, inputs, outputs, feeds, constants=..., opset=...)``.

    Writes the graph, compiles it once, and compares with ONNX Runtime on each set of ``feeds``.
    """

    def check(
        nodes: Sequence[onnx.NodeProto],
        inputs: Mapping[str, tuple[str, Shape]],
        outputs: Mapping[str, str],
        feeds: Sequence[Mapping[str, np.ndarray]],
        **options: Any,
    ) -> None:
        path = make_graph(nodes, inputs, outputs, **options)
        _, run = compile_onnx(path)
        for arrays in feeds:
            for ours, theirs in zip(run(arrays), run_onnxruntime(path, arrays), strict=True):
                assert ours.shape == theirs.shape
                assert ours.dtype == theirs.dtype
                np.testing.assert_allclose(ours, theirs, atol=ATOL, rtol=RTOL)

    return check
