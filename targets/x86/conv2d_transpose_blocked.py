"""Lowers conv2d_transpose on blocked activations: a dense convolution for each phase of the output.

Along an axis with stride s, the output positions p, p + s, p + 2s, ... see the same taps of the kernel, at
consecutive input positions: every phase p is a convolution with ceil(kernel / s) taps. So nothing is
computed that is not used, and no overlapping products are written and summed.
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from tvm import relax, te, tirx
from tvm.sym import Analyzer

from paddle_tvm.targets.expressions import ceil_div, constant, extent, simplify
from paddle_tvm.targets.x86.conv2d import FUSES_WHAT_FOLLOWS, float32_weight
from paddle_tvm.targets.x86.conv2d_transpose import POINTWISE, gather_products
from paddle_tvm.targets.x86.direct import direct, direct_tile, pack_weight
from paddle_tvm.targets.x86.layout.blocked import Blocked
from paddle_tvm.targets.x86.tile import FEW_CHANNELS, PHASES, choose_tile, tile_annotations

if TYPE_CHECKING:
    from paddle_tvm.targets.x86.layout.carry import Carrier


class Phases:
    """Geometry of a transposed convolution: kernel, strides, padding and sizes, each (height, width)."""

    def __init__(self, call: relax.Call) -> None:
        attrs = call.attrs
        top, left, bottom, right = (int(pad) for pad in attrs.padding)
        self.kernel = tuple(extent(call.args[1].ty.shape[axis]) for axis in (2, 3))
        self.strides = tuple(int(stride) for stride in attrs.strides)
        self.before = (top, left)
        self.sizes = tuple(extent(call.args[0].ty.shape[axis]) for axis in (2, 3))
        removed = (top + bottom, left + right)
        self.outputs = tuple(
            simplify((size - 1) * stride + (kernel - gone + int(extra)))
            for size, stride, kernel, gone, extra in zip(
                self.sizes, self.strides, self.kernel, removed, attrs.output_padding, strict=True
            )
        )

    def taps(self, axis: int) -> int:
        """Taps of the kernel that fall on one output position."""
        return -(-int(self.kernel[axis]) // self.strides[axis])

    def shift(self, phase: Any, axis: int) -> Any:
        """Input position of the first tap of a phase's first output position."""
        return (phase + self.before[axis]) // self.strides[axis]

    def even(self) -> list[int]:
        """The strides where all phases have the same number of output positions, else nothing."""
        analyzer = Analyzer()
        even = all(
            analyzer.can_prove_equal(size % stride, 0)
            for size, stride in zip(self.outputs, self.strides, strict=True)
        )
        return list(self.strides) if even else []

    def analysable(self) -> bool:
        """Whether sizes that are not known yet are the input's times the stride, no more and no less."""
        if all(isinstance(size, int) for size in self.outputs):
            return True
        analyzer = Analyzer()
        return bool(self.even()) and all(
            isinstance(output, int) or analyzer.can_prove_equal(output, size * stride)
            for output, size, stride in zip(self.outputs, self.sizes, self.strides, strict=True)
        )

    def steps(self, axis: int) -> Any:
        """Output positions of one phase."""
        return ceil_div(self.outputs[axis], self.strides[axis])


def conv2d_transpose_blocked(carrier: Carrier, call: relax.Call) -> Blocked | relax.Expr | None:
    """A ``relax.nn.conv2d_transpose`` of one group without dilation on blocked activations."""
    attrs = call.attrs
    data = call.args[0]
    array = float32_weight(call, "IOHW")
    if array is None:
        return None
    total = array.shape[1]
    if int(attrs.groups) != 1:
        return None
    if total <= FEW_CHANNELS:
        return _few_channels(carrier, call, array) if carrier.find(data) is not None else None
    if any(int(step) != 1 for step in attrs.dilation):
        return None
    phases = Phases(call)
    if not phases.analysable():
        # TVM 0.27 fails to analyse which products such a result reads.
        return None
    lanes = carrier.lanes_of(total)
    source = carrier.blocked(data).expr
    tile = choose_tile(phases.steps(1), ceil_div(total, lanes), lanes, array.shape[0])
    packed = pack_phases(array, phases, extent(source.ty.shape[4]), tile.blocks, lanes)
    made = carrier.builder.call_te(
        lambda x, w: _transpose(x, w, phases, tile),
        source,
        constant(packed),
        primfunc_name_hint="conv2d_transpose",
        primfunc_attrs=FUSES_WHAT_FOLLOWS,
    )
    return Blocked(carrier.builder.emit(made), total, lanes)


def _few_channels(carrier: Carrier, call: relax.Call, array: npt.NDArray[Any]) -> relax.Expr:
    """The plain result of a transposed convolution to few channels.

    A vector holds the products with the elements of the kernel, where it could not be filled with channels.
    """
    depth, total, height, width = array.shape
    products = total * height * width
    lanes = carrier.lanes_of(products)
    source = carrier.blocked(call.args[0])
    pointwise = array.reshape(depth, products, 1, 1).transpose(1, 0, 2, 3)
    tile = direct_tile(source.expr, POINTWISE, products, lanes, depth)

    def compute(x: te.Tensor, w: te.Tensor) -> te.Tensor:
        blocks = direct(x, w, POINTWISE, tile)

        def read(n: Any, channel: Any, y: Any, x: Any) -> tirx.Expr:
            return blocks[n, channel // lanes, y, x, channel % lanes]

        return gather_products(read, x, call.attrs, (total, height, width))

    made = carrier.builder.call_te(
        compute,
        source.expr,
        constant(pack_weight(pointwise, source.lanes, tile.blocks, lanes)),
        primfunc_name_hint="conv2d_transpose",
        primfunc_attrs=FUSES_WHAT_FOLLOWS,
    )
    return carrier.builder.emit(made)


def pack_phases(
    weight: npt.NDArray[Any], phases: Phases, width: int, vectors: int, lanes: int
) -> npt.NDArray[Any]:
    """IOHW to [phase y, phase x, O / (vectors * lanes), I / k, tap y, tap x, k, vectors, lanes].

    Tap t of a phase is the kernel's element ``(phase + padding) % stride + t * stride``, zero beyond it.
    """
    depth, total, height, columns = weight.shape
    step = gcd(depth, width)
    packs = ceil_div(total, vectors * lanes)
    rows, cols = phases.taps(0), phases.taps(1)
    (stride_y, stride_x), (top, left) = phases.strides, phases.before
    padded = np.zeros((depth, packs * vectors * lanes, rows * stride_y, cols * stride_x), weight.dtype)
    padded[:, :total, :height, :columns] = weight
    # [..., tap, phase of the kernel] to the order of the output's phases.
    split = padded.reshape(depth // step, step, packs, vectors, lanes, rows, stride_y, cols, stride_x)
    split = split.take([(phase + top) % stride_y for phase in range(stride_y)], axis=6)
    split = split.take([(phase + left) % stride_x for phase in range(stride_x)], axis=8)
    return np.ascontiguousarray(split.transpose(6, 8, 2, 0, 5, 7, 1, 3, 4))


def _transpose(data: te.Tensor, weight: te.Tensor, phases: Phases, tile: Any) -> te.Tensor:
    batch, *_, width = (extent(dim) for dim in data.shape)
    stride_y, stride_x, packs, chunks, taps_y, taps_x, step, vectors, lanes = (
        extent(dim) for dim in weight.shape
    )
    steps_y, steps_x = phases.steps(0), phases.steps(1)
    tiled = ceil_div(steps_x, tile.points) * tile.points
    out_rows, out_columns = phases.outputs
    data, (first_y, first_x) = _pad(data, phases, steps_y, tiled)

    outer = te.reduce_axis((0, chunks), "c")
    i = te.reduce_axis((0, taps_y), "i")
    j = te.reduce_axis((0, taps_x), "j")
    inner = te.reduce_axis((0, step), "k")

    def product(n: Any, y: Any, py: Any, px: Any, x: Any, o: Any) -> tirx.Expr:
        channel = outer * step + inner
        row = y + phases.shift(py, 0) - i + first_y
        column = x + phases.shift(px, 1) - j + first_x
        kernel = weight[py, px, o // (vectors * lanes), outer, i, j, inner, o // lanes % vectors, o % lanes]
        value = data[n, channel // width, row, column, channel % width]
        return te.sum(value * kernel, axis=[outer, i, j, inner])

    sums = te.compute(
        (batch, steps_y, stride_y, stride_x, tiled, packs * vectors * lanes),
        product,
        name="conv2d_transpose",
        attrs={**tile_annotations(tile, lanes, None, blocked=True), PHASES: phases.even()},
    )
    return te.compute(
        (batch, packs * vectors, out_rows, out_columns, lanes),
        lambda n, o, y, x, lane: sums[
            n, y // stride_y, y % stride_y, x % stride_x, x // stride_x, o * lanes + lane
        ],
        name="arrange",
    )


def _pad(data: te.Tensor, phases: Phases, steps_y: Any, steps_x: Any) -> tuple[te.Tensor, tuple[int, int]]:
    """The input with zeros wherever taps reach beyond it, and how many stand before it."""
    batch, blocks, rows, columns, width = (extent(dim) for dim in data.shape)
    before_y, before_x = (
        max(0, phases.taps(axis) - 1 - phases.before[axis] // phases.strides[axis]) for axis in (0, 1)
    )
    last = tuple(phases.shift(phases.strides[axis] - 1, axis) for axis in (0, 1))
    height = simplify(steps_y + last[0] + before_y)
    breadth = simplify(steps_x + last[1] + before_x)
    if before_y == before_x == 0 and (height, breadth) == (rows, columns):
        return data, (0, 0)
    padded = te.compute(
        (batch, blocks, height, breadth, width),
        lambda n, c, y, x, lane: tirx.if_then_else(
            tirx.all(y >= before_y, y < rows + before_y, x >= before_x, x < columns + before_x),
            data[n, c, y - before_y, x - before_x, lane],
            tirx.const(0, data.dtype),
        ),
        name="pad",
    )
    return padded, (before_y, before_x)
