"""Models in float16, which is what tensor cores multiply fastest."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import ir, relax
from tvm.relax.expr_functor import PyExprMutator, mutator

from paddle_tvm.targets.expressions import constant, constant_array

_HALF, _FULL = "float16", "float32"

_PRODUCTS = frozenset(
    {"relax.matmul", *(f"relax.nn.conv{n}d{kind}" for n in (1, 2, 3) for kind in ("", "_transpose"))}
)
"""Computed in float16: their sums are float32 all the same."""

_SAME = frozenset(
    f"relax.{name}"
    for name in (
        *("add", "subtract", "multiply", "maximum", "minimum", "clip", "negative", "abs"),
        *("nn.relu", "nn.leakyrelu", "nn.prelu", "nn.pad", "nn.max_pool1d", "nn.max_pool2d", "nn.max_pool3d"),
        *("concat", "reshape", "permute_dims", "flatten", "squeeze", "expand_dims", "strided_slice"),
        *("broadcast_to", "tile", "flip", "where"),
    )
)
"""Computed in float16 where what they work on is."""

_INSIDE = frozenset(
    f"relax.{name}"
    for name in (
        *("sigmoid", "tanh", "erf", "mean", "nn.gelu", "nn.gelu_tanh", "nn.silu", "nn.softmax"),
        *("nn.layer_norm", "nn.group_norm", "nn.avg_pool1d", "nn.avg_pool2d", "nn.avg_pool3d"),
        *("nn.adaptive_avg_pool1d", "nn.adaptive_avg_pool2d", "nn.adaptive_avg_pool3d", "image.resize2d"),
    )
)
"""Computed in float32, with a result that is no larger than what they work on: it goes on in float16."""


def to_float16(module: tvm.IRModule) -> tvm.IRModule:
    """Let convolutions, matrix products and what is between them compute in float16.

    All other operators, those of whose results float16 may have no number among them, stay in float32, as do
    inputs and outputs.
    """
    functions = {
        variable: _Halver().visit_expr(function) if isinstance(function, relax.Function) else function
        for variable, function in module.functions.items()
    }
    return tvm.transform.Sequential(
        [relax.transform.EliminateCommonSubexpr(), relax.transform.DeadCodeElimination()]
    )(tvm.IRModule(functions, attrs=module.attrs))


@mutator
class _Halver(PyExprMutator):  # type: ignore[misc]  # TVM has no types
    """Gives values a form in float16 beside that in float32; what nobody uses of both is dropped later."""

    def __init__(self) -> None:
        super().__init__()
        self.halves: dict[relax.Var, relax.Expr] = {}
        self.name = ""

    def visit_var_binding_(self, binding: relax.VarBinding) -> None:
        call = binding.value
        name = getattr(getattr(call, "op", None), "name", "") if isinstance(call, relax.Call) else ""
        # Names lead back to the model: both forms have that of the operator.
        self.name = binding.var.name
        half = self._half_of(call, name) if name in _PRODUCTS | _SAME else None
        if half is None:
            super().visit_var_binding_(binding)
            if name in _INSIDE and any(self._is_half(operand) for operand in call.args):
                full = self.get_var_remap_of(binding.var)
                self.halves[binding.var] = self.builder_.emit(relax.op.astype(full, _HALF), self.name)
            return
        self.halves[binding.var] = half
        full = relax.op.astype(half, _FULL)
        super().visit_var_binding_(relax.VarBinding(binding.var, full))

    def get_var_remap_of(self, variable: relax.Var) -> relax.Expr:
        """What a variable has become."""
        return self.visit_expr(variable)

    def _half_of(self, call: relax.Call, name: str) -> relax.Expr | None:
        """A call on operands in float16; None where it has none, or gives another type."""
        if not isinstance(call.ty, relax.TensorType) or str(call.ty.dtype) != _FULL:
            return None
        if name in _SAME and not any(self._is_half(operand) for operand in call.args):
            return None
        if name == "relax.multiply" and call.args[0].same_as(call.args[1]):
            # Squares leave the range of float16 from 256 on, and norms are made of them.
            return None
        operands = [self._operand(operand, name in _PRODUCTS) for operand in call.args]
        if any(operand is None for operand in operands):
            return None
        half = self.builder_.normalize(relax.Call(call.op, operands, call.attrs, call.ty_args))
        return self.builder_.emit(half, self.name) if str(half.ty.dtype) == _HALF else None

    def _is_half(self, operand: relax.Expr) -> bool:
        if isinstance(operand, relax.Tuple):
            return any(self._is_half(part) for part in operand.fields)
        return isinstance(operand, relax.Var) and operand in self.halves

    def _operand(self, operand: relax.Expr, cast: bool) -> relax.Expr | None:
        """An operand in float16; ``cast`` makes it so where it is not. None where that is not to be."""
        if isinstance(operand, relax.Tuple):
            parts = [self._operand(part, cast) for part in operand.fields]
            return None if any(part is None for part in parts) else relax.Tuple(parts)
        ty = getattr(operand, "ty", None)
        if not isinstance(ty, relax.TensorType) or str(ty.dtype) != _FULL:
            return self.visit_expr(operand)
        array: Any = constant_array(operand) if isinstance(operand, ir.Constant) else None
        if array is not None:
            return constant(array.astype(_HALF)) if _fits(array) else None
        if operand in self.halves:
            return self.halves[operand]
        if not cast:
            return None
        return self.builder_.emit(relax.op.astype(self.visit_expr(operand), _HALF), self.name)


def _fits(array: Any) -> bool:
    """Whether float16 has numbers near all of them."""
    finite = array[np.isfinite(array)]
    return not finite.size or bool(np.abs(finite).max() <= np.finfo(_HALF).max)
