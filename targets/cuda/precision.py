"""Models in float16, which is what tensor cores multiply fastest."""

from __future__ import annotations

import tvm
from tvm import relax


def to_float16(module: tvm.IRModule) -> tvm.IRModule:
    """Let convolutions, matrix products and what is between them compute in float16.

    Sums of many elements, norms, softmax, exponentials and the like stay in float32, as do inputs and
    outputs. Products are summed in float32.
    """
    return tvm.transform.Sequential(
        [
            relax.transform.ToMixedPrecision(out_dtype="float16"),
            relax.transform.FoldConstant(),
            relax.transform.EliminateCommonSubexpr(),
            relax.transform.DeadCodeElimination(),
        ]
    )(module)
