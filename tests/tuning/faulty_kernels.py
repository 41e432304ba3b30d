"""A kernel for tests of measuring, some forms of which do what no kernel should."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import tvm
from tvm import s_tir, te, tirx
from tvm.script import tirx as T

from paddle_tvm.targets.base import Target
from paddle_tvm.targets.workload import WORKLOAD, Config, Workload

SHAPE = (64, 256)
FAULTS = (
    "abort",
    "read nothing",
    "exit",
    "sleep",
    "allocate",
    "raise",
    "print without end",
    "end the server",
    "other inputs",
    "wrong",
    "zero for NaN",
    "unwritten",
    "crash in a run",
    "sleep in a run",
    "allocate in a run",
    "tell the seed",
    "need two threads",
)


def faulty(fault: str) -> Config:
    """The form with a fault."""
    return {"fault": FAULTS.index(fault)}


@dataclass(frozen=True)
class Doubling(Workload):
    operator: ClassVar[str] = "doubling"

    default_fault: str | None = None

    def default(self) -> Config:
        return {"rows": 4} if self.default_fault is None else faulty(self.default_fault)

    def candidates(self) -> Sequence[Config]:
        return [{"rows": 4}, *map(faulty, FAULTS)]

    def flops(self) -> int | None:
        return SHAPE[0] * SHAPE[1]

    def notes(self, config: Config) -> Mapping[str, Any]:
        return {WORKLOAD: self.key}


@dataclass(frozen=True)
class DoublingKernel:
    """Doubles a matrix; a form has a ``fault``, or takes ``rows`` in a parallel task.

    ``fifo`` is where the two tasks meet of the form that needs two threads.
    """

    workload: Doubling = field(default_factory=Doubling)
    name: str = "doubling"
    fifo: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)

    def primfunc(self, config: Config, target: Target) -> tirx.PrimFunc:
        fault = FAULTS[config["fault"]] if "fault" in config else None
        match fault:
            case "abort":
                os.write(2, b"so it goes\n")
                os.abort()
            case "read nothing":
                ctypes.string_at(0)
            case "exit":
                os._exit(3)
            case "sleep":
                time.sleep(600)
            case "allocate":
                np.ones(1 << 36, np.uint8)
            case "raise":
                raise ValueError("no such form\nmore about it")
            case "print without end":
                while True:
                    os.write(1, bytes(1 << 20))
            case "end the server":
                os.kill(os.getppid(), signal.SIGKILL)
            case "unwritten":
                return half_written
            case "need two threads":
                return _meeting(self.fifo)
        return _doubling(config.get("rows", 4), fault)

    def inputs(self, config: Config, seed: int) -> list[np.ndarray]:
        if config == faulty("tell the seed"):
            raise ValueError(f"seed {seed}")
        values = np.random.default_rng(seed).standard_normal(SHAPE, np.float32)
        values[0, :3] = np.nan, np.inf, -np.inf
        return [values + 1 if config == faulty("other inputs") else values]

    def copies(self, config: Config, seed: int) -> dict[int, list[np.ndarray]]:
        return {}

    def output(self) -> tuple[tuple[int, ...], str]:
        return SHAPE, "float32"


def _doubling(rows: int, fault: str | None) -> tirx.PrimFunc:
    data = te.placeholder(SHAPE, "float32", name="data")

    def value(i: Any, j: Any) -> Any:
        doubled = data[i, j] * 2
        match fault:
            case "wrong":
                return data[i, j] * tirx.const(2.001, "float32")
            case "zero for NaN":
                return tirx.max(doubled, tirx.min(doubled, tirx.const(0, "float32")))
            case "crash in a run":
                return doubled + tirx.call_extern("int32", "raise", int(signal.SIGSEGV)).astype("float32")
            case "sleep in a run":
                return doubled + tirx.call_extern("int32", "sleep", 600).astype("float32")
        return doubled

    if fault == "allocate in a run":
        large = te.compute((1 << 16, 1 << 14), lambda i, j: data[i % SHAPE[0], j % SHAPE[1]], name="large")
        doubled = te.compute(SHAPE, lambda i, j: large[i, j] + large[i + SHAPE[0], j], name="doubled")
    else:
        doubled = te.compute(SHAPE, value, name="doubled")
    schedule = s_tir.Schedule(tvm.IRModule({"main": te.create_prim_func([data, doubled])}))
    outer, _ = schedule.split(schedule.get_loops(schedule.get_sblock("doubled"))[0], [None, rows])
    schedule.parallel(outer)
    return schedule.mod["main"].with_attr("global_symbol", "main")


def _meeting(place: str) -> tirx.PrimFunc:
    """Two tasks, each of which waits until the other one has opened the same FIFO."""
    data = te.placeholder(SHAPE, "float32", name="data")

    def meet(flags: int) -> Any:
        return tirx.call_extern("int32", "close", tirx.call_extern("int32", "open", place, flags))

    def value(i: Any, j: Any) -> Any:
        meets = tirx.if_then_else(i == 0, meet(os.O_RDONLY), meet(os.O_WRONLY))
        first = tirx.all(tirx.any(i == 0, i == SHAPE[0] // 2), j == 0)
        return data[i, j] * 2 + tirx.if_then_else(first, meets, tirx.const(0, "int32")).astype("float32")

    doubled = te.compute(SHAPE, value, name="doubled")
    schedule = s_tir.Schedule(tvm.IRModule({"main": te.create_prim_func([data, doubled])}))
    outer, _ = schedule.split(schedule.get_loops(schedule.get_sblock("doubled"))[0], [2, None])
    schedule.parallel(outer)
    return schedule.mod["main"].with_attr("global_symbol", "main")


@T.prim_func
def half_written(data: T.Buffer((64, 256), "float32"), doubled: T.Buffer((64, 256), "float32")):
    T.func_attr({"global_symbol": "main"})
    for i, j in T.grid(32, 256):
        doubled[i, j] = data[i, j] * T.float32(2)
