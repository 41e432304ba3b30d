"""Folds: operators computed while importing, on constants and on shape tensors.

Elements of a symbolic array are ints and TIR expressions of int64, so NumPy's object arrays do the
broadcasting and the indexing; only division, minimum and maximum need TIR's own functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import tirx

from paddle_tvm.compiler.frontends.paddle.context import OpContext
from paddle_tvm.compiler.frontends.paddle.registry import KnownArray, is_constant, register_fold

# A constant result larger than this is left to the compiled graph: 2^28 elements are a gigabyte of float32.
_MAX_CONSTANT_ELEMENTS = 1 << 28


def _array(ctx: OpContext, index: int) -> KnownArray:
    array = ctx.value(index).array
    assert array is not None
    return array


def object_array(elements: list[Any], shape: tuple[int, ...]) -> KnownArray:
    """An object array that does not try to iterate its TIR expressions."""
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    return array.reshape(shape)


@register_fold("shape", "shape64", reads_values=False)
def _shape(ctx: OpContext) -> KnownArray:
    return _known(ctx.shape(0), (ctx.ndim(0),), ctx.output_dtype)


def _known(elements: list[Any], shape: tuple[int, ...], dtype: str) -> KnownArray:
    if all(isinstance(element, int) for element in elements):
        return np.array(elements, dtype=dtype).reshape(shape)
    return object_array(elements, shape)


def _elementwise(
    ctx: OpContext, numeric: Callable[..., Any], symbolic: Callable[[Any, Any], Any] | None = None
) -> KnownArray | None:
    left, right = _array(ctx, 0), _array(ctx, 1)
    if is_constant(left) and is_constant(right):
        if np.broadcast(left, right).size > _MAX_CONSTANT_ELEMENTS:
            return None
        with np.errstate(all="ignore"):
            return np.asarray(numeric(left, right)).astype(ctx.output_dtype)
    if not np.issubdtype(np.dtype(ctx.output_dtype), np.integer) or symbolic is None:
        return None
    left, right = np.broadcast_arrays(left, right)
    pairs = zip(left.flatten().tolist(), right.flatten().tolist(), strict=True)
    if any(isinstance(element, float) for element in (*left.flat, *right.flat)):
        return None
    return object_array([ctx.simplify(symbolic(a, b)) for a, b in pairs], left.shape)


def _apply(
    function: Callable[[Any, Any], Any], plain: Callable[[int, int], int]
) -> Callable[[Any, Any], Any]:
    def compute(left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int):
            return plain(left, right)
        return function(left, right)

    return compute


@register_fold("add", "add_")
def _add(ctx: OpContext) -> KnownArray | None:
    return _elementwise(ctx, np.add, lambda a, b: a + b)


@register_fold("subtract", "subtract_")
def _subtract(ctx: OpContext) -> KnownArray | None:
    return _elementwise(ctx, np.subtract, lambda a, b: a - b)


@register_fold("multiply", "multiply_")
def _multiply(ctx: OpContext) -> KnownArray | None:
    return _elementwise(ctx, np.multiply, lambda a, b: a * b)


@register_fold("divide", "divide_")
def _divide(ctx: OpContext) -> KnownArray | None:
    if np.issubdtype(np.dtype(ctx.output_dtype), np.floating):
        return _elementwise(ctx, np.true_divide)
    return None


@register_fold("floor_divide", "floor_divide_")
def _floor_divide(ctx: OpContext) -> KnownArray | None:
    if np.issubdtype(np.dtype(ctx.output_dtype), np.integer) and _has_zero(_array(ctx, 1)):
        return None
    return _elementwise(ctx, np.floor_divide, _apply(tirx.floordiv, lambda a, b: a // b))


@register_fold("remainder", "remainder_")
def _remainder(ctx: OpContext) -> KnownArray | None:
    if np.issubdtype(np.dtype(ctx.output_dtype), np.integer) and _has_zero(_array(ctx, 1)):
        return None
    return _elementwise(ctx, np.mod, _apply(tirx.floormod, lambda a, b: a % b))


def _has_zero(array: KnownArray) -> bool:
    return any(isinstance(element, int | np.integer) and element == 0 for element in array.flat)


@register_fold("maximum")
def _maximum(ctx: OpContext) -> KnownArray | None:
    return _elementwise(ctx, np.maximum, _apply(tirx.max, max))


@register_fold("minimum")
def _minimum(ctx: OpContext) -> KnownArray | None:
    return _elementwise(ctx, np.minimum, _apply(tirx.min, min))


@register_fold("scale", "scale_")
def _scale(ctx: OpContext) -> KnownArray | None:
    array, scale = _array(ctx, 0), _array(ctx, 1)
    if not is_constant(scale):
        return None
    factor, bias = scale.item(), ctx.attr("bias")
    if is_constant(array):
        dtype = array.dtype
        factor, bias = np.array(factor, dtype), np.array(bias, dtype)
        result = array * factor + bias if ctx.attr("bias_after_scale") else (array + bias) * factor
        return np.asarray(result, dtype=dtype)
    if factor != int(factor) or bias != int(bias):
        return None
    factor, bias = int(factor), int(bias)
    if ctx.attr("bias_after_scale"):
        elements = [element * factor + bias for element in array.flat]
    else:
        elements = [(element + bias) * factor for element in array.flat]
    return object_array([ctx.simplify(element) for element in elements], array.shape)


@register_fold("cast", "cast_")
def _cast(ctx: OpContext) -> KnownArray | None:
    array = _array(ctx, 0)
    dtype = np.dtype(ctx.attr("dtype"))
    if is_constant(array):
        with np.errstate(invalid="ignore"):
            return array.astype(dtype)
    # Sizes keep their value in any of these types; the elements stay integer expressions.
    return array if dtype in (np.int32, np.int64, np.float32, np.float64) else None


@register_fold("assign", "assign_", "share_data_", "memcpy_h2d", "memcpy_d2h")
def _assign(ctx: OpContext) -> KnownArray:
    return _array(ctx, 0)


@register_fold("slice")
def _slice(ctx: OpContext) -> KnownArray | None:
    array = _array(ctx, 0)
    starts, ends = ctx.dims(1), ctx.dims(2)
    if not all(isinstance(bound, int) for bound in (*starts, *ends)):
        return None
    index: list[Any] = [slice(None)] * array.ndim
    for axis, start, end in zip(ctx.attr("axes"), starts, ends, strict=True):
        index[axis] = slice(start, end)
    # Paddle reads x[-1] as start -1 and end 0 with the axis dropped.
    for axis, start, end in zip(ctx.attr("axes"), starts, ends, strict=True):
        if start == -1 and end == 0 and axis in ctx.attr("decrease_axis"):
            index[axis] = slice(-1, None)
    sliced: KnownArray = array[tuple(index)]
    kept = tuple(size for axis, size in enumerate(sliced.shape) if axis not in ctx.attr("decrease_axis"))
    return np.reshape(sliced, kept)


@register_fold("concat")
def _concat(ctx: OpContext) -> KnownArray:
    parts = [value.array for value in ctx.values(0)]
    return np.concatenate(_common_kind(parts), axis=ctx.ints(1)[0])


@register_fold("stack")
def _stack(ctx: OpContext) -> KnownArray:
    parts = [value.array for value in ctx.values(0)]
    return np.stack(_common_kind(parts), axis=ctx.attr("axis"))


def _common_kind(parts: list[KnownArray | None]) -> list[KnownArray]:
    arrays = [part for part in parts if part is not None]
    if all(is_constant(array) for array in arrays):
        return arrays
    return [object_array(array.flatten().tolist(), array.shape) for array in arrays]


@register_fold("builtin.split")
def _builtin_split(ctx: OpContext) -> list[KnownArray]:
    return [value.array for value in ctx.values(0) if value.array is not None]


@register_fold("reshape", "reshape_")
def _reshape(ctx: OpContext) -> KnownArray | None:
    array, dims = _array(ctx, 0), ctx.dims(1)
    if not all(isinstance(dim, int) for dim in dims):
        return None
    target = [array.shape[axis] if dim == 0 and array.size else dim for axis, dim in enumerate(dims)]
    return array.reshape([int(dim) for dim in target if isinstance(dim, int)])


@register_fold("squeeze", "squeeze_")
def _squeeze(ctx: OpContext) -> KnownArray:
    array = _array(ctx, 0)
    axes = ctx.axes(1, array.ndim) or list(range(array.ndim))
    return array.reshape([size for axis, size in enumerate(array.shape) if axis not in axes or size != 1])


@register_fold("unsqueeze", "unsqueeze_")
def _unsqueeze(ctx: OpContext) -> KnownArray:
    array = _array(ctx, 0)
    for axis in ctx.ints(1):
        array = np.expand_dims(array, axis)
    return array


@register_fold("transpose")
def _transpose(ctx: OpContext) -> KnownArray:
    array = _array(ctx, 0)
    return np.transpose(array, [axis % array.ndim for axis in ctx.attr("perm")])


@register_fold("numel", reads_values=False)
def _numel(ctx: OpContext) -> KnownArray:
    product: Any = 1
    for dim in ctx.shape(0):
        product = product * dim
    return _known([ctx.simplify(product)], (), "int64")


@register_fold("gather")
def _gather(ctx: OpContext) -> KnownArray | None:
    array, index, axis = _array(ctx, 0), _array(ctx, 1), _array(ctx, 2)
    if not is_constant(index) or not is_constant(axis):
        return None
    return np.take(array, index.flatten() if index.ndim else index, axis=int(axis.item()))


@register_fold("prod")
def _prod(ctx: OpContext) -> KnownArray | None:
    array = _array(ctx, 0)
    if is_constant(array) or not ctx.attr("reduce_all", False):
        return None
    product: Any = 1
    for element in array.flat:
        product = product * element
    return object_array([ctx.simplify(product)], (1,) * array.ndim if ctx.attr("keepdim") else ())
