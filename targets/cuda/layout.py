"""Channels last, inside of models whose inputs have them second."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import ir, relax
from tvm.relax.expr_functor import PyExprMutator, mutator

from paddle_tvm.targets.expressions import constant, constant_array

# Kernels read along channels, which tensor cores multiply: weights [output, height, width, input].
_LAYOUTS = {"relax.nn.conv2d": ["NHWC", "OHWI"]}


def channels_last(module: tvm.IRModule) -> tvm.IRModule:
    """Convolutions, and what is between them, on [N, H, W, C].

    Ensures: weights are constants in the new order; two transposes that undo each other are gone.
    """
    if not any(_convolves(function) for function in module.functions.values()):
        return module
    turned = tvm.transform.Sequential(
        [relax.transform.ConvertLayout(_LAYOUTS), relax.transform.EliminateCommonSubexpr()]
    )(module)
    functions = {
        variable: _TurnConstants().visit_expr(function) if isinstance(function, relax.Function) else function
        for variable, function in turned.functions.items()
    }
    return relax.transform.DeadCodeElimination()(tvm.IRModule(functions, attrs=turned.attrs))


def _convolves(function: ir.BaseFunc) -> bool:
    found: list[relax.Call] = []

    def visit(expr: relax.Expr) -> None:
        if isinstance(expr, relax.Call) and getattr(expr.op, "name", "") in _LAYOUTS:
            found.append(expr)

    if isinstance(function, relax.Function):
        relax.analysis.post_order_visit(function, visit)
    return bool(found)


@mutator
class _TurnConstants(PyExprMutator):  # type: ignore[misc]  # TVM has no types
    """Transposes constants. TVM's FoldConstant computes more, which has to wait for our lowering."""

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        call = super().visit_call_(call)
        if getattr(call.op, "name", "") != "relax.permute_dims":
            return call
        array: Any = constant_array(call.args[0])
        if array is None:
            return call
        axes = call.attrs.axes
        return constant(array.transpose(None if axes is None else [int(axis) for axis in axes]).copy())
