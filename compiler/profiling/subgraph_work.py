"""FLOPs of what accelerators compute: the sum of their operators', each counted as a kernel of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import tvm
from tvm import relax

from paddle_tvm.compiler.profiling.expressions import Amount, amount
from paddle_tvm.compiler.profiling.fusion_trace import bindings_of
from paddle_tvm.compiler.profiling.kernel_work import LoopWork
from paddle_tvm.compiler.profiling.work import DEFINED, operator_flops
from paddle_tvm.targets.onnx_node import OPERATOR, is_onnx_node, node_of

_RECURRENCES = ("LSTM", "GRU", "RNN")


class SubgraphWork:
    """Counts the operators of a module before an accelerator has taken any.

    Parameters
    ----------
    optimised
        The module. Operators that have no definition to count by are counted in the loops for them.
    legalizations
        How the target lowers operators that it does not leave to TVM.
    """

    def __init__(self, optimised: tvm.IRModule, legalizations: Mapping[str, Callable[..., Any]]) -> None:
        self._optimised = optimised
        # Those that are counted by definition need no loops, which the target would choose forms for.
        own = {name: lower for name, lower in legalizations.items() if name not in DEFINED}
        self._lowered = relax.transform.LegalizeOps(own, skip_ops=[*DEFINED, OPERATOR])(optimised)
        self._loops = LoopWork(self._lowered)
        self._forms: dict[str, dict[str, Any]] = {}

    def flops(self, form: str, values: Sequence[str]) -> Amount | None:
        """FLOPs of the values of a subgraph, by their names; None where one is not known."""
        if form not in self._forms:
            self._forms[form] = self._count(form)
        counted = [self._forms[form].get(name, 0) for name in values]
        return None if any(flops is None for flops in counted) else amount(sum(counted))

    def _count(self, form: str) -> dict[str, Any]:
        before = {variable.name: value for variable, value in bindings_of(self._optimised[form]).items()}
        counted: dict[str, Any] = {}
        inside: Any = 0
        for variable, value in bindings_of(self._lowered[form]).items():
            inside = inside + self._loops.flops(value)
            if variable.name not in before:
                # A step of the operator whose result comes later.
                continue
            defined = operator_flops(before[variable.name])
            flops = inside if defined is None else defined
            # Values that a pass has made may share a name.
            known = counted.get(variable.name, 0)
            if is_onnx_node(value):
                flops = _recurrence_flops(value)
            counted[variable.name] = None if known is None or flops is None else known + flops
            inside = 0
        return counted


def _recurrence_flops(call: relax.Call) -> Any:
    """FLOPs of the products of a recurrence that is kept as an ONNX node; None for other nodes.

    Each step multiplies a row of the input, and of the state, with their weights.
    """
    node, _ = node_of(call)
    if node.domain or node.op_type not in _RECURRENCES:
        return None
    data, weights, recurrent = (list(field.ty.shape) for field in list(call.args[0].fields)[:3])
    return 2 * data[0] * data[1] * (prod(weights) + prod(recurrent))
