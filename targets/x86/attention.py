"""Finds scaled dot-product attention in a graph and makes one operator of it.

Paddle writes it out: products, a scale, a mask, a softmax, and the transposes between heads and rows. The
kernel reads queries, keys and values where their projections left them, and writes rows of all heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import tvm
from tvm import relax, tirx
from tvm.relax.expr_functor import PyExprMutator, mutator

from paddle_tvm.targets.expressions import constant_array, is_call
from paddle_tvm.targets.x86.attention_kernel import Attention, Operand, attention_function
from paddle_tvm.targets.x86.kernel_symbols import KernelSymbols
from paddle_tvm.targets.x86.operand_view import View, dims, same_dims, transposition, view_of

# Between [batch, heads, rows, width] and [batch, rows, heads, width].
_HEADS_AND_ROWS = [0, 2, 1, 3]


@dataclass(frozen=True)
class _Match:
    queries: relax.Expr
    keys: relax.Expr
    values: relax.Expr
    mask: relax.Expr | None
    scale: float
    # Keys are [batch, heads, depth, keys] as the product takes them.
    columns: Any


def fuse_attention(module: tvm.IRModule, lanes: int) -> tvm.IRModule:
    """Replace every attention whose scores are float32; what else is there stays as it is."""
    fuser = _Fuser(module, lanes)
    for variable, function in module.functions.items():
        if isinstance(function, relax.Function):
            fuser.builder_.update_func(variable, fuser.visit_expr(function))
    return relax.transform.DeadCodeElimination()(fuser.builder_.get())


@mutator
class _Fuser(PyExprMutator):  # type: ignore[misc]  # TVM has no types.
    def __init__(self, module: tvm.IRModule, lanes: int) -> None:
        super().__init__(module)
        self.lanes = lanes
        self._name = ""

    def visit_var_binding_(self, binding: relax.VarBinding) -> None:
        # The fused operator keeps the name of the product that it ends with: names lead back to the model.
        self._name = binding.var.name
        super().visit_var_binding_(binding)

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        call = super().visit_call_(call)
        name = getattr(call.op, "name", "")
        if name == "relax.matmul":
            fused = self._fused(call)
            return call if fused is None else fused
        if name == "relax.permute_dims" and transposition(call) == _HEADS_AND_ROWS:
            # The fused operator's result is transposed to what the product gave: here it is undone.
            inner = self._binding(call.args[0])
            if is_call(inner, "relax.permute_dims") and transposition(inner) == _HEADS_AND_ROWS:
                return inner.args[0]
        return call

    def _binding(self, value: relax.Expr) -> Any:
        return self.lookup_binding(value) if isinstance(value, relax.Var) else None

    def _fused(self, product: relax.Call) -> relax.Expr | None:
        match = self._match(product)
        if match is None:
            return None
        batch, heads, rows, depth = dims(match.queries)
        operands = [match.queries, match.keys, match.values, *([] if match.mask is None else [match.mask])]
        views = [view_of(operand, self._binding) for operand in operands]
        known = KernelSymbols()
        read = [_operand(view, dims(operand), known) for view, operand in zip(views, operands, strict=True)]
        width = dims(match.values)[3]
        spec = Attention(
            batch=known.rename(batch),
            heads=known.rename(heads),
            rows=known.rename(rows),
            keys=known.rename(match.columns),
            depth=depth,
            width=width,
            scale=match.scale,
            lanes=self.lanes,
        )
        if not known.complete():
            return None
        function = self.builder_.add_func(attention_function(spec, read), "attention")
        result = self.builder_.emit(
            relax.call_tir(
                function,
                [view.base for view in views],
                relax.TensorType([batch, rows, heads, width], "float32"),
            ),
            self._name,
        )
        return relax.op.permute_dims(result, _HEADS_AND_ROWS)

    def _match(self, product: relax.Call) -> _Match | None:
        """The parts of softmax(scale * queries keysᵀ + mask) values."""
        softmax = self._binding(product.args[0])
        if not is_call(softmax, "relax.nn.softmax") or softmax.attrs.axis not in (-1, 3):
            return None
        if len(product.ty.shape) != 4 or str(product.ty.dtype) != "float32":
            return None
        inner, mask, scale = softmax.args[0], None, 1.0
        add = self._binding(inner)
        if is_call(add, "relax.add"):
            sides = list(add.args)
            if not is_call(self._binding(sides[0]), "relax.matmul", "relax.multiply"):
                sides.reverse()
            inner, mask = sides
        inner, factor = self._unscaled(inner)
        scale *= factor
        scores = self._binding(inner)
        if not is_call(scores, "relax.matmul") or str(scores.ty.dtype) != "float32":
            return None
        queries, factor = self._unscaled(scores.args[0])
        scale *= factor
        transposed, factor = self._unscaled(scores.args[1])
        scale *= factor
        shapes = [dims(each) for each in (queries, transposed, product.args[1], scores)]
        if any(len(shape) != 4 for shape in shapes) or (mask is not None and not _is_plain(mask)):
            return None
        if not same_dims(dims(softmax), shapes[3]):
            return None
        # All have the batch and heads of the result: a broadcast is left alone.
        if any(not same_dims(shape[:2], dims(product)[:2]) for shape in shapes):
            return None
        if not isinstance(shapes[0][3], int) or not isinstance(shapes[2][3], int):
            return None
        return _Match(queries, transposed, product.args[1], mask, scale, shapes[3][3])

    def _unscaled(self, value: relax.Expr) -> tuple[relax.Expr, float]:
        """A tensor and the number that it is multiplied by, found before or after it was transposed."""
        call = self._binding(value)
        if is_call(call, "relax.multiply", "relax.divide"):
            factor = constant_array(call.args[1])
            if factor is not None and prod(factor.shape) == 1 and len(factor.shape) <= 4:
                number = float(factor.reshape(()))
                return call.args[0], number if call.op.name == "relax.multiply" else 1.0 / number
        return value, 1.0


def _is_plain(mask: relax.Expr) -> bool:
    return str(mask.ty.dtype) == "float32" and len(mask.ty.shape) <= 4


def _operand(view: View, shape: list[Any], known: KernelSymbols) -> Operand:
    base = known.argument(dims(view.base))

    def index(place: Any) -> list[Any]:
        own = place[len(place) - len(shape) :]
        zero = tirx.IntImm("int64", 0)
        return view.index(
            [zero if isinstance(size, int) and size == 1 else at for size, at in zip(shape, own, strict=True)]
        )

    return Operand(base, index)
