"""For each operator that has one, its form on blocked tensors.

A rule gets the carrier and the call as the graph had it, emits the form and returns its result, blocked or
plain; or it returns None: then the operator runs on plain tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tvm import relax
from tvm_ffi import structural_equal

from paddle_tvm.targets.base import CHECK_SHAPE
from paddle_tvm.targets.expressions import extent
from paddle_tvm.targets.x86.conv2d_blocked import conv2d_blocked
from paddle_tvm.targets.x86.conv2d_transpose_blocked import conv2d_transpose_blocked
from paddle_tvm.targets.x86.layout.blocked import Blocked
from paddle_tvm.targets.x86.layout.channels import Moved, concat, shuffle, slice_channels
from paddle_tvm.targets.x86.pooling import legalize_pool
from paddle_tvm.targets.x86.resize import legalize_resize

if TYPE_CHECKING:
    from paddle_tvm.targets.x86.layout.carry import Carrier

Rule = Callable[["Carrier", relax.Call], "Blocked | Moved | relax.Expr | None"]

_UNARY = (
    "abs", "astype", "ceil", "clip", "cos", "erf", "exp", "floor", "log", "negative", "nn.gelu",
    "nn.gelu_tanh", "nn.leakyrelu", "nn.relu", "nn.silu", "nn.softplus", "round", "rsqrt", "sigmoid",
    "sign", "sin", "sqrt", "square", "tanh",
)  # fmt: skip
_BROADCAST = (
    "add", "divide", "equal", "greater", "greater_equal", "less", "less_equal", "maximum", "minimum",
    "multiply", "not_equal", "power", "subtract", "where",
)  # fmt: skip
_REDUCTIONS = ("max", "mean", "min", "sum")


def _elementwise(carrier: Carrier, call: relax.Call) -> Blocked | None:
    """Elementwise operators with broadcasting run on the rank-5 tensors as they are."""
    shape = call.ty.shape
    if shape is None or len(shape) != 4 or _divides_integers(call):
        return None
    known = [
        found
        for argument in call.args
        if (found := carrier.find(argument)) is not None and found.channels == extent(shape[1])
    ]
    if not known:
        return None
    operands = [_operand(carrier, argument, known[0]) for argument in call.args]
    expr = relax.Call(call.op, operands, call.attrs, call.ty_args)
    return Blocked(carrier.builder.emit(expr), known[0].channels, known[0].lanes)


def _divides_integers(call: relax.Call) -> bool:
    """Where lanes beyond the last channel hold zeros the processor would trap."""
    return call.op.name == "relax.divide" and "int" in str(call.args[1].ty.dtype)


def _operand(carrier: Carrier, argument: relax.Expr, like: Blocked) -> relax.Expr:
    """An operand of an elementwise operator, for a result that is blocked as ``like`` is."""
    found = carrier.find(argument)
    if found is not None and found.channels == like.channels:
        return found.expr
    if not isinstance(argument.ty, relax.TensorType):
        # A bound of clip.
        return argument
    shape = [extent(dim) for dim in argument.ty.shape]
    if all(dim == 1 for dim in shape) and len(shape) <= 4:
        # One element broadcasts whatever its rank.
        return carrier.plain(argument)
    if len(shape) >= 3 and shape[-3] == like.channels and like.channels > 1:
        if len(shape) == 3:
            return _block_rank3(carrier, argument)
        return carrier.blocked(argument).expr
    # One value for all channels.
    return carrier.builder.emit(relax.op.expand_dims(carrier.plain(argument), len(shape)))


def _block_rank3(carrier: Carrier, argument: relax.Expr) -> relax.Expr:
    """[C, H, W], which broadcasts over the batch."""
    wide = carrier.builder.emit(relax.op.expand_dims(carrier.plain(argument), 0))
    return carrier.blocked(wide).expr


def _reduce(carrier: Carrier, call: relax.Call) -> Blocked | None:
    """Reductions over height and width that keep those axes."""
    found = carrier.find(call.args[0])
    attrs = call.attrs
    if found is None or attrs.axis is None or not attrs.keepdims:
        return None
    if sorted(int(axis) % 4 for axis in attrs.axis) != [2, 3]:
        return None
    reduced = getattr(relax.op, str(call.op.name).removeprefix("relax."))(found.expr, [2, 3], keepdims=True)
    return Blocked(carrier.builder.emit(reduced), found.channels, found.lanes)


def _pool(carrier: Carrier, call: relax.Call) -> Blocked | None:
    found = carrier.find(call.args[0])
    if found is None:
        return None
    made = legalize_pool(carrier.builder, call, found.expr)
    return None if made is None else Blocked(carrier.builder.emit(made), found.channels, found.lanes)


def _resize(carrier: Carrier, call: relax.Call) -> Blocked | None:
    """Functions of the importer that treat channels alike: interpolation, padding, flips."""
    operands = call.args[1]
    # The others may be sizes.
    if not isinstance(operands, relax.Tuple) or sum(map(_is_tensor, operands.fields)) != 1:
        return None
    found = carrier.find(operands.fields[0])
    if found is None or not structural_equal(list(call.ty.shape)[:2], list(operands.fields[0].ty.shape)[:2]):
        return None
    made = legalize_resize(carrier.builder, call, found.expr)
    return None if made is None else Blocked(carrier.builder.emit(made), found.channels, found.lanes)


def _is_tensor(expr: relax.Expr) -> bool:
    return isinstance(expr.ty, relax.TensorType)


def _check_shape(carrier: Carrier, call: relax.Call) -> Blocked | None:
    """The check of a shape that the importer cannot prove looks at the blocked tensor."""
    function, *arguments = call.args
    if str(function.global_symbol) != CHECK_SHAPE:
        return None
    found, expected = carrier.find(arguments[0]), call.ty_args[0]
    if found is None or len(expected.shape) != 4 or extent(expected.shape[1]) != found.channels:
        return None
    batch, _, rows, columns = expected.shape
    shape = [batch, found.blocks, rows, columns, found.lanes]
    blocked = relax.TensorType(shape, expected.dtype)
    checked = relax.op.call_pure_packed(CHECK_SHAPE, found.expr, ty_args=[blocked])
    return Blocked(carrier.builder.emit(checked), found.channels, found.lanes)


def _named(names: tuple[str, ...], rule: Rule) -> dict[str, Rule]:
    return {f"relax.{name}": rule for name in names}


RULES: Mapping[str, Rule] = {
    **_named(_UNARY, _elementwise),
    **_named(_BROADCAST, _elementwise),
    **_named(_REDUCTIONS, _reduce),
    "relax.nn.conv2d": conv2d_blocked,
    **_named(("nn.adaptive_avg_pool2d", "nn.avg_pool2d", "nn.max_pool2d"), _pool),
    "relax.call_tir": _resize,
    "relax.call_pure_packed": _check_shape,
    "relax.nn.conv2d_transpose": conv2d_transpose_blocked,
    "relax.concat": concat,
    "relax.strided_slice": slice_channels,
    "relax.reshape": shuffle,
}
