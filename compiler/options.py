"""Options of a compilation, passed down unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.gpu_names import check_architectures
from paddle_tvm.targets.registry import GPU, ON_GPU, PRECISIONS, TENSORRT, target_names

InputShapes: TypeAlias = "Mapping[str, Sequence[int | str]]"
"""Input name to dimensions; -1 or a string leaves a dimension dynamic."""

Precision: TypeAlias = Literal["float32", "tf32", "float16", "bfloat16"]
"""Arithmetic of convolutions and matrix products; ``targets.registry.PRECISIONS`` has each target's."""


@dataclass(frozen=True)
class CompileOptions:
    """What the user asked for; see ``paddle_tvm.compiler.compile``."""

    target: str = "x86"
    mcpu: str | Sequence[str] | None = None
    shapes: InputShapes | Sequence[InputShapes] | None = None
    precision: Precision = "float32"
    frontend: Literal["paddle", "onnx"] = "paddle"
    verify: bool = False
    force: bool = False
    tuning_logs: str | Path | Sequence[str | Path] = ()
    shipped_logs: bool = True
    fixed_forms: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Forms that workloads get whatever logs say, by key: what a tuner tries."""
    architectures: Sequence[str] = ()
    """GPUs to compile for; ``targets/gpu_names.py`` knows them."""
    min_subgraph_size: int | None = None
    """How many operators TensorRT is given at least; None stands for 3."""

    def __post_init__(self) -> None:
        for option, value, known in (
            ("target", self.target, target_names()),
            ("precision", self.precision, get_args(Precision)),
            ("frontend", self.frontend, ("paddle", "onnx")),
        ):
            if value not in known:
                raise UsageError(f"{option} '{value}' is not known; known: {', '.join(known)}")
        self._check_shapes()
        if self.min_subgraph_size is not None and self.target != TENSORRT:
            raise UsageError(
                f"--min-subgraph-size goes with --target {TENSORRT}, and the target is {self.target}"
            )
        if self.target in ON_GPU:
            check_architectures(self.architectures)
            if self.mcpus():
                raise UsageError(
                    f"--mcpu goes with x86: code for {self.target} is started by any 64-bit x86 CPU"
                )
        elif self.architectures:
            raise UsageError(f"--arch goes with --target {GPU}, and the target is {self.target}")
        if self.precision not in PRECISIONS.get(self.target, ("float32",)):
            where = (
                "an engine of TensorRT gets its precision where it runs, from Config.enable_tensorrt_engine()"
                if self.target == TENSORRT
                else f"{self.target} computes in {' or '.join(PRECISIONS.get(self.target, ('float32',)))}"
            )
            fitting = [target for target, known in PRECISIONS.items() if self.precision in known]
            raise UsageError(
                f"precision '{self.precision}' goes with --target {' or '.join(fitting)}: {where}"
            )

    def _check_shapes(self) -> None:
        sets = self.shapes if isinstance(self.shapes, Sequence) else (self.shapes,)
        if isinstance(self.shapes, str) or not all(one is None or isinstance(one, Mapping) for one in sets):
            raise UsageError(
                "shapes: expected sizes by input name, such as {'x': [1, 3, 224, 224]}, or a sequence of "
                f"such mappings, got {self.shapes!r}"
            )

    def mcpus(self) -> tuple[str, ...]:
        """The CPUs to compile for; none stands for this machine's."""
        if self.mcpu is None or isinstance(self.mcpu, str):
            return () if self.mcpu is None else (self.mcpu,)
        return tuple(self.mcpu)

    def logs(self) -> tuple[Path, ...]:
        """The user's tuning logs."""
        if isinstance(self.tuning_logs, str | Path):
            return (Path(self.tuning_logs),)
        return tuple(map(Path, self.tuning_logs))

    def forms(self) -> dict[str, InputShapes | None]:
        """The forms of the model to compile, by function name; None leaves every dimension as it is.

        One set of shapes is the only form; several stand beside the dynamic form.
        """
        if self.shapes is None or isinstance(self.shapes, Mapping):
            return {"main": self.shapes}
        forms: dict[str, InputShapes | None] = {"main": None}
        forms.update({f"main_{number}": shapes for number, shapes in enumerate(self.shapes, 1)})
        return forms
