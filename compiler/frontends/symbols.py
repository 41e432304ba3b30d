"""The symbolic dimensions of a model's inputs, and what its operators need of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any

from tvm import relax, tirx
from tvm.sym import Analyzer
from tvm.tirx.analysis import undefined_vars

from paddle_tvm.compiler.imported import ImportedModel, TensorPort, format_dim

# No operator asks for more elements along an axis than this.
_LONGEST = 1 << 24


class SymbolTable:
    """TIR variables by the name of their dimension.

    ``renamed`` maps names to those that stand for them; ``same`` collects further pairs, ``minimums`` the
    least sizes that are not 1.
    """

    def __init__(self, renamed: Mapping[str, str]) -> None:
        self.same: dict[str, str] = {}
        self.minimums: dict[str, int] = {}
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

    def require_at_least(self, dim: Any, least: int) -> None:
        """Note that a dimension computed from one symbol, with which it grows, must not be smaller."""
        used = undefined_vars(dim)
        names = [name for name, variable in self._variables.items() if used and variable.same_as(used[0])]
        if len(used) != 1 or not names:
            return
        (name,) = names

        def reaches(size: int) -> bool:
            analyzer = Analyzer()
            analyzer.bind(used[0], tirx.IntImm("int64", size))
            value = analyzer.simplify(dim)
            return isinstance(value, tirx.IntImm) and int(value.value) >= least

        known = self.minimums.get(name, 1)
        smallest = bisect_left(range(_LONGEST), True, lo=known, key=reaches)
        if known < smallest < _LONGEST:
            self.minimums[name] = smallest

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
