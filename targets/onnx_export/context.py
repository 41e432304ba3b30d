"""What a converter sees of the call that it converts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
from tvm import ir, relax, tirx

from paddle_tvm.targets.onnx_export.graph import Graph


class ExportContext:
    """A call, the names in the graph of its operands, and the graph to add nodes to.

    Attributes
    ----------
    call
        The call, whose attributes and numbers converters read. Sizes in it may have other names than in
        ``result`` and ``types``.
    result
        The type of what it computes.
    types
        The types of its operands; None for what is no tensor.
    kernel
        The TIR function that it calls, if it calls one.
    """

    def __init__(
        self,
        graph: Graph,
        call: relax.Call,
        result: Any,
        operands: Sequence[str | list[str] | None],
        types: Sequence[relax.TensorType | None],
        kernel: tirx.PrimFunc | None,
    ) -> None:
        self.graph = graph
        self.call = call
        self.attrs = call.attrs
        self.result = result
        self.types = types
        self.kernel = kernel
        self._operands = operands

    def input(self, index: int) -> str:
        """The name of a tensor operand."""
        name = self._operands[index]
        assert isinstance(name, str)
        return name

    def inputs(self, index: int) -> list[str]:
        """The names of the tensors of an operand that is a tuple."""
        names = self._operands[index]
        assert isinstance(names, list)
        return names

    def dims(self, index: int) -> list[tirx.Expr]:
        """The sizes of a tensor operand."""
        ty = self.types[index]
        assert ty is not None
        return list(ty.shape)

    def rank(self, index: int) -> int:
        """How many dimensions a tensor operand has."""
        return len(self.dims(index))

    def dtype(self, index: int) -> str:
        """The dtype of a tensor operand."""
        ty = self.types[index]
        assert ty is not None
        return str(ty.dtype)

    def add(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one result."""
        return self.graph.node(op_type, inputs, attributes=attributes)[0]

    def scalar(self, value: float, dtype: str) -> str:
        """A constant without dimensions."""
        return self.graph.constant(value, dtype)

    def ints(self, values: Sequence[int]) -> str:
        """A constant vector of int64."""
        return self.graph.constant(list(values), "int64")

    def reshaped(self, value: str) -> str:
        """A value in the shape of the result."""
        return reshape(self.graph, value, list(self.result.shape))


def reshape(graph: Graph, value: str, dims: Sequence[tirx.Expr]) -> str:
    """A value in another shape."""
    return graph.node("Reshape", [value, graph.shape(dims)])[0]


def number(expr: Any) -> float | int | None:
    """The value of an operand that is one number; None where it is not known."""
    expr = getattr(expr, "value", expr)
    if isinstance(expr, int | float | tirx.IntImm | tirx.FloatImm):
        return getattr(expr, "value", expr)
    return None


def numbers(expr: Any) -> list[int] | None:
    """The values of an operand that is a tuple of whole numbers; None where one is not known."""
    values = [number(part) for part in expr.fields]
    return None if None in values else [int(value) for value in values if value is not None]


def size(dim: tirx.Expr) -> int | None:
    """A size, where it is known."""
    return int(dim.value) if isinstance(dim, tirx.IntImm) else None


def constant(expr: relax.Expr) -> npt.NDArray[Any] | None:
    """The value of a constant; None for everything else."""
    return expr.value.numpy() if isinstance(expr, ir.Constant) else None


def is_float(expr: relax.Expr) -> bool:
    """Whether a tensor is of a floating point type."""
    return str(expr.ty.dtype).startswith("float")


def tensors_of(call: relax.Call) -> list[relax.Expr]:
    """The operands of a call that are tensors, those in tuples too."""
    found: list[relax.Expr] = []
    for operand in call.args:
        found += operand.fields if isinstance(operand, relax.Tuple) else [operand]
    return [operand for operand in found if isinstance(getattr(operand, "ty", None), relax.TensorType)]
