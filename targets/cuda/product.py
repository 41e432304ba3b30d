"""A convolution or a product before it has a form, and the functions that compute it in one.

It is kept as an attribute of the function that computes it, so that whoever has the function can have it
computed in another form: ``tune`` does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeAlias

from tvm import relax, te, topi

from paddle_tvm.targets.cuda.contraction import (
    Contraction,
    View,
    Windows,
    convolution,
    matrix_product,
    transposed_convolution,
)
from paddle_tvm.targets.workload import Config

PRODUCT = "paddle_tvm.product"
"""Attribute of a TIR function: the product that it computes, as ``Product.key`` gives it."""

# TVM's fusion takes what comes after a function of this kind into it ("out elementwise fusable"), and leaves
# others alone ("opaque").
FUSES_WHAT_FOLLOWS: Mapping[str, Any] = {"op_pattern": 4}
_OPAQUE: Mapping[str, Any] = {"op_pattern": 8}


@dataclass(frozen=True)
class Convolution:
    """Of a tensor in a layout such as ``NHWC``, with a weight as ``contraction.convolution`` takes it."""

    kind: ClassVar[str] = "convolution"
    windows: Windows
    layout: str
    groups: int

    def contraction(self, left: te.Tensor, right: te.Tensor, shape: Sequence[Any]) -> Contraction:
        return convolution(left, right, self.windows, self.layout, self.groups)


@dataclass(frozen=True)
class TransposedConvolution:
    """The same, transposed."""

    kind: ClassVar[str] = "transposed convolution"
    windows: Windows
    layout: str
    groups: int

    def contraction(self, left: te.Tensor, right: te.Tensor, shape: Sequence[Any]) -> Contraction:
        return transposed_convolution(left, right, self.windows, self.layout, self.groups, shape)


@dataclass(frozen=True)
class MatrixProduct:
    """Of tensors whose axes are taken in the given orders."""

    kind: ClassVar[str] = "matrix product"
    left_axes: tuple[int, ...]
    right_axes: tuple[int, ...]

    def contraction(self, left: te.Tensor, right: te.Tensor, shape: Sequence[Any]) -> Contraction:
        return matrix_product(View(left, self.left_axes), View(right, self.right_axes), shape)


Geometry: TypeAlias = Convolution | TransposedConvolution | MatrixProduct


@dataclass(frozen=True)
class Product:
    """What is multiplied with what; ``name`` is that of the functions that compute it."""

    name: str
    geometry: Geometry
    out_dtype: str

    @property
    def key(self) -> str:
        """All of it as JSON, the same for the same product."""
        values = {"kind": self.geometry.kind, **asdict(self.geometry)}
        return json.dumps({"name": self.name, "out_dtype": self.out_dtype, "geometry": values})

    @staticmethod
    def from_key(key: str) -> Product:
        """The product of a key."""
        values = json.loads(key)
        given = values["geometry"]
        geometry: Geometry
        if given["kind"] == MatrixProduct.kind:
            geometry = MatrixProduct(tuple(given["left_axes"]), tuple(given["right_axes"]))
        else:
            windows = Windows(**{name: tuple(sizes) for name, sizes in given["windows"].items()})
            one = Convolution if given["kind"] == Convolution.kind else TransposedConvolution
            geometry = one(windows, given["layout"], given["groups"])
        return Product(values["name"], geometry, values["out_dtype"])

    def outline(self, left: relax.Expr, right: relax.Expr, shape: Sequence[Any]) -> Contraction:
        """The contraction of two operands to a shape."""
        return self.geometry.contraction(_placeholder(left), _placeholder(right), list(shape))

    def emit_plain(
        self, builder: relax.BlockBuilder, left: relax.Expr, right: relax.Expr, sizes: Sequence[Any]
    ) -> relax.Expr:
        """Compute each sum by a thread; ``sizes`` are the shape of the result, as the function takes them."""
        return builder.call_te(
            lambda x, w, sized: self.geometry.contraction(x, w, sized).plain_sums(self.out_dtype),
            left,
            right,
            list(sizes),
            primfunc_name_hint=self.name,
            primfunc_attrs=dict(FUSES_WHAT_FOLLOWS),
        )

    def emit(
        self,
        builder: relax.BlockBuilder,
        left: relax.Expr,
        right: relax.Expr,
        sizes: Sequence[Any],
        config: Config,
        notes: Mapping[str, Any],
    ) -> relax.Expr:
        """Compute it in a form, as one function that what follows is fused with, or as two.

        Parameters
        ----------
        builder
            Gets the functions.
        left, right
            The operands.
        sizes
            The shape of the result. It goes in as an argument: TVM renames the symbols of what goes in, and
            only of that.
        config
            The form, of a ``workloads.CudaProduct``.
        notes
            The workload's annotations for it.
        """
        attributes = {PRODUCT: self.key}
        if config["splits"] == 1:
            return builder.call_te(
                lambda x, w, sized: self.geometry.contraction(x, w, sized).sums(self.out_dtype, notes),
                left,
                right,
                list(sizes),
                primfunc_name_hint=self.name,
                primfunc_attrs={**FUSES_WHAT_FOLLOWS, **attributes},
            )
        parts = builder.emit(
            builder.call_te(
                lambda x, w, sized: self.geometry.contraction(x, w, sized).partial_sums(
                    config["splits"], notes
                ),
                left,
                right,
                list(sizes),
                primfunc_name_hint=self.name,
                primfunc_attrs={**_OPAQUE, **attributes},
            )
        )
        return builder.call_te(
            lambda x: _added(x, self.out_dtype),
            parts,
            primfunc_name_hint=f"{self.name}_parts",
            primfunc_attrs=dict(FUSES_WHAT_FOLLOWS),
        )


def _added(parts: te.Tensor, out_dtype: str) -> te.Tensor:
    """Sums over the first dimension."""
    part = te.reduce_axis((0, parts.shape[0]), "part")
    total = te.compute(
        tuple(parts.shape[1:]), lambda *place: te.sum(parts[(part, *place)], axis=part), name="parts"
    )
    return total if out_dtype == "float32" else topi.cast(total, out_dtype)


def _placeholder(expr: relax.Expr) -> te.Tensor:
    return te.placeholder(list(expr.ty.shape), str(expr.ty.dtype))
