"""Which subgraphs are worth a call of ONNX Runtime."""

from __future__ import annotations

from paddle_tvm.targets.offload import Subgraph
from paddle_tvm.targets.onnx_node import OPERATOR

_HEAVY = {
    *("nn.conv1d", "nn.conv2d", "nn.conv3d", "matmul", "einsum"),
    *("nn.conv1d_transpose", "nn.conv2d_transpose", "nn.conv3d_transpose"),
}


def not_worthwhile(subgraph: Subgraph) -> str | None:
    """Why a subgraph stays on our own kernels; None: it is taken."""
    taken = {step.pattern for step in subgraph.steps}
    if OPERATOR in taken:
        return None
    if not subgraph.inputs:
        return "it has constants alone, and is computed while compiling"
    if taken & _HEAVY:
        return None
    return "beside it is no convolution or product: alone it would cost a pass over memory"
