"""Quantised graphs: what lies between dequantisation and quantisation, computed on the integers themselves.

A quantised value stands for ``scale * (integer - zero_point)``. Graphs that carry quantisation compute with
those numbers, and round the results: here products read the integers, and round what they write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from tvm import relax

from paddle_tvm.targets.onednn.nodes import (
    VIEWS,
    Array,
    Binary,
    Eltwise,
    Node,
    Operand,
    Type,
    reading,
    variables_of,
)

_DTYPES: dict[Type, str] = {"s8": "int8", "u8": "uint8"}


@dataclass(frozen=True)
class QuantizedWeights:
    """Signed integers, and the scale of each output or of all.

    Attributes
    ----------
    integers
        int8, as the operator wants its weights.
    scales
        float32, of one element or as many as there are outputs.
    """

    integers: Array
    scales: npt.NDArray[np.float32]


def on_integers(nodes: Sequence[Node], results: Sequence[relax.Var], *, products: bool) -> list[Node]:
    """The same nodes, in order, with integers read where they were dequantised before.

    ``results`` are what others read of them; ``products`` says whether products may read integers, too.
    """
    return _Rewriter(results, products).rewrite(nodes)


class _Rewriter:
    def __init__(self, results: Sequence[relax.Var], products: bool) -> None:
        self._results = set(results)
        self._products = products
        # What computes each value, of those that have been rewritten.
        self._producers: dict[relax.Var, Node] = {}
        # Values that are the same as others.
        self._same: dict[relax.Var, Operand] = {}
        self._done: list[Node] = []

    def rewrite(self, nodes: Sequence[Node]) -> list[Node]:
        for node in nodes:
            self._rewrite(reading(node, self._same))
        read = {variable for node in self._done for variable in variables_of(node)} | self._results
        return [node for node in self._done if node.kind != "dequantize" or node.result in read]

    def _add(self, node: Node) -> None:
        self._done.append(node)
        self._producers[node.result] = node

    def _rewrite(self, node: Node) -> None:
        if node.kind == "quantize":
            self._quantize(node)
        elif "quantized" in node.settings:
            self._product(node)
        elif node.kind in VIEWS or node.kind == "shuffle" or node.settings.get("algorithm") == "max":
            self._move(node)
        elif node.kind == "apply" and not node.settings:
            self._add(self._sum(node) or node)
        else:
            self._add(node)

    def _source(self, operand: Operand) -> Node | None:
        """The dequantisation that an operand comes from."""
        found = self._producers.get(operand) if isinstance(operand, relax.Var) else None
        return found if found is not None and found.kind == "dequantize" else None

    def _quantize(self, node: Node) -> None:
        """Nothing at all, where the numbers are those of integers of the same kind."""
        source = self._source(node.inputs[0])
        if source is None or _parameters(source) != _parameters(node):
            self._add(node)
            return
        integers = source.inputs[0]
        if node.result in self._results:
            self._add(replace(node, kind="reshape", inputs=(integers,), settings={}))
        else:
            self._same[node.result] = integers

    def _move(self, node: Node) -> None:
        """Elements that are moved or compared may be integers as well."""
        source = self._source(node.inputs[0])
        if source is None:
            self._add(node)
            return
        kind: Type = source.settings["type"]
        integers = relax.Var(f"{node.result.name}_{kind}", relax.TensorType(node.shape, _DTYPES[kind]))
        self._add(replace(node, inputs=(source.inputs[0],), result=integers, type=kind))
        self._add(replace(source, inputs=(integers,), shape=node.shape, result=node.result))

    def _product(self, node: Node) -> None:
        """A product of integers, where its source is dequantised; else of the numbers."""
        settings = dict(node.settings)
        weights: QuantizedWeights = settings.pop("quantized")
        source = self._source(node.inputs[0])
        if source is None or not self._products:
            numbers = weights.integers.astype("float32") * _along(weights.scales, node)
            self._add(replace(node, inputs=(node.inputs[0], numbers), settings=settings))
            return
        settings["scales"] = np.float32(source.settings["scale"]) * weights.scales
        settings["zero_point"] = source.settings["zero_point"]
        inputs = (source.inputs[0], weights.integers)
        self._add(replace(node, inputs=inputs, settings=settings))

    def _sum(self, node: Node) -> Node | None:
        """Sums and differences of dequantised tensors: each has its scale, zero points are one number."""
        first, *rest = node.post_ops
        if not isinstance(first, Binary) or first.algorithm not in {"add", "sub"}:
            return None
        left, right = self._source(node.inputs[0]), self._source(first.other)
        if left is None or right is None:
            return None
        sign = 1 if first.algorithm == "add" else -1
        offset = sum(
            factor * source.settings["scale"] * source.settings["zero_point"]
            for factor, source in ((-1, left), (-sign, right))
        )
        shift = (Eltwise("linear", 1.0, offset),) if offset else ()
        return replace(
            node,
            inputs=(left.inputs[0],),
            settings={"scales": (left.settings["scale"], right.settings["scale"])},
            post_ops=(Binary(first.algorithm, right.inputs[0]), *shift, *rest),
        )


def _parameters(node: Node) -> Any:
    return node.settings["scale"], node.settings["zero_point"], node.settings["type"]


def _along(scales: npt.NDArray[np.float32], node: Node) -> npt.NDArray[np.float32]:
    """The scales of outputs, so that weights can be multiplied by them."""
    if node.kind == "matmul" or scales.size == 1:
        return scales
    rank = len(node.shape)
    axis = 1 if node.kind == "deconvolution" else 0
    return scales.reshape([-1 if place == axis else 1 for place in range(rank)])
