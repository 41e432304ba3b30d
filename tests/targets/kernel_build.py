"""Builds and runs single Relax graphs through the x86 target, for tests of its kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tvm
from tvm import relax, tirx

from paddle_tvm.compiler.lowering import build, lower
from paddle_tvm.targets.x86 import x86_target

Shape = Sequence[int | str]


def lower_graph(
    inputs: Sequence[Shape], graph: Callable[..., relax.Expr], mcpu: str | None = None
) -> tvm.IRModule:
    """The scheduled module of a graph of float32 inputs; strings are symbolic dimensions."""
    symbols: dict[str, tirx.Var] = {}
    variables = [
        relax.Var(
            f"x{number}",
            relax.TensorType(
                [symbols.setdefault(d, tirx.Var(d, "int64")) if isinstance(d, str) else d for d in shape],
                "float32",
            ),
        )
        for number, shape in enumerate(inputs)
    ]
    builder = relax.BlockBuilder()
    with builder.function("main", variables):
        with builder.dataflow():
            output = builder.emit_output(relax.Tuple([builder.emit(graph(builder, *variables))]))
        builder.emit_func_output(output)
    return lower(builder.get(), x86_target(mcpu))


def run_graph(
    inputs: Sequence[Shape], graph: Callable[..., relax.Expr], *arrays: np.ndarray, mcpu: str | None = None
) -> np.ndarray:
    """Compile a graph for a CPU and run it here."""
    executable = build(lower_graph(inputs, graph, mcpu), x86_target(mcpu))
    machine = relax.VirtualMachine(executable, tvm.cpu())
    result = machine["main"](*[tvm.runtime.tensor(array) for array in arrays])
    return result[0].numpy()
