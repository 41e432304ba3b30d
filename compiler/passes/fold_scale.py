"""Folds per-channel multiplications (batch normalisation) into the weights of convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import ir, relax

from paddle_tvm.targets.expressions import is_call

_CONVOLUTIONS = ("relax.nn.conv1d", "relax.nn.conv2d", "relax.nn.conv3d")


@relax.expr_functor.mutator
class _FoldScale(relax.PyExprMutator):  # type: ignore[misc]  # TVM has no types
    """Rewrites ``(conv(x, W) + b) * s`` to ``conv(x, W * s) + b * s`` for constant W, b and s."""

    def __init__(self, uses: dict[Any, int]) -> None:
        super().__init__()
        self.uses = uses

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        call = self.visit_expr_post_order(call)
        if not is_call(call, "relax.multiply"):
            return call
        for value, scale in ((call.args[0], call.args[1]), (call.args[1], call.args[0])):
            if isinstance(scale, ir.Constant):
                folded = self._scaled(value, scale.value.numpy())
                if folded is not None:
                    return folded
        return call

    def _scaled(self, value: relax.Expr, scale: npt.NDArray[Any]) -> relax.Expr | None:
        """The expression times the scale, None where the scale does not go into weights."""
        bound = self._binding(value)
        if is_call(bound, "relax.add"):
            for inner, bias in ((bound.args[0], bound.args[1]), (bound.args[1], bound.args[0])):
                if isinstance(bias, ir.Constant):
                    product = _finite_product(bias.value.numpy(), scale)
                    if product is None:
                        return None
                    scaled = self._scaled(inner, scale)
                    if scaled is not None:
                        # Under its old name, by which it is known where it comes from.
                        name = inner.name if isinstance(inner, relax.Var) else ""
                        return relax.op.add(
                            self.builder_.emit(scaled, name), relax.const(product, str(product.dtype))
                        )
            return None
        if isinstance(bound, relax.Call) and isinstance(bound.op, ir.Op) and bound.op.name in _CONVOLUTIONS:
            weight = bound.args[1]
            channels = _channel_scale(scale, len(bound.ty.shape), bound.attrs)
            if isinstance(weight, ir.Constant) and channels is not None:
                array = weight.value.numpy()
                if channels.size not in (1, array.shape[0]):
                    return None
                shaped = channels.reshape(-1, *[1] * (array.ndim - 1))
                scaled_weight = _finite_product(array, shaped)
                if scaled_weight is None:
                    return None
                folded = relax.const(scaled_weight.astype(array.dtype), str(array.dtype))
                return relax.Call(bound.op, [bound.args[0], folded], bound.attrs, bound.ty_args)
        return None

    def _binding(self, value: relax.Expr) -> relax.Expr:
        """What a variable is bound to, where nothing else reads it: else the work would be done twice."""
        if not isinstance(value, relax.Var) or self.uses.get(value.name, 0) > 1:
            return value
        bound = self.lookup_binding(value)
        return value if bound is None else bound


def _finite_product(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """The product; None where that is infinite or no number, of which sums would be no numbers either."""
    with np.errstate(over="ignore", invalid="ignore"):
        product = one * other
    return product if np.isfinite(product).all() else None


def _channel_scale(scale: npt.NDArray[Any], rank: int, attrs: Any) -> npt.NDArray[Any] | None:
    """A scale that varies along the output's channels alone, as a vector."""
    axis = str(attrs.out_layout).index("C") - rank
    varying = [position - scale.ndim for position, size in enumerate(scale.shape) if size != 1]
    return scale.reshape(-1) if varying in ([], [axis]) else None


def fold_scale(module: tvm.IRModule) -> tvm.IRModule:
    """Fold multiplications by constants that follow a convolution into its weights.

    Requires: weights are constants, bindings are in A-normal form. Ensures: the same function up to
    rounding; convolutions that something else reads are left alone.
    """
    functions = dict(module.functions.items())
    for variable, function in module.functions.items():
        if isinstance(function, relax.Function):
            functions[variable] = _FoldScale(_count_uses(function)).visit_expr(function)
    return tvm.IRModule(functions, attrs=module.attrs)


def _count_uses(function: relax.Function) -> dict[Any, int]:
    uses: dict[Any, int] = {}

    def count(expr: Any) -> None:
        if isinstance(expr, relax.Call):
            operands = expr.args
        elif isinstance(expr, relax.Tuple):
            operands = expr.fields
        else:
            return
        for operand in operands:
            if isinstance(operand, relax.Var):
                uses[operand.name] = uses.get(operand.name, 0) + 1

    relax.analysis.post_order_visit(function, count)
    return uses
