"""How this target lowers convolutions and matrix products."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
from tvm import ir, relax, tirx, topi

from paddle_tvm.runtime.errors import UnsupportedModelError
from paddle_tvm.targets.cuda.contraction import Windows
from paddle_tvm.targets.cuda.layer_norm import legalize_layer_norm
from paddle_tvm.targets.cuda.pooling import legalize_max_pool
from paddle_tvm.targets.cuda.product import Convolution, MatrixProduct, Product, TransposedConvolution
from paddle_tvm.targets.cuda.tile import Engine
from paddle_tvm.targets.cuda.workloads import CudaProduct
from paddle_tvm.targets.expressions import constant, constant_array, extent
from paddle_tvm.targets.workload import Choices
from paddle_tvm.targets.zero_operand import legalize_zero_operand

# Groups with fewer channels than this are no matrix products worth the name.
_FEWEST = 8

_FLOATS = ("float32", "float16")


def legalizations(engine: Engine, choices: Choices) -> Mapping[str, Callable[..., Any]]:
    """Relax operator name to its lowering; ``engine`` multiplies what is float32."""
    lowering = Lowering(engine, choices)
    return {
        **{f"relax.nn.conv{n}d": lowering.convolution for n in (1, 2, 3)},
        **{f"relax.nn.conv{n}d_transpose": lowering.transposed_convolution for n in (1, 2, 3)},
        "relax.matmul": lowering.matmul,
        **{f"relax.nn.max_pool{n}d": partial(legalize_max_pool, otherwise=_as_tvm_does) for n in (1, 2, 3)},
        "relax.nn.layer_norm": partial(legalize_layer_norm, otherwise=_as_tvm_does),
        "relax.multiply": partial(legalize_zero_operand, otherwise=_as_tvm_does),
        "relax.divide": partial(legalize_zero_operand, otherwise=_as_tvm_does),
    }


class Lowering:
    """Convolutions and products as contractions, in the forms that are chosen."""

    def __init__(self, engine: Engine, choices: Choices) -> None:
        self.engine = engine
        self.choices = choices

    def takes(self, left: relax.Expr, right: relax.Expr) -> bool:
        """Whether a product of tensors is one of floats."""
        return _is_float(left, right)

    def convolution(self, builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
        """A ``relax.nn.conv1d`` to ``conv3d`` in any layout with whole channels."""
        data, weight = call.args
        layout, order = str(call.attrs.data_layout), str(call.attrs.kernel_layout)
        sizes = _sizes_of(weight, order)
        groups = int(call.attrs.groups)
        if sizes is None or not _is_float(data, weight):
            return _as_tvm_does(builder, call)
        if groups > 1 and min(sizes["I"], sizes["O"] // groups) < _FEWEST:
            return _as_tvm_does(builder, call)
        spatial = [letter for letter in order if letter not in "OI"]
        windows = _windows(call.attrs, [sizes[letter] for letter in spatial])
        product = Product(f"conv{len(spatial)}d", Convolution(windows, layout, groups), str(call.ty.dtype))
        rows = _rows(builder, weight, order, ["O", *spatial, "I"])
        return self._lowered(builder, product, data, rows, call.ty.shape)

    def transposed_convolution(self, builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
        """A ``relax.nn.conv1d_transpose`` to ``conv3d_transpose``."""
        data, weight = call.args
        layout, order = str(call.attrs.data_layout), str(call.attrs.kernel_layout)
        sizes = _sizes_of(weight, order)
        groups = int(call.attrs.groups)
        if sizes is None or not _is_float(data, weight) or (groups > 1 and constant_array(weight) is None):
            return _as_tvm_does(builder, call)
        spatial = [letter for letter in order if letter not in "OI"]
        windows = _windows(call.attrs, [sizes[letter] for letter in spatial])
        axes = ["O", *spatial, "I"]
        rows = (
            _rows(builder, weight, order, axes)
            if groups == 1
            else _rows_of_groups(constant_array(weight), order, axes, groups)
        )
        geometry = TransposedConvolution(windows, layout, groups)
        product = Product(f"conv{len(spatial)}d_transpose", geometry, str(call.ty.dtype))
        return self._lowered(builder, product, data, rows, call.ty.shape)

    def matmul(self, builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
        """A ``relax.matmul`` of any ranks."""
        left, right = call.args
        if not self.takes(left, right):
            return _as_tvm_does(builder, call)
        return self.product(builder, call, left, right)

    def product(
        self,
        builder: relax.BlockBuilder,
        call: relax.Call,
        left: relax.Expr,
        right: relax.Expr,
        left_axes: Sequence[int] | None = None,
        right_axes: Sequence[int] | None = None,
    ) -> relax.Expr:
        """A ``relax.matmul`` of tensors whose axes are taken in the given order."""
        shape = list(call.ty.shape)
        vectors = (len(left.ty.shape) == 1, len(right.ty.shape) == 1)
        if vectors[0]:
            left = _reshaped(builder, left, [1, *left.ty.shape])
            shape.insert(len(shape) - (not vectors[1]), 1)
        if vectors[1]:
            right = _reshaped(builder, right, [*right.ty.shape, 1])
            shape.append(1)
        views = [
            tuple(range(len(operand.ty.shape))) if axes is None else tuple(axes)
            for operand, axes in ((left, left_axes), (right, right_axes))
        ]
        product = Product("matmul", MatrixProduct(*views), str(call.ty.dtype))
        result = self._lowered(builder, product, left, right, shape)
        return _reshaped(builder, builder.emit(result), call.ty.shape) if any(vectors) else result

    def _lowered(
        self,
        builder: relax.BlockBuilder,
        product: Product,
        left: relax.Expr,
        right: relax.Expr,
        shape: Sequence[Any],
    ) -> relax.Expr:
        """A product in the form that is chosen."""
        sizes = [tirx.IntImm("int64", dim) if isinstance(dim, int) else dim for dim in map(extent, shape)]
        engine: Engine = "f16" if str(left.ty.dtype) == "float16" else self.engine
        outline = product.outline(left, right, shape)
        if outline.groups > 1 and min(outline.depth, outline.size("n") or _FEWEST) < _FEWEST:
            return product.emit_plain(builder, left, right, sizes)
        known = [*(outline.size(letter) for letter in "bmn"), extent(outline.depth)]
        batch, rows, columns, depth = (size if isinstance(size, int) else None for size in known)
        if batch is not None:
            batch *= outline.groups
        workload = CudaProduct(batch, rows, columns, depth, engine, outline.left, outline.right)
        config = self.choices.of(workload).config
        return product.emit(builder, left, right, sizes, config, workload.notes(config))


def _is_float(*operands: relax.Expr) -> bool:
    dtypes = {str(operand.ty.dtype) for operand in operands}
    return len(dtypes) == 1 and dtypes.issubset(_FLOATS)


def _sizes_of(weight: relax.Expr, order: str) -> dict[str, int] | None:
    """The dimensions of a weight by letter; None where one is not known."""
    sizes = {letter: extent(dim) for letter, dim in zip(order, weight.ty.shape, strict=True)}
    return sizes if all(isinstance(size, int) for size in sizes.values()) else None


def _windows(attrs: Any, kernel: list[int]) -> Windows:
    padding = [int(pad) for pad in attrs.padding]
    count = len(kernel)
    return Windows(
        tuple(kernel),
        tuple(int(stride) for stride in attrs.strides),
        tuple(int(step) for step in attrs.dilation),
        tuple(padding[:count]),
        tuple(padding[count:]),
    )


def _rows(builder: relax.BlockBuilder, weight: relax.Expr, order: str, wanted: list[str]) -> relax.Expr:
    """A weight as [output channels, all else], in the wanted order."""
    axes = [order.index(letter) for letter in wanted]
    array = constant_array(weight)
    if array is not None:
        turned = array.transpose(axes)
        return constant(turned.reshape(turned.shape[0], -1).copy())
    turned = builder.emit(builder.call_te(topi.transpose, weight, axes, primfunc_name_hint="transpose"))
    sizes = [extent(dim) for dim in turned.ty.shape]
    return _reshaped(builder, turned, [sizes[0], prod(sizes[1:])])


def _rows_of_groups(array: Any, order: str, wanted: list[str], groups: int) -> relax.Expr:
    """A weight [input channels, output channels of a group, ...] as [output channels, what each sums]."""
    axis = order.index("I")
    parts = np.split(array, groups, axis)
    turned = [part.transpose([order.index(letter) for letter in wanted]) for part in parts]
    return constant(np.concatenate([part.reshape(part.shape[0], -1) for part in turned]))


def _reshaped(builder: relax.BlockBuilder, tensor: relax.Expr, shape: Any) -> relax.Expr:
    return builder.emit(builder.call_te(topi.reshape, tensor, list(shape), primfunc_name_hint="reshape"))


def _as_tvm_does(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    lowered: relax.Expr = ir.Op.get(call.op.name).get_attr("FLegalize")(builder, call)
    if isinstance(lowered, relax.Call) and lowered.op.same_as(call.op):
        raise UnsupportedModelError(
            f"{call.op.name} of {', '.join(str(operand.ty) for operand in call.args)} has no kernel for "
            "GPUs: compile the model for CPUs, --target x86"
        )
    return lowered
