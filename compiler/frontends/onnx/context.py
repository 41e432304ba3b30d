"""What a converter sees of the ONNX node that it converts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from onnx import numpy_helper
from tvm import ir, relax, tirx
from tvm.sym import Analyzer

from paddle_tvm.compiler.frontends.paddle.context import Dim, OpContext, TensorValue
from paddle_tvm.compiler.frontends.paddle.program import Operation, Value
from paddle_tvm.compiler.frontends.symbols import SymbolTable
from paddle_tvm.runtime.errors import UnsupportedModelError

# What shapes are simplified under: the runtime refuses empty inputs, and larger ones do not fit.
_DIMENSIONS = ir.Range(1, 1 << 31)


class NodeContext(OpContext):
    """One node, its imported inputs, and the builder to emit Relax into.

    The same as for a Paddle operation, with ONNX's attributes, operator set and error messages.
    """

    def __init__(
        self,
        node: onnx.NodeProto,
        opset: int,
        operands: Sequence[TensorValue | None],
        builder: relax.BlockBuilder,
        symbols: SymbolTable,
        output_dtypes: Sequence[str | None],
    ) -> None:
        attributes = {attribute.name: _attribute(attribute) for attribute in node.attribute}
        outputs = tuple(Value(None, dtype) for dtype in output_dtypes)
        super().__init__(Operation(node.op_type, (), outputs, attributes, 0), operands, builder, symbols)
        self.node = node
        self.opset = opset
        self.operands = operands
        self.analyzer = _positive(symbols.variables)

    def axis(self, name: str, ndim: int, default: Any = ...) -> int:
        """An attribute that is an axis, made non-negative."""
        axis = int(self.attr(name, default))
        return axis + ndim if axis < 0 else axis

    def axes_from(self, index: int, ndim: int) -> list[int] | None:
        """Axes, which were an attribute before they became input ``index``; None where left out."""
        if self.has_input(index):
            return self.axes(index, ndim)
        axes = self.attr("axes", None)
        return None if axes is None else [axis + ndim if axis < 0 else axis for axis in axes]

    def fix(self, dim: Dim, what: str) -> int:
        """A dimension that must be an int."""
        if not isinstance(dim, int):
            raise self.unsupported(f"{what} is {dim}, and must be a number to compile; fix it with --shape")
        return dim

    def product(self, dims: Sequence[Dim]) -> Dim:
        """The number of elements."""
        total: Dim = 1
        for dim in dims:
            total = self.simplify(total * dim)
        return total

    def unsupported(self, reason: str) -> UnsupportedModelError:
        """An error that names this node; raise it."""
        return UnsupportedModelError(f"{describe(self.node)}: {reason}")


def as_expr(dim: Dim) -> tirx.Expr:
    """A dimension as a TIR expression."""
    return tirx.IntImm("int64", dim) if isinstance(dim, int) else dim


def describe(node: onnx.NodeProto) -> str:
    """A node in an error message: operators have names in few models, results always."""
    return f"{node.op_type} (node '{node.name}', result '{', '.join(node.output)}')"


def _positive(symbols: Sequence[tirx.Var]) -> Analyzer:
    """An analyzer that knows that the dimensions of an input are positive."""
    analyzer = Analyzer()
    for symbol in symbols:
        analyzer.bind(symbol, _DIMENSIONS)
    return analyzer


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return list(value) if attribute.type == onnx.AttributeProto.INTS else value
