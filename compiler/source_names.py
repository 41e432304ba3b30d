"""Names by which values of a graph tell the operator of the model that they come from.

A value of operation 12, a ``conv2d``, is bound to ``conv2d_12_``. The passes keep names, and what makes two
of one name puts digits behind it; so the name ends with an underscore.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from tvm import relax

_NAME = re.compile(r"(?P<operator>.+)_(?P<number>\d+)_(?P<copy>\d*)")


class SourceOperator(NamedTuple):
    """An operation of the model; ``number`` is its place in the program."""

    operator: str
    number: int

    def __str__(self) -> str:
        return f"{self.operator} #{self.number}"


def source_name(operator: str, number: int) -> str:
    """The name for values of an operation of the model.

    Parameters
    ----------
    operator
        The operator's name, with or without its dialect (``pd_op.``).
    number
        The operation's place in the program.
    """
    bare = "".join(char if char.isalnum() else "_" for char in operator.rpartition(".")[2])
    return f"{bare}_{number}_"


def parse_source_name(name: str) -> SourceOperator | None:
    """The operation that a value comes from; None for a value that a pass made."""
    match = _NAME.fullmatch(name)
    return None if match is None else SourceOperator(match["operator"], int(match["number"]))


class NamingBuilder(relax.BlockBuilder):  # type: ignore[misc]  # TVM has no types.
    """A builder that names what it emits after the operation that is being imported."""

    def __init__(self) -> None:
        super().__init__()
        self.source = ""

    def emit(self, expr: relax.Expr, name_hint: str = "") -> relax.Var:
        """Bind an expression to a variable; see ``relax.BlockBuilder.emit``."""
        variable: Any = super().emit(expr, name_hint or self.source)
        return variable
