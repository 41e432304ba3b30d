"""ONNX's own examples of its operators: imported, exported again, and run, they give what ONNX says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
import pytest
from onnx import numpy_helper
from onnx_run import Array, run_onnx, taken_of_module

from paddle_tvm.compiler.frontends.onnx.importer import import_onnx
from paddle_tvm.compiler.frontends.shapes import symbol_stem
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.runtime.errors import UnsupportedModelError
from paddle_tvm.targets.onnxruntime.kernels import Kernels

_EXAMPLES = Path(onnx.backend.test.__file__).parent / "data" / "node"

# Results of types that NumPy does not have; a transform whose kernel has fewer digits.
_LEFT_OUT = ("FLOAT8", "BFLOAT16", "INT4", "_dft_")


def _read(file: Path) -> Array:
    tensor = onnx.TensorProto()
    tensor.ParseFromString(file.read_bytes())
    return numpy_helper.to_array(tensor)


def _outcome(folder: Path, kernels: Kernels) -> str:
    model = onnx.load(folder / "model.onnx")
    ports = (*model.graph.input, *model.graph.output)
    if not all(port.type.HasField("tensor_type") for port in ports):
        return "no tensors"
    data = folder / "test_data_set_0"
    try:
        imported = import_onnx(find_model(folder / "model.onnx"), keep_nodes=True)
        taken, reasons = taken_of_module(imported.module, kernels.refuse)
    except UnsupportedModelError:
        return "refused"
    if reasons or len(taken.exports) != 1:
        return "in parts"
    inputs = {
        symbol_stem(port.name): _read(data / f"input_{number}.pb")
        for number, port in enumerate(model.graph.input)
    }
    subgraph = taken.subgraphs[0]
    names = [variable.name for variable in subgraph.inputs]
    types = [str(variable.ty.dtype) for variable in subgraph.results]
    if not set(names) <= set(inputs) or types != [port.dtype for port in imported.outputs]:
        return "in parts"
    results = run_onnx(taken.exports[0], [inputs[name] for name in names])
    for number, result in enumerate(results):
        wanted = _read(data / f"output_{number}.pb")
        same = (result.shape, result.dtype) == (wanted.shape, wanted.dtype)
        if not same or not np.allclose(result, wanted, rtol=1e-3, atol=1e-4, equal_nan=True):
            return "wrong"
    return "right"


@pytest.mark.slow
def test_examples_of_operators() -> None:
    kernels = Kernels()
    outcomes = {
        folder.name: _outcome(folder, kernels)
        for folder in sorted(_EXAMPLES.iterdir())
        if not any(name in folder.name for name in _LEFT_OUT)
    }
    assert not [name for name, outcome in outcomes.items() if outcome == "wrong"]
    assert Counter(outcomes.values())["right"] > 500
