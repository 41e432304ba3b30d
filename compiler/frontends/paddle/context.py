"""What a converter sees of the operation that it converts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from tvm import relax, te, tirx
from tvm.sym import Analyzer
from tvm_ffi import structural_equal

from paddle_tvm.compiler.frontends.paddle.program import Operation
from paddle_tvm.compiler.frontends.paddle.registry import KnownArray, is_constant
from paddle_tvm.compiler.frontends.symbols import SymbolTable
from paddle_tvm.compiler.passes.shape_checks import checked
from paddle_tvm.runtime.errors import UnsupportedModelError

Dim: TypeAlias = "int | tirx.Expr"
"""A dimension: an int, or a TIR expression over symbolic dimensions."""

# A known integer tensor larger than this is data, not a shape computation.
MAX_SYMBOLIC_ELEMENTS = 64


class TensorValue:
    """An imported tensor: what is known of its elements, and the Relax expression, made when asked for.

    ``array`` is a constant, or an object array of ints and TIR expressions (see ``registry``), or None
    where nothing is known.
    """

    def __init__(self, dtype: str, expr: relax.Expr | None = None, array: KnownArray | None = None) -> None:
        self.dtype = dtype
        self.array = array
        self._expr = expr

    def expr(self, builder: relax.BlockBuilder) -> relax.Expr:
        if self._expr is None:
            assert self.array is not None
            if is_constant(self.array):
                self._expr = relax.const(
                    np.ascontiguousarray(self.array).reshape(self.array.shape), self.dtype
                )
            else:
                flat = [tirx.IntImm("int64", v) if isinstance(v, int) else v for v in self.array.flatten()]
                tensor = builder.emit(relax.op.shape_to_tensor(relax.ShapeExpr(flat)))
                tensor = builder.emit(relax.op.reshape(tensor, self.array.shape))
                if self.dtype != "int64":
                    tensor = builder.emit(relax.op.astype(tensor, self.dtype))
                self._expr = tensor
        return self._expr

    @property
    def shape(self) -> list[Dim]:
        if self._expr is not None:
            return shape_of(self._expr)
        assert self.array is not None
        return list(self.array.shape)


Imported: TypeAlias = "TensorValue | list[TensorValue] | None"


def as_dim(value: Any) -> Dim:
    """An int where the expression is a constant, else the expression."""
    if isinstance(value, tirx.IntImm):
        return int(value.value)
    if isinstance(value, int | np.integer):
        return int(value)
    return value


def as_expr(dim: Dim) -> tirx.Expr:
    """A dimension as an int64 expression."""
    return tirx.IntImm("int64", dim) if isinstance(dim, int) else dim


def as_exprs(dims: Sequence[Dim]) -> list[tirx.Expr]:
    """Dimensions as int64 expressions: the shape of a tensor expression whose indices are int64."""
    return [as_expr(dim) for dim in dims]


def shape_of(expr: relax.Expr) -> list[Dim]:
    """The dimensions of an emitted expression."""
    shape = expr.ty.shape
    if shape is None:
        raise ValueError(f"the shape of {expr} is not known: {expr.ty}")
    return [as_dim(dim) for dim in shape]


def emit_simplified(builder: relax.BlockBuilder, expr: relax.Expr) -> relax.Var:
    """Bind an expression, with the dimensions that Relax infers in their simplest form.

    TVM 0.27 infers ``1 + n`` where its later passes write ``n + 1``, and FuseTIR takes these for
    different: kernels made from the inferred shape would not fuse.
    """
    if isinstance(expr, relax.Call):
        expr = builder.normalize(expr)
        if isinstance(expr.ty, relax.TensorType) and isinstance(expr.ty.shape, relax.ShapeExpr):
            dims = list(expr.ty.shape.values)
            simplified = [Analyzer().simplify(dim) for dim in dims]
            if not all(structural_equal(a, b) for a, b in zip(dims, simplified, strict=True)):
                wanted = relax.TensorType(simplified, expr.ty.dtype, expr.ty.vdevice)
                expr = relax.Call(expr.op, expr.args, expr.attrs, expr.ty_args, ret_ty=wanted)
    return builder.emit(expr)


class OpContext:
    """One operation, its imported operands, and the builder to emit Relax into."""

    def __init__(
        self,
        operation: Operation,
        operands: Sequence[Imported],
        builder: relax.BlockBuilder,
        symbols: SymbolTable,
    ) -> None:
        self.operation = operation
        self.builder = builder
        self.analyzer = Analyzer()
        self._operands = operands
        self._symbols = symbols

    # Operands -----------------------------------------------------------------------------------------

    def has_input(self, index: int) -> bool:
        """Whether an optional operand is there."""
        return index < len(self._operands) and self._operands[index] is not None

    def value(self, index: int) -> TensorValue:
        """A tensor operand."""
        operand = self._operands[index]
        if not isinstance(operand, TensorValue):
            raise self.unsupported(f"operand {index} is {'missing' if operand is None else 'a tensor list'}")
        return operand

    def values(self, index: int) -> list[TensorValue]:
        """The tensors of an operand that is a list (``builtin.combine``)."""
        operand = self._operands[index]
        if not isinstance(operand, list):
            raise self.unsupported(
                f"operand {index} is {'missing' if operand is None else 'a single tensor'}"
            )
        return operand

    def input(self, index: int) -> relax.Expr:
        """A tensor operand as a Relax expression."""
        return self.value(index).expr(self.builder)

    def inputs(self, index: int) -> list[relax.Expr]:
        """The tensors of a list operand as Relax expressions."""
        return [value.expr(self.builder) for value in self.values(index)]

    def shape(self, index: int) -> list[Dim]:
        """The dimensions of a tensor operand."""
        return self.value(index).shape

    def ndim(self, index: int) -> int:
        """The rank of a tensor operand."""
        return len(self.shape(index))

    def dtype(self, index: int) -> str:
        """The NumPy dtype name of a tensor operand."""
        return self.value(index).dtype

    def is_known(self, index: int) -> bool:
        """Whether the value of an operand is known while compiling: ``dims`` can read it."""
        operand = self._operands[index]
        parts = operand if isinstance(operand, list) else [self.value(index)]
        return all(part.array is not None for part in parts)

    def constant(self, index: int) -> KnownArray:
        """The value of an operand that must be known while compiling.

        Raises
        ------
        UnsupportedModelError
            It is computed from the input's values or shape.
        """
        array = self.value(index).array
        if array is None or not is_constant(array):
            raise self.unsupported(
                f"operand {index} depends on the model's input, and must be a constant to compile; "
                "fix the input's dimensions with --shape"
            )
        return array

    def dims(self, index: int) -> list[Dim]:
        """The elements of an integer operand (a 1-d tensor, a 0-d one, or a list of either) as dimensions."""
        operand = self._operands[index]
        parts = operand if isinstance(operand, list) else [self.value(index)]
        dims: list[Dim] = []
        for part in parts:
            if part.array is None:
                raise self.unsupported(
                    f"operand {index} (a shape, axis or index) depends on the values of the model's input"
                )
            dims += [as_dim(element) for element in part.array.flatten()]
        return dims

    def ints(self, index: int) -> list[int]:
        """As ``dims``, where symbolic dimensions are not allowed."""
        dims = self.dims(index)
        if not all(isinstance(dim, int) for dim in dims):
            raise self.unsupported(
                f"operand {index} depends on the input's shape ({dims}), and must be a constant to "
                "compile; fix the input's dimensions with --shape"
            )
        return [int(dim) for dim in dims]

    def axes(self, index: int, ndim: int) -> list[int]:
        """An operand of axes, made non-negative."""
        return [axis + ndim if axis < 0 else axis for axis in self.ints(index)]

    # Attributes ---------------------------------------------------------------------------------------

    def attr(self, name: str, default: Any = ...) -> Any:
        """An attribute; without a default it must be there."""
        if name not in self.operation.attrs and default is ...:
            raise self.unsupported(f"attribute '{name}' is missing")
        return self.operation.attrs.get(name, default)

    @property
    def output_dtype(self) -> str:
        """What the program says of the first result's dtype."""
        dtype = self.operation.outputs[0].dtype
        assert dtype is not None
        return dtype

    # Emitting -----------------------------------------------------------------------------------------

    def emit(self, expr: relax.Expr) -> relax.Var:
        """Bind an expression to a variable, so that its shape is known."""
        return emit_simplified(self.builder, expr)

    def emit_te(
        self,
        compute: Callable[..., te.Tensor | list[te.Tensor]],
        *args: Any,
        name: str,
        attributes: Mapping[str, str] | None = None,
    ) -> relax.Var:
        """Bind a call of a tensor expression; ``name`` is what the kernel is called in reports."""
        return self.builder.emit_te(
            compute, *args, primfunc_name_hint=name, primfunc_attrs=dict(attributes or {})
        )

    # Shapes -------------------------------------------------------------------------------------------

    def simplify(self, dim: Dim) -> Dim:
        """A dimension in its simplest form, an int if it is one."""
        return dim if isinstance(dim, int) else as_dim(self.analyzer.simplify(dim))

    def is_equal(self, left: Dim, right: Dim) -> bool:
        """Whether two dimensions are provably equal for every input."""
        if isinstance(left, int) and isinstance(right, int):
            return left == right
        return bool(self.analyzer.can_prove_equal(left, right))

    def require_equal(self, tensor: relax.Expr, shape: Sequence[Dim]) -> relax.Expr:
        """Cast a tensor to a shape that it must have; what cannot be proved is checked at run time."""
        own = shape_of(tensor)
        assert len(own) == len(shape)
        if all(self.is_equal(left, right) for left, right in zip(own, shape, strict=True)):
            return tensor
        for left, right in zip(own, shape, strict=True):
            self._symbols.constrain_equal(left, right)
        wanted = relax.TensorType([as_expr(dim) for dim in shape], str(tensor.ty.dtype))
        return self.builder.emit(checked(tensor, wanted))

    def require_at_least(self, dim: Dim, least: Dim) -> None:
        """Have the runtime refuse inputs for which a dimension computed from theirs is smaller."""
        if isinstance(least, int) and not isinstance(dim, int):
            self._symbols.require_at_least(dim, least)

    def broadcast(self, tensors: Sequence[relax.Expr]) -> list[relax.Expr]:
        """Make tensors fit each other by NumPy's rules, with run-time checks for what cannot be proved.

        A symbolic dimension is taken to be equal to its partner, not to be 1.
        """
        shapes = [shape_of(tensor) for tensor in tensors]
        rank = max(map(len, shapes))
        target: list[Dim] = [1] * rank
        for shape in shapes:
            for axis, dim in enumerate(shape, rank - len(shape)):
                # A constant says more than a symbol.
                if target[axis] == 1 or (isinstance(dim, int) and dim != 1):
                    target[axis] = dim
        return [
            self.require_equal(
                tensor,
                [
                    dim if isinstance(dim, int) and dim == 1 else target[axis]
                    for axis, dim in enumerate(shape, rank - len(shape))
                ],
            )
            for tensor, shape in zip(tensors, shapes, strict=True)
        ]

    # Errors -------------------------------------------------------------------------------------------

    def unsupported(self, reason: str) -> UnsupportedModelError:
        """An error that names this operation; raise it."""
        return UnsupportedModelError(f"{self.operation}: {reason}")
