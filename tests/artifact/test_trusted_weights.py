"""The virtual machine does not look at weights before it runs kernels on them."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from paddle_tvm.compiler.lowering import build, lower
from paddle_tvm.compiler.passes.lift_weights import lift_weights
from paddle_tvm.targets.x86 import x86_target


def test_only_inputs_are_checked_and_weights_are_used():
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal((8, 8)).astype("float32") for _ in range(2))
    rows = tvm.tirx.Var("n", "int64")
    x = relax.Var("x", relax.TensorType([rows, 8], "float32"))
    builder = relax.BlockBuilder()
    with builder.function("main", [x]):
        with builder.dataflow():
            y = builder.emit(relax.op.matmul(x, relax.const(first)))
            z = builder.emit(relax.op.add(relax.op.matmul(y, relax.const(second)), y))
            output = builder.emit_output(relax.Tuple([z]))
        builder.emit_func_output(output)
    target = x86_target()
    lifted = lift_weights(lower(builder.get(), target))
    executable = build(lifted.module, target)
    checks = [line for line in executable.as_text().splitlines() if "call" in line and "check_tensor" in line]
    assert len(lifted.weights) == 2
    assert len(checks) == 1
    machine = relax.VirtualMachine(executable, tvm.cpu())
    data = rng.standard_normal((3, 8)).astype("float32")
    weights = [tvm.runtime.tensor(weight) for weight in lifted.weights]
    (result,) = machine["main"](tvm.runtime.tensor(data), *weights)
    expected = data.astype("float64") @ first @ second + data @ first
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-4, atol=1e-5)
