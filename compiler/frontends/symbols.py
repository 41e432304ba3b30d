"""The symbolic dimensions of a model's inputs, and which of them its operators need to be equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tvm import relax, tirx

from paddle_tvm.compiler.imported import ImportedModel, TensorPort, format_dim


class SymbolTable:
    """TIR variables by the name of their dimension.

    ``renamed`` maps names to those that stand for them; ``same`` collects further pairs.
    """

    def __init__(self, renamed: Mapping[str, str]) -> None:
        self.same: dict[str, str] = {}
        self._renamed = renamed
        self._variables: dict[str, tirx.Var] = {}

    @property
    def variables(self) -> list[tirx.Var]:
        """All variables, in the order in which they were first asked for."""
        return list(self._variables.values())

    def dims(self, shape: Any) -> list[Any]:
        """A shape of ints and names as a shape of ints and variables."""
        return [dim if isinstance(dim, int) else self._variable(dim) for dim in shape]

    def constrain_equal(self, left: Any, right: Any) -> None:
        """Note that two dimensions must be equal; two plain symbols become one."""
        names = {variable: name for name, variable in self._variables.items()}
        if isinstance(left, tirx.Var) and isinstance(right, tirx.Var) and left in names and right in names:
            kept, dropped = sorted((names[left], names[right]), key=list(self._variables).index)
            if kept != dropped:
                self.same[dropped] = kept

    def _variable(self, name: str) -> tirx.Var:
        while name in self._renamed:
            name = self._renamed[name]
        return self._variables.setdefault(name, tirx.Var(name, "int64"))


def import_with_equal_symbols(build: Callable[[SymbolTable], ImportedModel]) -> ImportedModel:
    """Build a model, anew as long as its operators need symbols to be equal that are not yet."""
    renamed: dict[str, str] = {}
    while True:
        symbols = SymbolTable(renamed)
        model = build(symbols)
        if not symbols.same:
            return model
        renamed.update(symbols.same)


def tensor_port(name: str, expr: relax.Expr) -> TensorPort:
    """An input or output as the rest of the compiler sees it."""
    shape = (int(dim.value) if isinstance(dim, tirx.IntImm) else format_dim(dim) for dim in expr.ty.shape)
    return TensorPort(name, str(expr.ty.dtype), tuple(shape))
