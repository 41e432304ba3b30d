"""Asks for the weights of the next block of channels while those of this one are used.

The first tile that passes over a block of weights does so as fast as memory gives them. Where that is half of
the time of all tiles, as with maps of 7 x 7, half of it is lost. So each tile asks for a share of the weights
of the block that follows, which then are in the second-level cache when their turn comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import tvm_ffi
from tvm import tirx
from tvm.s_tir.stmt import SBlockRealize

from paddle_tvm.targets.expressions import ceil_div, extent

# Set by a schedule on a reduction loop of a register tile: positions of a tile, tiles of a row, and how many
# tiles share in asking for a block.
AHEAD = "paddle_tvm.ahead"
# The same on a loop of Winograd's products: positions of a tile, tiles of a chunk, and over how many channels
# and blocks of output channels the loops inside pass.
AHEAD_OF_POINT = "paddle_tvm.ahead_of_point"

# What all weights of a kernel take that stay in the cache from one run to the next, if anything does.
_SMALL_BYTES = 512 * 1024
_SECOND_LEVEL = 2
# Axes of a packed weight: packs, channels / step, rows, columns, step, vectors, lanes.
_AXES_OF_WEIGHT = 7


def are_large(weights: int) -> bool:
    """Whether so many float32 weights are worth asking for."""
    return weights * 4 > _SMALL_BYTES


def prefetch(buffer: Any, index: Sequence[Any]) -> tirx.Stmt:
    """Ask for the line of memory with an element, which may lie beyond an axis, and beyond the buffer."""
    address = tirx.call_intrin("handle", "tirx.address_of", tirx.BufferLoad(buffer, list(index)))
    # Data, to be read.
    hints = [tirx.const(value, "int32") for value in (0, _SECOND_LEVEL, 1)]
    return tirx.Evaluate(tirx.call_intrin("void", "tirx.prefetch", address, *hints))


def prefetch_weights(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Put prefetches into every marked loop.

    Requires: blocks that still have their axes. Ensures: the same results.
    """

    def ask(loop: tirx.For) -> Any:
        if AHEAD in loop.annotations:
            asked = _prefetches(loop)
        elif AHEAD_OF_POINT in loop.annotations:
            asked = _prefetches_of_next_point(loop)
        else:
            return loop
        body = tirx.SeqStmt([*asked, loop.body])
        return tirx.For(loop.loop_var, loop.min, loop.extent, loop.kind, body)

    body = tvm_ffi.structural_map(function.body, (tirx.For, ask))
    return function if body.same_as(function.body) else function.with_body(body)


def _prefetches(loop: tirx.For) -> Iterator[tirx.Stmt]:
    points, tiles_of_row, shares = (int(value) for value in loop.annotations[AHEAD])
    realize = _product(loop)
    *rows, position, channel = _start(loop, realize, tirx.IterVar.DataPar)
    chunk, row, column, inner = _start(loop, realize, tirx.IterVar.CommReduce)
    weight = next(
        region.source for region in realize.block.reads if len(region.source.shape) == _AXES_OF_WEIGHT
    )
    packs, _, height, width, step, vectors, lanes = (extent(size) for size in weight.shape)
    tile = position // points
    for outer in rows[1:]:
        tile = outer * tiles_of_row + tile
    next_pack = (channel // (vectors * lanes) + 1) % packs
    # What the loops inside pass over lies side by side.
    passed = [size for size, start in ((height, row), (width, column), (step, inner)) if _is_zero(start)]
    share = ceil_div(prod(passed) * vectors, shares)
    for number in range(share):
        line = tile % shares * share + number
        yield prefetch(weight, [next_pack, chunk, row, column, inner, line, tirx.IntImm("int64", 0)])


def _is_zero(expression: Any) -> bool:
    return isinstance(expression, tirx.IntImm) and int(expression.value) == 0


def _prefetches_of_next_point(loop: tirx.For) -> Iterator[tirx.Stmt]:
    """Asks for the weights of the same output channels at the next point of the transform."""
    points, shares, channels, blocks = (int(value) for value in loop.annotations[AHEAD_OF_POINT])
    realize = _product(loop)
    *_, row, column, position, block, part, _ = _start(loop, realize, tirx.IterVar.DataPar)
    (channel,) = _start(loop, realize, tirx.IterVar.CommReduce)
    run = next(
        axis.dom.extent for axis in realize.block.iter_vars if axis.iter_type == tirx.IterVar.CommReduce
    )
    weight = realize.block.reads[-1].source
    share = ceil_div(channels * blocks, shares)
    for number in range(share):
        line = position // points % shares * share + number
        place = part * run + channel + line % channels
        yield prefetch(weight, [row, column + 1, block + line // channels, place, tirx.IntImm("int64", 0)])


def _product(loop: tirx.For) -> SBlockRealize:
    """The first block in the loop that sums."""
    found: list[SBlockRealize] = []
    tvm_ffi.structural_walk(loop.body, (SBlockRealize, found.append))
    return next(realize for realize in found if _sums(realize))


def _sums(realize: SBlockRealize) -> bool:
    return any(int(axis.iter_type) == tirx.IterVar.CommReduce for axis in realize.block.iter_vars)


def _start(loop: tirx.For, realize: SBlockRealize, kind: int) -> list[Any]:
    """Where the loop's block begins, on its axes of a kind."""
    inner: list[tirx.Var] = []
    tvm_ffi.structural_walk(loop.body, (tirx.For, lambda nested: inner.append(nested.loop_var)))

    def first(variable: tirx.Var) -> Any:
        is_inner = any(variable.same_as(other) for other in inner)
        return tirx.IntImm("int64", 0) if is_inner else variable

    return [
        tvm_ffi.structural_map(value, (tirx.Var, first))
        for axis, value in zip(realize.block.iter_vars, realize.iter_values, strict=True)
        if int(axis.iter_type) == kind
    ]
