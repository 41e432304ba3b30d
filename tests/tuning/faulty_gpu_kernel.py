"""A kernel for tests of measuring on a GPU, some forms of which do what no kernel should."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import tvm
from tvm import relax, te, tirx
from tvm.script import tirx as T

from paddle_tvm.targets.base import Target
from paddle_tvm.targets.workload import WORKLOAD, Config, Workload

SHAPE = (8, 16)
FAULTS = (
    "abort",
    "sleep",
    "raise",
    "wrong",
    "unwritten",
    "end the server",
    "crash in a run",
    "loop in a run",
    "none",
)


def faulty(fault: str) -> Config:
    """The form with a fault."""
    return {"fault": FAULTS.index(fault)}


@dataclass(frozen=True)
class GpuDoubling(Workload):
    operator: ClassVar[str] = "gpu_doubling"

    default_fault: str | None = None

    def default(self) -> Config:
        return {"threads": 1} if self.default_fault is None else faulty(self.default_fault)

    def candidates(self) -> Sequence[Config]:
        return [{"threads": 1}, *map(faulty, FAULTS)]

    def flops(self) -> int | None:
        return SHAPE[0] * SHAPE[1]

    def notes(self, config: Config) -> Mapping[str, Any]:
        return {WORKLOAD: self.key}


@dataclass(frozen=True)
class GpuDoublingKernel:
    """Adds a matrix to a weight twice; a form may have a ``fault``."""

    workload: GpuDoubling = field(default_factory=GpuDoubling)
    name: str = "doubling"
    weights: tuple[int, ...] = (1,)
    model_bytes: int = 3 * 4 * SHAPE[0] * SHAPE[1]

    def module(self, config: Config, target: Target) -> tvm.IRModule:
        fault = FAULTS[config["fault"]] if "fault" in config else None
        match fault:
            case "abort":
                os.write(2, b"so it goes\n")
                os.abort()
            case "sleep":
                time.sleep(600)
            case "raise":
                raise ValueError("no such form\nmore about it")
            case "end the server":
                os.kill(os.getppid(), signal.SIGKILL)
        builder = relax.BlockBuilder()
        x, w = (relax.Var(name, relax.TensorType(SHAPE, "float32")) for name in ("x", "w"))
        with builder.function("main", [x, w]):
            with builder.dataflow():
                made = x
                if fault == "unwritten":
                    half = builder.add_func(half_written, "half")
                    made = builder.emit(relax.call_tir(half, [x, w], relax.TensorType(SHAPE, "float32")))
                for _ in range(2 if made is x else 0):
                    made = builder.emit(builder.call_te(_sum, made, w, fault, primfunc_name_hint="sum"))
                result = builder.emit_output(made)
            builder.emit_func_output(result)
        return target.plan(target.schedule(builder.finalize()))

    def inputs(self, config: Config, seed: int) -> list[np.ndarray]:
        generator = np.random.default_rng(seed)
        values = [generator.standard_normal(SHAPE, np.float32) for _ in range(2)]
        values[0][0, :3] = np.nan, np.inf, -np.inf
        return values

    def output(self) -> tuple[tuple[int, ...], str]:
        return SHAPE, "float32"

    def size(self, dim: Any) -> int:
        return int(dim)


def _sum(x: te.Tensor, w: te.Tensor, fault: str | None) -> te.Tensor:
    def value(i: Any, j: Any) -> Any:
        total = x[i, j] + w[i, j]
        match fault:
            case "wrong":
                return total * tirx.const(1.001, "float32")
            case "crash in a run":
                # Far from all memory that there is.
                return total + x[i + (1 << 36), j]
        return total

    if fault == "loop in a run":
        k = te.reduce_axis((0, 1 << 50), "k")
        return te.compute(SHAPE, lambda i, j: te.max(x[i, (j + k) % SHAPE[1]], axis=k))
    return te.compute(SHAPE, value)


@T.prim_func(s_tir=True)
def half_written(
    x: T.Buffer((8, 16), "float32"), w: T.Buffer((8, 16), "float32"), out: T.Buffer((8, 16), "float32")
):
    T.func_attr({"tirx.is_scheduled": True})
    for i, j in T.grid(4, 16):
        out[i, j] = x[i, j] + w[i, j] + w[i, j]
