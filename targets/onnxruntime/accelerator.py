"""ONNX Runtime as an accelerator; see ``paddle_tvm.targets.offload.Accelerator``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property, partial
from typing import Any

from paddle_tvm.targets.offload import Generated, Pattern, RuntimeHalf, Subgraph
from paddle_tvm.targets.onnx_export import patterns_of
from paddle_tvm.targets.onnxruntime.code import generate
from paddle_tvm.targets.onnxruntime.kernels import Kernels
from paddle_tvm.targets.onnxruntime.library import NATIVE, bring, find_onnxruntime
from paddle_tvm.targets.onnxruntime.worth import not_worthwhile


class OnnxRuntime:
    """Has ONNX Runtime compute, on the CPU, whatever can be exported as ONNX."""

    name = "onnxruntime"

    @cached_property
    def runtime(self) -> RuntimeHalf:
        found = find_onnxruntime()
        names = [
            f'-DPADDLE_TVM_ORT_FILE="{found.library.name}"',
            f'-DPADDLE_TVM_ORT_VERSION="{found.version}"',
        ]
        return RuntimeHalf(
            language="c++",
            options=["-O2", "-std=c++17", "-fvisibility=hidden", f"-I{NATIVE}", *names],
            sources=[NATIVE / "session.cc"],
            bring=partial(bring, found),
        )

    def patterns(self) -> Sequence[Pattern]:
        return _patterns()

    def decline(self, subgraph: Subgraph) -> str | None:
        return not_worthwhile(subgraph)

    def generate(self, subgraph: Subgraph) -> Generated:
        return generate(subgraph)

    def reason(self, operator: str, call: Any) -> str | None:
        return None


@cache
def _patterns() -> Sequence[Pattern]:
    # No part of the accelerator, which `tune` sends to other processes.
    return patterns_of(Kernels().refuse)
