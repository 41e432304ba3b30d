"""The parts of a graph that TensorRT takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.offload import Generated, Pattern, RuntimeHalf, Subgraph
from paddle_tvm.targets.onnx_export import OnnxExport, export_subgraph, patterns_of
from paddle_tvm.targets.tensorrt.judge import refusal


class TensorRtPartition:
    """Takes what TensorRT 10's parser takes, and keeps it as ONNX.

    It needs no TensorRT, and makes no code: see ``paddle_tvm.compiler.tensorrt_subgraphs``.

    Parameters
    ----------
    min_subgraph_size
        How many operators a subgraph has at least, as in Paddle Inference's ``enable_tensorrt_engine``.

    Attributes
    ----------
    exports
        The subgraphs that were taken, by symbol.
    """

    name = "tensorrt"

    def __init__(self, min_subgraph_size: int = 3) -> None:
        if min_subgraph_size < 1:
            raise UsageError(f"expected a subgraph of at least 1 operator, got {min_subgraph_size}")
        self.exports: dict[str, OnnxExport] = {}
        self._min_subgraph_size = min_subgraph_size

    @property
    def runtime(self) -> RuntimeHalf:
        return RuntimeHalf()

    @cached_property
    def _patterns(self) -> Sequence[Pattern]:
        return patterns_of(refusal)

    def patterns(self) -> Sequence[Pattern]:
        return self._patterns

    def decline(self, subgraph: Subgraph) -> str | None:
        if not subgraph.inputs:
            return "it has constants alone, and is computed while compiling"
        if len(subgraph.steps) < self._min_subgraph_size:
            return (
                f"fewer than {self._min_subgraph_size} operators (--min-subgraph-size) are not worth an "
                f"engine, and its subgraph has {len(subgraph.steps)}"
            )
        return None

    def generate(self, subgraph: Subgraph) -> Generated:
        self.exports[subgraph.symbol] = export_subgraph(subgraph)
        return Generated("")

    def reason(self, operator: str, call: Any) -> str | None:
        return None
