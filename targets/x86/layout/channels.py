"""Concatenation, slices and shuffles of channels, which move nothing until somebody reads the result.

Chains of them (a ShuffleNet unit is a concatenation, a shuffle and two slices) compose to one copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from tvm import relax, te, tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T
from tvm.sym import Analyzer

from paddle_tvm.targets.expressions import ceil_div, extent
from paddle_tvm.targets.x86.layout.blocked import Blocked
from paddle_tvm.targets.x86.tile import RULE, RUNS

if TYPE_CHECKING:
    from paddle_tvm.targets.x86.layout.carry import Carrier

# TVM fuses what comes after a function of this kind into it, and it into that: "injective".
_INJECTIVE = {"op_pattern": 2}
# A copy from more tensors than this is not put off any longer: its code grows with them.
_SOURCES = 8
# Elements to copy that are worth the start of other threads.
_PARALLEL_WORK = 1 << 14


@dataclass(frozen=True)
class Moved:
    """A tensor whose channels lie in others.

    ``places`` says of each channel in which of the sources it is, and which channel of that.
    """

    sources: tuple[Blocked, ...]
    places: tuple[tuple[int, int], ...]

    @property
    def channels(self) -> int:
        return len(self.places)

    @property
    def shape(self) -> list[Any]:
        """The shape [N, C, H, W] that it stands for."""
        batch, _, rows, columns = self.sources[0].shape
        return [batch, self.channels, rows, columns]

    def is_whole(self, lanes: int) -> bool:
        """Whether every block is a block of a source."""
        if any(source.lanes != lanes for source in self.sources):
            return False
        for start in range(0, self.channels, lanes):
            number, first = self.places[start]
            block = self.places[start : start + lanes]
            if first % lanes or block != tuple((number, first + lane) for lane in range(len(block))):
                return False
        return True


def untouched(blocked: Blocked) -> Moved:
    """A blocked tensor as one that nothing has moved yet."""
    return Moved((blocked,), tuple((0, channel) for channel in range(blocked.channels)))


def settle(builder: relax.BlockBuilder, moved: Moved, lanes: int) -> Blocked:
    """The tensor itself, by one copy."""
    sources = [source.expr for source in moved.sources]
    if moved.is_whole(lanes):
        made = builder.call_te(
            lambda *tensors: _te_move_blocks(tensors, moved, lanes),
            *sources,
            primfunc_name_hint="move_channels",
            primfunc_attrs=_INJECTIVE,
        )
    else:
        kernel = builder.add_func(_move_lanes(moved, lanes), "move_channels")
        batch, _, rows, columns = moved.shape
        shape = [batch, ceil_div(moved.channels, lanes), rows, columns, lanes]
        made = relax.call_tir(kernel, sources, relax.TensorType(shape, sources[0].ty.dtype))
    return Blocked(builder.emit(made), moved.channels, lanes)


def _te_move_blocks(tensors: Sequence[te.Tensor], moved: Moved, lanes: int) -> te.Tensor:
    """Copies of whole blocks, from runs of blocks that lie together in a source."""
    batch, _, rows, columns, _ = (extent(dim) for dim in tensors[0].shape)
    blocks = ceil_div(moved.channels, lanes)
    heads = [moved.places[block * lanes] for block in range(blocks)]
    runs = [
        block
        for block in range(blocks)
        if block == 0 or heads[block] != (heads[block - 1][0], heads[block - 1][1] + lanes)
    ]

    def read(n: Any, c: Any, y: Any, x: Any, lane: Any) -> Any:
        def choose(first: int, last: int) -> Any:
            if last - first == 1:
                number, channel = heads[runs[first]]
                return tensors[number][n, c + (channel // lanes - runs[first]), y, x, lane]
            middle = (first + last) // 2
            return tirx.if_then_else(c < runs[middle], choose(first, middle), choose(middle, last))

        return choose(0, len(runs))

    return te.compute(
        (batch, blocks, rows, columns, lanes),
        read,
        name="move_channels",
        attrs={RULE: "move_channels", RUNS: runs},
    )


def _move_lanes(moved: Moved, lanes: int) -> tirx.PrimFunc:
    """A function that copies channels to blocks that do not begin where those of the sources do."""
    batch, _, rows, columns = (
        dim if isinstance(dim, int) else tirx.Var(name, "int64")
        for dim, name in zip(moved.shape, "nchw", strict=True)
    )
    dtype = moved.sources[0].expr.ty.dtype
    blocks = ceil_div(moved.channels, lanes)
    with IRBuilder() as builder, T.prim_func(s_tir=True, is_private=True):
        T.func_attr({"tirx.is_scheduled": True, "tirx.noalias": True, "op_pattern": 8})
        sources = [
            T.match_buffer(
                T.arg(f"source_{number}", T.handle()),
                (batch, source.blocks, rows, columns, source.lanes),
                dtype,
            )
            for number, source in enumerate(moved.sources)
        ]
        result = T.match_buffer(T.arg("result", T.handle()), (batch, blocks, rows, columns, lanes), dtype)
        elements = batch * rows * columns * blocks * lanes
        little = isinstance(elements, int) and elements < _PARALLEL_WORK
        outside = T.serial if little else T.parallel
        with T.sblock("root"), outside(0, batch * rows) as row, T.serial(0, columns) as x:
            n, y = row // rows, row % rows
            for channel in range(blocks * lanes):
                # Nobody looks at lanes beyond the last channel, but they are not left as they were.
                number, place = moved.places[min(channel, moved.channels - 1)]
                width = moved.sources[number].lanes
                value = sources[number][n, place // width, y, x, place % width]
                T.buffer_store(result, value, [n, channel // lanes, y, x, channel % lanes])
    return builder.get()


def concat(carrier: Carrier, call: relax.Call) -> Moved | None:
    """Concatenation along channels."""
    operands = call.args[0]
    if not isinstance(operands, relax.Tuple):
        operands = carrier.producer(operands)
    if not isinstance(operands, relax.Tuple) or call.ty.ndim != 4 or call.attrs.axis is None:
        return None
    fields = list(operands.fields)
    if int(call.attrs.axis) % 4 != 1 or not isinstance(extent(call.ty.shape[1]), int):
        return None
    if all(carrier.peek(field) is None for field in fields):
        return None
    parts = [carrier.movable(field) for field in fields]
    if sum(len(part.sources) for part in parts) > _SOURCES:
        parts = [
            untouched(carrier.blocked(field)) if len(part.sources) > 1 else part
            for field, part in zip(fields, parts, strict=True)
        ]
    offsets = [sum(len(part.sources) for part in parts[:number]) for number in range(len(parts))]
    return Moved(
        tuple(source for part in parts for source in part.sources),
        tuple(
            (offset + number, channel)
            for part, offset in zip(parts, offsets, strict=True)
            for number, channel in part.places
        ),
    )


def slice_channels(carrier: Carrier, call: relax.Call) -> Moved | None:
    """Slices along channels."""
    found = carrier.peek(call.args[0])
    if found is None:
        return None
    axes, begin, _end, *strides = (_integers(argument) for argument in call.args[1:])
    if axes is None or begin is None or [axis % 4 for axis in axes] != [1]:
        return None
    step = strides[0][0] if strides and strides[0] else 1
    if (strides and strides[0] is None) or step < 1:
        return None
    if extent(call.ty.shape[1]) == 0:
        return None
    start = max(0, begin[0] + (found.channels if begin[0] < 0 else 0))
    return _rearranged(found, int(call.ty.shape[1]), lambda channel: channel * step + start)


def _integers(expr: relax.Expr) -> list[int] | None:
    """The values of a tuple of integer constants."""
    if not isinstance(expr, relax.Tuple):
        return None
    values = [extent(getattr(field, "value", field)) for field in expr.fields]
    return values if all(isinstance(value, int) for value in values) else None


def shuffle(carrier: Carrier, call: relax.Call) -> Moved | None:
    """The last reshape of a channel shuffle: [N, g, C / g, H, W], transposed to [N, C / g, g, H, W]."""
    turned = carrier.producer(call.args[0])
    if not _is(turned, "relax.permute_dims") or turned.attrs.axes is None:
        return None
    if [int(axis) for axis in turned.attrs.axes] != [0, 2, 1, 3, 4]:
        return None
    split = carrier.producer(turned.args[0])
    if not _is(split, "relax.reshape"):
        return None
    found = carrier.peek(split.args[0])
    if found is None or len(split.ty.shape) != 5 or len(call.ty.shape) != 4:
        return None
    batch, groups, inner = (extent(split.ty.shape[axis]) for axis in (0, 1, 2))
    same = Analyzer()
    if groups * inner != found.channels or not all(
        same.can_prove_equal(before, after)
        for before, after in zip([batch, *found.shape], [found.shape[0], *call.ty.shape], strict=True)
    ):
        return None
    return _rearranged(found, found.channels, lambda channel: channel % groups * inner + channel // groups)


def _is(expr: Any, name: str) -> TypeGuard[relax.Call]:
    return isinstance(expr, relax.Call) and getattr(expr.op, "name", None) == name


def _rearranged(found: Moved, channels: int, source: Callable[[Any], Any]) -> Moved:
    """The tensor whose channel c is channel ``source(c)`` of another."""
    return Moved(found.sources, tuple(found.places[source(channel)] for channel in range(channels)))
