"""Shapes and random values to try a model with, such that they reach its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from paddle_tvm.compiler.frontends.source import ModelSource
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.manifest import TensorSpec
from paddle_tvm.runtime.shapes import show
from paddle_tvm.runtime.wording import counted

Arrays = dict[str, npt.NDArray[np.generic]]
Shapes = dict[str, tuple[int, ...]]

# Image sizes are multiples of 32, which is what backbones divide by; height and width differ, so that a
# model which mixes them up is found out. The first are quick; later ones are for models that refuse those.
_IMAGE_SIZES = ((64, 96), (224, 256), (640, 320), (32, 32))
_LENGTHS = (16, 128, 32, 1)
TYPICAL, ELSEWHERE = 1, (0, 2)
"""The sizes among these that models are used at most, and smaller and larger ones."""

# An integer input that nothing uses as an index is most often a mask or a flag.
_DEFAULT_INDEX_BOUND = 2


def default_shape_sets(ports: Sequence[TensorSpec], number: int, first: int = 0) -> Iterator[Shapes]:
    """Shapes for the ``number``-th try of a model: the best guess first, then others.

    ``first`` is the place of the sizes to begin with, such as ``TYPICAL``.

    Equal symbols get equal sizes; what is fixed stays. Tries 0 and 1 differ in most symbols, and every
    second one in all of them.
    """
    # With token numbers among the inputs, the last axes of a rank-4 input are an attention mask's.
    texts = any(len(port.shape) == 2 and np.dtype(port.dtype).kind in "iu" for port in ports)
    seen: list[Shapes] = []
    for level in sorted(range(len(_LENGTHS)), key=lambda level: level != first):
        for batch in (1 + number, 1):
            sizes: dict[str, int] = {}
            shapes = {
                port.name: tuple(
                    dim if isinstance(dim, int) and dim >= 0
                    else sizes.setdefault(
                        str(dim) if isinstance(dim, str) else f"{port.name}/{axis}",
                        _guess(port, axis, number, level, batch, texts),
                    )
                    for axis, dim in enumerate(port.shape)
                )
                for port in ports
            }  # fmt: skip
            if shapes not in seen:
                seen.append(shapes)
                yield shapes


def _guess(port: TensorSpec, axis: int, number: int, level: int, batch: int, texts: bool) -> int:
    rank = len(port.shape)
    if axis == 0:
        return batch
    length = _LENGTHS[level] * (2 + number) // 2
    further = number // 2
    if rank >= 4 and axis >= 2:
        height, width = _IMAGE_SIZES[level]
        return length if texts or 1 in port.shape[2:] else (height, width)[(axis + number) % 2] + 32 * further
    if rank >= 4:
        return 3 + further
    return length if axis == 1 else 16 * (1 + further)


def complete_shapes(
    ports: Sequence[TensorSpec], asked: Mapping[str, Sequence[int]], first: int = 0, option: str = "--shape"
) -> Iterator[Shapes]:
    """Candidates that agree with the shapes of ``asked``, which may leave inputs out.

    ``first`` is as in `default_shape_sets`; ``option`` is where the shapes come from.

    Raises
    ------
    UsageError
        A name is no input, or a shape contradicts the model.
    """
    known = {port.name for port in ports}
    unknown = set(asked) - known
    if unknown:
        raise UsageError(
            f"the model has no input {', '.join(sorted(unknown))}; its inputs are {', '.join(sorted(known))}"
        )
    sizes: dict[str, int] = {}
    for port in ports:
        for axis, (dim, size) in enumerate(_paired(port, asked[port.name]) if port.name in asked else ()):
            if isinstance(dim, int) and dim >= 0:
                if dim != size:
                    raise UsageError(
                        f"input '{port.name}' is given the shape {show(asked[port.name])}, "
                        f"the model takes {_listed(port.shape)}"
                    )
            elif size == 0:
                raise UsageError(
                    f"input '{port.name}': expected at least 1 in dimension {axis}"
                    f"{f' ({dim})' if isinstance(dim, str) else ''}, got 0"
                )
            elif isinstance(dim, str) and sizes.setdefault(dim, size) != size:
                raise UsageError(
                    f"{option} gives dimension '{dim}' as {sizes[dim]} and, in input '{port.name}', as {size}"
                )
    bound = [
        TensorSpec(
            port.name,
            port.dtype,
            tuple(asked[port.name])
            if port.name in asked
            else tuple(sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in port.shape),
        )
        for port in ports
    ]
    return default_shape_sets(bound, 0, first)


def _paired(port: TensorSpec, shape: Sequence[int]) -> list[tuple[int | str, int]]:
    if len(shape) != len(port.shape):
        raise UsageError(
            f"input '{port.name}' is given {counted(len(shape), 'dimension')} {show(shape)}, "
            f"the model takes {len(port.shape)}: {_listed(port.shape)}"
        )
    return list(zip(port.shape, shape, strict=True))


def _listed(shape: Sequence[int | str]) -> str:
    return show(["?" if dim == -1 else dim for dim in shape])


def random_inputs(
    ports: Sequence[TensorSpec],
    shapes: Shapes,
    rng: np.random.Generator,
    index_bounds: Mapping[str, int],
    scale: float = 1.0,
) -> Arrays:
    """Random arrays: normal floats of deviation ``scale``, integers below their bound, mostly true bools."""
    arrays: Arrays = {}
    for port in ports:
        shape, dtype = shapes[port.name], np.dtype(port.dtype)
        if dtype.kind == "b":
            arrays[port.name] = rng.random(shape) < 0.75
        elif dtype.kind in "iu":
            bound = index_bounds.get(port.name, _DEFAULT_INDEX_BOUND)
            arrays[port.name] = np.asarray(rng.integers(0, max(bound, 1), shape)).astype(dtype)
        else:
            arrays[port.name] = np.asarray(rng.standard_normal(shape) * scale).astype(dtype)
    return arrays


def model_inputs(
    ports: Sequence[TensorSpec], source: ModelSource | None, shapes: Shapes, seed: int
) -> Arrays:
    """Random inputs of a model; what it uses as an index stays within its tables, where its file is known."""
    bounds: Mapping[str, int] = {}
    if source is not None and any("int" in port.dtype for port in ports):
        # Loading Paddle takes seconds.
        from paddle_tvm.compiler.reference import open_reference

        bounds = open_reference(source).index_bounds
    return random_inputs(ports, shapes, np.random.default_rng(seed), bounds)
