"""Matrix products that read their operands as they lie, whatever the graph transposes before."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax
from tvm.relax.expr_functor import PyExprMutator, mutator

from paddle_tvm.targets.cuda.legalize import Lowering


def absorb_transposes(module: tvm.IRModule, lowering: Lowering) -> tvm.IRModule:
    """Lower products of transposed tensors to products of the tensors themselves.

    Attention transposes queries, keys and values to heads: none of that is copied then.
    """
    absorber = _Absorber(module, lowering)
    for variable, function in module.functions.items():
        if isinstance(function, relax.Function):
            absorber.builder_.update_func(variable, absorber.visit_expr(function))
    return relax.transform.DeadCodeElimination()(absorber.builder_.get())


@mutator
class _Absorber(PyExprMutator):  # type: ignore[misc]  # TVM has no types
    def __init__(self, module: tvm.IRModule, lowering: Lowering) -> None:
        super().__init__(module)
        self.lowering = lowering

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        call = super().visit_call_(call)
        if getattr(call.op, "name", "") != "relax.matmul" or not self.lowering.takes(*call.args):
            return call
        sources = [self._source(operand) for operand in call.args]
        if all(axes is None for _, axes in sources) or any(len(each.ty.shape) < 2 for each in call.args):
            return call
        (left, left_axes), (right, right_axes) = sources
        return self.lowering.product(self.builder_, call, left, right, left_axes, right_axes)

    def _source(self, operand: relax.Expr) -> tuple[relax.Expr, tuple[int, ...] | None]:
        """What an operand is a transpose of, by one or several, and in which order its axes are."""
        rank = len(operand.ty.shape)
        order: tuple[int, ...] | None = None
        while isinstance(operand, relax.Var):
            made: Any = self.lookup_binding(operand)
            if not isinstance(made, relax.Call) or getattr(made.op, "name", "") != "relax.permute_dims":
                break
            axes = made.attrs.axes
            turned = range(rank)[::-1] if axes is None else [int(axis) % rank for axis in axes]
            order = tuple(turned) if order is None else tuple(turned[axis] for axis in order)
            operand = made.args[0]
        return operand, order
