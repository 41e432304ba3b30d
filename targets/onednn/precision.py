"""What the results of nodes are kept in where float32 is not asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tvm import relax

from paddle_tvm.targets.onednn.nodes import VIEWS, Node, is_quantized, variables_of

# Their primitives write float32 as well as bfloat16.
_WRITES_FLOAT32 = {"convolution", "deconvolution", "matmul"}


def in_bfloat16(nodes: Sequence[Node], results: Sequence[relax.Var]) -> list[Node]:
    """The same nodes, with bfloat16 between them.

    ``results``, what others read, are float32: products write it, other results are converted.
    """
    read = {variable for node in nodes for variable in variables_of(node)}
    # What is given out and not read here, also where it is seen in another way before.
    float32 = {variable for variable in results if variable not in read}
    done: list[Node] = []
    for node in reversed(nodes):
        outward = node.result in float32
        if outward and node.kind in VIEWS:
            (source,) = variables_of(node)
            if source not in results and sum(variables_of(other).count(source) for other in nodes) == 1:
                float32.add(source)
        writes_float32 = outward and node.kind in _WRITES_FLOAT32
        done.append(node if writes_float32 or is_quantized(node.type) else replace(node, type="bf16"))
    return done[::-1]
