"""The parts of a model that TensorRT takes, as ONNX models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tvm import relax

from paddle_tvm.compiler.frontends.importing import import_forms
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.lowering import optimise
from paddle_tvm.compiler.options import CompileOptions, InputShapes
from paddle_tvm.compiler.passes.merge_forms import merge_forms
from paddle_tvm.compiler.passes.offload import offload
from paddle_tvm.compiler.tuning.choices import TunedChoices
from paddle_tvm.targets.onnx_export import OnnxExport
from paddle_tvm.targets.tensorrt import TensorRtPartition
from paddle_tvm.targets.x86 import x86_targets


@dataclass(frozen=True)
class TensorRtSubgraphs:
    """What TensorRT takes of a model.

    Attributes
    ----------
    taken
        Subgraphs as ONNX models, by symbol.
    reasons
        Why other operators stay, by ``name #number`` of the operator.
    """

    taken: Mapping[str, OnnxExport]
    reasons: Mapping[str, str]


def tensorrt_subgraphs(
    model: str | Path, shapes: InputShapes | None = None, min_subgraph_size: int = 3
) -> TensorRtSubgraphs:
    """Cut out of a saved model what TensorRT takes; TensorRT itself is not needed.

    Parameters
    ----------
    model
        As for ``paddle_tvm.compiler.compile``.
    shapes
        Dimensions to fix, by input name; others stay dynamic.
    min_subgraph_size
        How many operators a subgraph has at least.

    Raises
    ------
    UsageError
        Shapes that do not fit the model, or a size below 1.
    UnsupportedModelError
        The model cannot be read or compiled.
    """
    partition = TensorRtPartition(min_subgraph_size)
    forms = import_forms(find_model(model), CompileOptions(shapes=shapes))
    module = optimise(merge_forms({name: form.module for name, form in forms.items()}))
    (target,) = x86_targets(())
    with target.tvm_target:
        # Kernels of constants, which TensorRT may not have.
        module = relax.transform.FoldConstant()(module)
    offloaded = offload(module, partition, TunedChoices(target, (), (), None))
    return TensorRtSubgraphs(partition.exports, offloaded.reasons["main"])
