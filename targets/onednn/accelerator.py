"""oneDNN as an accelerator; see ``paddle_tvm.targets.offload.Accelerator``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, ClassVar

from paddle_tvm.targets.offload import Generated, Pattern, RuntimeHalf, Subgraph
from paddle_tvm.targets.onednn.code import generate
from paddle_tvm.targets.onednn.library import NATIVE, bring, find_onednn, own_openmp
from paddle_tvm.targets.onednn.patterns import PATTERNS, WORTHWHILE, reason_of


@dataclass(frozen=True)
class OneDnn:
    """Has oneDNN compute what it has primitives for, at known shapes.

    Attributes
    ----------
    precision
        What convolutions and products are computed in, and what is between primitives: ``float32`` or
        ``bfloat16``.
    integers
        Whether quantised models have their products computed on integers.
    """

    precision: str = "float32"
    integers: bool = True

    name: ClassVar[str] = "onednn"

    @property
    def measured_as(self) -> str:
        return self.name if self.precision == "float32" else f"{self.name} in {self.precision}"

    @cached_property
    def runtime(self) -> RuntimeHalf:
        files = find_onednn()
        names = [f'-DPADDLE_TVM_OPENMP="{own_openmp()}"']
        includes = [f"-I{NATIVE}", f"-I{files.headers}"]
        return RuntimeHalf(
            language="c++",
            options=["-O2", "-std=c++17", "-fvisibility=hidden", *names, *includes],
            sources=[NATIVE / "network.cc"],
            bring=partial(bring, files),
        )

    def patterns(self) -> Sequence[Pattern]:
        return PATTERNS

    def decline(self, subgraph: Subgraph) -> str | None:
        if any(step.pattern in WORTHWHILE for step in subgraph.steps):
            return None
        return "beside it is nothing that oneDNN does better: alone it would cost a pass over memory"

    def generate(self, subgraph: Subgraph) -> Generated:
        return generate(subgraph, self.precision, self.integers)

    def reason(self, operator: str, call: Any) -> str | None:
        return reason_of(operator)
