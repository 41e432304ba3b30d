"""Convolutions and products as contractions: sums over one axis ``k`` of products of two operands.

A contraction says in annotations of its block which of its axes go over rows of the product (``m``), over
columns (``n``), and over products of their own (``b``). Convolutions are implicit matrix products: ``k`` goes
over the window's places and the input's channels, and nothing is copied into a matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd, prod
from typing import Any

from tvm import te, tirx

from paddle_tvm.targets.expressions import extent, simplify

RULE = "paddle_tvm.contraction"
"""Annotation: a letter for each axis of the block, ``b``, ``m`` or ``n``."""

GROUPS = "paddle_tvm.groups"
"""Annotation: the axis ``n`` holds so many products of their own, one after the other."""

VECTORS = "paddle_tvm.vectors"
"""Annotation: for each operand along which axis it lies in memory, and in runs of what length."""

_WIDEST = 8


@dataclass(frozen=True)
class Contraction:
    """Sums over ``depth`` products for each place of ``shape``.

    Attributes
    ----------
    name
        What it is.
    shape
        Of the result.
    axes
        A letter for each dimension of it: ``b``, ``m`` or ``n``.
    depth
        Products of a sum.
    operands
        The two factors at a place of the result and a place along ``k``.
    left, right
        How they lie in memory: ``k8`` is along ``k``, in runs of 8.
    groups
        How many products of their own the axis ``n`` holds.
    """

    name: str
    shape: tuple[Any, ...]
    axes: str
    depth: Any
    operands: Callable[[Sequence[Any], Any], tuple[Any, Any]]
    left: str
    right: str
    groups: int = 1

    def size(self, letter: str) -> int | None:
        """The size of a side of the product; None where it is not known."""
        extents = [dim for dim, axis in zip(self.shape, self.axes, strict=True) if axis == letter]
        total = prod(extents) if all(isinstance(dim, int) for dim in extents) else None
        return total // self.groups if letter == "n" and total is not None else total

    def sums(self, out_dtype: str, notes: Mapping[str, Any]) -> te.Tensor:
        """The sums, for a kernel that ``notes`` describes."""
        k = te.reduce_axis((0, self.depth), "k")
        return te.compute(
            self.shape,
            lambda *place: self._sum(place, k, k, out_dtype),
            name=self.name,
            attrs={**self._description(self.axes), **notes},
        )

    def plain_sums(self, out_dtype: str) -> te.Tensor:
        """The sums, each by a thread: for products that are too narrow for tiles."""
        k = te.reduce_axis((0, self.depth), "k")
        return te.compute(self.shape, lambda *place: self._sum(place, k, k, out_dtype), name=self.name)

    def partial_sums(self, splits: int, notes: Mapping[str, Any]) -> te.Tensor:
        """Sums in float32 of equal parts of the depth, [splits, ...]."""
        length = self.depth // splits
        k = te.reduce_axis((0, length), "k")
        return te.compute(
            (splits, *self.shape),
            lambda part, *place: self._sum(place, part * length + k, k, "float32"),
            name=self.name,
            attrs={**self._description("b" + self.axes), **notes},
        )

    def _sum(self, place: Sequence[Any], at: Any, axis: Any, out_dtype: str) -> Any:
        left, right = self.operands(place, at)
        return te.sum(left.astype(out_dtype) * right.astype(out_dtype), axis=axis)

    def _description(self, axes: str) -> dict[str, Any]:
        # What reports call it.
        named = {"paddle_tvm.schedule": "tiles"}
        return {**named, RULE: axes, VECTORS: f"{self.left},{self.right}", GROUPS: self.groups}


def run(axis: str, length: Any) -> str:
    """Along which axis an operand lies, in runs whose length is a divisor of this."""
    return f"{axis}{gcd(length, _WIDEST) if isinstance(length, int) else 1}"


def run_of(text: str) -> tuple[str, int]:
    """The axis and the length that ``run`` put together."""
    return text[0], int(text[1:])


def is_contraction(annotations: Mapping[str, Any]) -> bool:
    """Whether a block is one."""
    return RULE in annotations


@dataclass(frozen=True)
class Windows:
    """The windows of a convolution, by spatial dimension."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    def positions(self, axis: int, size: Any) -> Any:
        """How many windows there are along a dimension."""
        reach = self.dilation[axis] * (self.kernel[axis] - 1)
        room = size + (self.before[axis] + self.after[axis] - reach - 1)
        stride = self.strides[axis]
        return room // stride + 1 if isinstance(room, int) else simplify(tirx.floordiv(room, stride) + 1)


def convolution(
    data: te.Tensor, weight: te.Tensor, windows: Windows, layout: str, groups: int
) -> Contraction:
    """A convolution in any number of dimensions.

    Parameters
    ----------
    data
        The input, in a layout such as ``NHWC`` or ``NCHW``; the result has the same.
    weight
        [output channels, window's places * input channels of a group], channels last.
    windows
        Size, steps and padding.
    layout
        A letter for each dimension of ``data``.
    groups
        Of channels.
    """
    sizes = {letter: extent(dim) for letter, dim in zip(layout, data.shape, strict=True)}
    spatial = [letter for letter in layout if letter not in "NC"]
    out = {letter: windows.positions(axis, sizes[letter]) for axis, letter in enumerate(spatial)}

    def place_of(axis: int, position: Any, tap: Any) -> tuple[Any, list[Any]]:
        place = position * windows.strides[axis] + tap * windows.dilation[axis] - windows.before[axis]
        inside = [place >= 0] if windows.before[axis] else []
        if windows.before[axis] or windows.after[axis]:
            inside.append(place < sizes[spatial[axis]])
        return place, inside

    shape = {**sizes, **out, "C": extent(weight.shape[0])}
    return _windowed(
        "convolution",
        data,
        weight,
        windows.kernel,
        layout,
        groups,
        [shape[each] for each in layout],
        place_of,
    )


def transposed_convolution(
    data: te.Tensor, weight: te.Tensor, windows: Windows, layout: str, groups: int, shape: Sequence[Any]
) -> Contraction:
    """A transposed convolution: each result sums the taps whose input there is.

    ``windows`` are those of the convolution that it transposes; ``weight`` is as for ``convolution``, and
    ``shape`` is the result's.
    """
    sizes = {letter: extent(dim) for letter, dim in zip(layout, data.shape, strict=True)}
    spatial = [letter for letter in layout if letter not in "NC"]

    def place_of(axis: int, position: Any, tap: Any) -> tuple[Any, list[Any]]:
        stride = windows.strides[axis]
        reached = position + windows.before[axis] - tap * windows.dilation[axis]
        place = tirx.floordiv(reached, stride) if stride > 1 else reached
        inside = [reached >= 0, place < sizes[spatial[axis]]]
        return place, [tirx.floormod(reached, stride) == 0, *inside] if stride > 1 else inside

    sized = [extent(dim) for dim in shape]
    return _windowed("transposed_convolution", data, weight, windows.kernel, layout, groups, sized, place_of)


def _windowed(
    name: str,
    data: te.Tensor,
    weight: te.Tensor,
    kernel: Sequence[int],
    layout: str,
    groups: int,
    shape: Sequence[Any],
    place_of: Callable[[int, Any, Any], tuple[Any, list[Any]]],
) -> Contraction:
    """Products of weights with what windows see; ``place_of`` finds the input of a result and a tap."""
    spatial = [letter for letter in layout if letter not in "NC"]
    depth = extent(data.shape[layout.index("C")]) // groups
    per_group = extent(weight.shape[0]) // groups
    zero = tirx.const(0, data.dtype)

    def operands(index: Sequence[Any], k: Any) -> tuple[Any, Any]:
        at = dict(zip(layout, index, strict=True))
        place, inside = {"N": at["N"]}, []
        for axis, (letter, tap) in enumerate(zip(spatial, _taps(k, kernel, depth), strict=True)):
            place[letter], conditions = place_of(axis, at[letter], tap)
            inside += conditions
        channel = k % depth if prod(kernel) > 1 else k
        place["C"] = channel if groups == 1 else at["C"] // per_group * depth + channel
        value = data[tuple(place[letter] for letter in layout)]
        if inside:
            value = tirx.if_then_else(tirx.all(*inside), value, zero)
        return value, weight[at["C"], k]

    return Contraction(
        name=name,
        shape=tuple(shape),
        axes="".join("n" if letter == "C" else "m" for letter in layout),
        depth=prod(kernel) * depth,
        operands=operands,
        left=run("k", depth) if layout[-1] == "C" else "m1",
        right=run("k", prod(kernel) * depth),
        groups=groups,
    )


def _taps(k: Any, kernel: Sequence[int], depth: int) -> list[Any]:
    """The place in the window of an element, by dimension."""
    taps: list[Any] = []
    rest = k // depth if depth > 1 else k
    for size in reversed(kernel):
        taps.insert(0, rest % size if size > 1 else 0)
        rest = rest // size if size > 1 else rest
    return taps


@dataclass(frozen=True)
class View:
    """A tensor with its axes in another order: ``axes`` names, for each of its own, that of the tensor."""

    tensor: te.Tensor
    axes: tuple[int, ...]

    @property
    def shape(self) -> list[Any]:
        return [extent(self.tensor.shape[axis]) for axis in self.axes]

    def __getitem__(self, index: Sequence[Any]) -> Any:
        place = [at for _, at in sorted(zip(self.axes, index, strict=True), key=lambda pair: pair[0])]
        return self.tensor[tuple(place)]

    def run(self, letters: str) -> str:
        """Along which axis it lies in memory; ``letters`` names its own last two."""
        last = self.axes.index(len(self.axes) - 1)
        own = last - (len(self.axes) - 2)
        return run(letters[own], self.shape[last]) if own >= 0 else f"{letters[1]}1"


def matrix_product(left: View, right: View, shape: Sequence[Any]) -> Contraction:
    """``left`` [..., M, K] times ``right`` [..., K, N] to ``shape``; batches of one are repeated."""
    sized = tuple(extent(dim) for dim in shape)
    # With one right-hand matrix, the rows of all products are rows of one.
    one = all(dim == 1 for dim in right.shape[:-2])

    def operands(place: Sequence[Any], k: Any) -> tuple[Any, Any]:
        *outer, row, column = place
        return (
            left[(*_own_index(outer, left.shape[:-2]), row, k)],
            right[(*_own_index(outer, right.shape[:-2]), k, column)],
        )

    return Contraction(
        name="matrix_product",
        shape=sized,
        axes=("m" if one else "b") * (len(sized) - 2) + "mn",
        depth=left.shape[-1],
        operands=operands,
        left=left.run("mk"),
        right=right.run("kn"),
    )


def _own_index(outer: Sequence[Any], sizes: Sequence[Any]) -> list[Any]:
    """Of the indices of a batch those that an operand with batch dimensions ``sizes`` has."""
    tail = list(outer)[len(outer) - len(sizes) :]
    return [0 if size == 1 else at for size, at in zip(sizes, tail, strict=True)]
