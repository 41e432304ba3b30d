"""Runs what the exporter makes, in ONNX Runtime, after ONNX's own check of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import paddle
import tvm
from paddle import nn
from paddle.static import InputSpec
from tvm import relax

from paddle_tvm.compiler.frontends.importing import import_forms
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.lowering import optimise
from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.compiler.passes.merge_forms import merge_forms
from paddle_tvm.compiler.passes.offload import offload
from paddle_tvm.compiler.tuning.choices import TunedChoices
from paddle_tvm.targets.offload import Generated, Subgraph
from paddle_tvm.targets.onnx_export import OnnxExport, export_call, export_subgraph, patterns_of
from paddle_tvm.targets.onnx_export.patterns import Judge
from paddle_tvm.targets.x86 import x86_targets

Array = npt.NDArray[Any]


def run_onnx(exported: OnnxExport, inputs: Sequence[Array]) -> list[Array]:
    """Results of a model; every operator that ONNX knows the shape of has the one that the model says."""
    model = exported.self_contained()
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feeds = {port.name: array for port, array in zip(session.get_inputs(), inputs, strict=True)}
    return list(session.run(None, feeds))


def run_call(build: Callable[..., relax.Expr], inputs: Sequence[Array]) -> list[Array]:
    """What one Relax call of tensors gives when it is exported."""
    variables = [
        relax.Var(f"in{number}", relax.TensorType(array.shape, str(array.dtype)))
        for number, array in enumerate(inputs)
    ]
    builder = relax.BlockBuilder()
    with builder.function("main", variables):
        call = builder.normalize(build(*variables))
        builder.emit_func_output(call)
    return run_onnx(export_call(call, None), inputs)


def close(got: Array, wanted: Array) -> None:
    """The same dtype and shape, and values within the tolerance of float32, NaN and infinities included."""
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
    if got.dtype.kind == "f":
        # float16 has three digits less than the float32 that the tolerances are for.
        loose = 100 if got.dtype == np.float16 else 1
        np.testing.assert_allclose(got, wanted, rtol=1e-4 * loose, atol=1e-5 * loose)
    else:
        np.testing.assert_array_equal(got, wanted)


class Everything:
    """An accelerator that takes all that can be exported, and keeps it."""

    name = "everything"
    runtime: Any = None

    def __init__(self, judge: Judge = lambda exported: None) -> None:
        self.exports: list[OnnxExport] = []
        self.subgraphs: list[Subgraph] = []
        self._patterns = patterns_of(judge)

    def patterns(self) -> Any:
        return self._patterns

    def decline(self, subgraph: Subgraph) -> str | None:
        return None if subgraph.inputs else "it has constants alone"

    def generate(self, subgraph: Subgraph) -> Generated:
        self.subgraphs.append(subgraph)
        self.exports.append(export_subgraph(subgraph))
        return Generated("")

    def reason(self, operator: str, call: Any) -> str | None:
        return None


class Model(nn.Layer):  # type: ignore[misc]  # Paddle has no types.
    """Calls a function of one to three tensors."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, a: Any, b: Any = None, c: Any = None) -> Any:
        if b is None:
            return self.function(a)
        return self.function(a, b) if c is None else self.function(a, b, c)


def save_function(
    function: Callable[..., Any], specs: Sequence[tuple[Sequence[int], str]], folder: Path
) -> Path:
    """Save a function of Paddle tensors as a model; its inputs are called a, b and c."""
    listed = [InputSpec(shape, dtype, name) for (shape, dtype), name in zip(specs, "abc", strict=False)]
    model = Model(function)
    model.eval()
    paddle.jit.save(model, str(folder / "model"), input_spec=listed)
    return folder / "model"


def taken_of(model: Path, judge: Judge = lambda exported: None) -> tuple[Everything, dict[str, str]]:
    """What can be exported of a saved model, and reasons for the rest."""
    forms = import_forms(find_model(model), CompileOptions())
    return taken_of_module(merge_forms({name: form.module for name, form in forms.items()}), judge)


def taken_of_module(
    module: tvm.IRModule, judge: Judge = lambda exported: None
) -> tuple[Everything, dict[str, str]]:
    """What can be exported of a Relax module's main function, and reasons for the rest."""
    module = optimise(module)
    everything = Everything(judge)
    offloaded = offload(module, everything, TunedChoices(x86_targets(())[0], (), (), 1))
    return everything, dict(offloaded.reasons["main"])
