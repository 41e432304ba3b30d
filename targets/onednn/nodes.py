"""What oneDNN computes: nodes, each a primitive or a view, with the arithmetic after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Union

import numpy as np
import numpy.typing as npt
from tvm import relax

Array = npt.NDArray[np.generic]
Operand = Union[relax.Var, "Array"]
"""A value of the subgraph, or a constant."""


Type = Literal["f32", "bf16", "s8", "u8"]
"""What elements are, by oneDNN's names after ``dnnl_``."""


def is_quantized(type: Type) -> bool:
    """Whether elements are integers that stand for numbers."""
    return type in ("s8", "u8")


@dataclass(frozen=True)
class Eltwise:
    """A function of each element, by the name that oneDNN has for it after ``dnnl_eltwise_``."""

    algorithm: str
    alpha: float = 0.0
    beta: float = 0.0


@dataclass(frozen=True)
class Binary:
    """Arithmetic with another tensor, by oneDNN's name after ``dnnl_binary_``.

    ``overwrites``: nobody else reads the other tensor afterwards, which the result may take the place of.
    """

    algorithm: str
    other: Operand
    overwrites: bool = False


PostOp = Eltwise | Binary


@dataclass(frozen=True)
class Node:
    """One primitive, or a view.

    Attributes
    ----------
    kind
        The method of ``Network`` (native/network.h) that makes it.
    inputs
        What it reads, constants as arrays.
    shape
        The sizes of its result.
    result
        What it computes.
    settings
        What else the method takes.
    post_ops
        What is done with each element of the result.
    type
        What the elements of the result are kept in, by oneDNN's name.
    """

    kind: str
    inputs: tuple[Operand, ...]
    shape: tuple[int, ...]
    result: relax.Var
    settings: Mapping[str, Any] = field(default_factory=dict)
    post_ops: tuple[PostOp, ...] = ()
    type: Type = "f32"


VIEWS = frozenset({"reshape", "transpose", "slice"})
"""Kinds of nodes that show memory in another way."""


def operands_of(node: Node) -> list[Operand]:
    """All that a node reads."""
    return [*node.inputs, *(post_op.other for post_op in node.post_ops if isinstance(post_op, Binary))]


def variables_of(node: Node) -> list[relax.Var]:
    """All that a node reads of what others compute."""
    return [operand for operand in operands_of(node) if isinstance(operand, relax.Var)]


def reading(node: Node, same: Mapping[relax.Var, Operand]) -> Node:
    """The node, reading what is the same in place of some variables."""

    def of(operand: Operand) -> Operand:
        return same.get(operand, operand) if isinstance(operand, relax.Var) else operand

    post_ops = tuple(
        replace(post_op, other=of(post_op.other)) if isinstance(post_op, Binary) else post_op
        for post_op in node.post_ops
    )
    return replace(node, inputs=tuple(map(of, node.inputs)), post_ops=post_ops)
