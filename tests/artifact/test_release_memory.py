"""The virtual machine makes and releases tensors in planned memory as seldom as it can."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import tvm
from tvm import relax

from paddle_tvm.compiler.lowering import build, lower
from paddle_tvm.targets.x86 import x86_target

ROWS = 6


def chain(rows: int | tvm.tirx.Var) -> tvm.IRModule:
    """Products with residual sums: results of the same shape, some of them in the same place."""
    rng = np.random.default_rng(0)
    x = relax.Var("x", relax.TensorType([rows, 8], "float32"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        with builder.dataflow():
            value: relax.Expr = x
            for weight in rng.standard_normal((5, 8, 8)).astype("float32") / 4:
                value = builder.emit(relax.op.add(relax.op.matmul(value, relax.const(weight)), value))
            flat = builder.emit(relax.op.reshape(value, [rows, 2, 4]))
            output = builder.emit_output(relax.Tuple([flat, x]))
        builder.emit_func_output(output)
    return builder.get()


def expected(data: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    value = data.astype("float64")
    for weight in rng.standard_normal((5, 8, 8)).astype("float32") / 4:
        value = value @ weight + value
    return value.reshape(-1, 2, 4)


def calls(executable: relax.VMExecutable) -> Counter[str]:
    lines = (line.split() for line in executable.as_text().splitlines())
    return Counter(words[1] for words in lines if words[:1] == ["call"])


@pytest.mark.parametrize("is_planned", [True, False], ids=["fixed", "dynamic"])
def test_tensors_are_made_once_and_released_where_that_gives_memory_back(is_planned: bool) -> None:
    executable = build(
        lower(chain(ROWS if is_planned else tvm.tirx.Var("n", "int64")), x86_target()), x86_target()
    )
    made = calls(executable)
    if is_planned:
        # Results of the first four products lie in two places, that of the last is new in every run.
        assert made["vm.builtin.alloc_tensor"] == 3
        assert made["vm.builtin.null_value"] == 0
    else:
        assert made["vm.builtin.alloc_tensor"] >= 3
        assert made["vm.builtin.null_value"] > 0
    assert made["vm.builtin.copy"] == 0
    machine = relax.VirtualMachine(executable, tvm.cpu())
    results = []
    for seed in range(3):
        data = np.random.default_rng(seed).standard_normal((ROWS, 8)).astype("float32")
        result, same = machine["main"](tvm.runtime.tensor(data))
        np.testing.assert_array_equal(same.numpy(), data)
        results.append((data, result))
    # What one run has returned, another has not written to.
    for data, result in results:
        np.testing.assert_allclose(result.numpy(), expected(data), rtol=1e-4, atol=1e-5)
