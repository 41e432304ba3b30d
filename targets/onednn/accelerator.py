"""oneDNN as an accelerator; see ``paddle_tvm.targets.offload.Accelerator``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

from paddle_tvm.targets.offload import Generated, Pattern, RuntimeHalf, Subgraph
from paddle_tvm.targets.onednn.code import generate
from paddle_tvm.targets.onednn.library import NATIVE, bring, find_onednn, own_openmp
from paddle_tvm.targets.onednn.patterns import PATTERNS, WORTHWHILE, reason_of


class OneDnn:
    """Has oneDNN compute what it has primitives for, in float32 and at known shapes."""

    name = "onednn"

    @cached_property
    def runtime(self) -> RuntimeHalf:
        files = find_onednn()
        names = [f'-DPADDLE_TVM_OPENMP="{own_openmp()}"']
        includes = [f"-I{NATIVE}", f"-I{files.headers}"]
        return RuntimeHalf(
            language="c++",
            options=["-O2", "-std=c++17", "-fvisibility=hidden", *names, *includes],
            sources=[NATIVE / "network.cc", NATIVE / "plan.cc"],
            bring=partial(bring, files),
        )

    def patterns(self) -> Sequence[Pattern]:
        return PATTERNS

    def decline(self, subgraph: Subgraph) -> str | None:
        if any(step.pattern in WORTHWHILE for step in subgraph.steps):
            return None
        return "beside it is nothing that oneDNN does better: alone it would cost a pass over memory"

    def generate(self, subgraph: Subgraph) -> Generated:
        return generate(subgraph)

    def reason(self, operator: str, call: Any) -> str | None:
        return reason_of(operator)
