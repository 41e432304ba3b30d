"""The shapes of an ONNX model's inputs, where one name may stand for dimensions of several inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paddle_tvm.compiler.frontends.onnx.model import GraphInput, OnnxModel
from paddle_tvm.compiler.frontends.shapes import check_shapes, symbol_stems
from paddle_tvm.runtime.errors import UnsupportedModelError, UsageError


def input_shapes(
    model: OnnxModel, asked: Mapping[str, Sequence[int | str]] | None
) -> dict[str, tuple[int | str, ...]]:
    """The shape of every input; symbolic dimensions are strings.

    A dimension that the model names gets this name, and is fixed everywhere when ``asked`` fixes it once.

    Raises
    ------
    UsageError
        ``asked`` names no input, contradicts the model, or gives one named dimension two values.
    UnsupportedModelError
        The model does not say how many dimensions an input has, and neither does ``asked``.
    """
    asked = asked or {}
    unknown = set(asked) - {port.name for port in model.inputs}
    if unknown:
        raise UsageError(
            f"the model has no input {', '.join(sorted(unknown))}; its inputs are "
            + ", ".join(port.name for port in model.inputs)
        )
    symbols = _symbols(model)
    stems = symbol_stems(port.name for port in model.inputs)
    shapes = {
        port.name: _joined(port, asked.get(port.name), stems[port.name], symbols) for port in model.inputs
    }
    given = _given_values(model, shapes, symbols)
    return {name: tuple(given.get(dim, dim) for dim in shape) for name, shape in shapes.items()}


def _symbols(model: OnnxModel) -> dict[str, str]:
    """An identifier for every name of a dimension."""
    return symbol_stems(dim for port in model.inputs for dim in port.shape or () if isinstance(dim, str))


def _joined(
    port: GraphInput, asked: Sequence[int | str] | None, stem: str, symbols: Mapping[str, str]
) -> tuple[int | str, ...]:
    if port.shape is None:
        if asked is None:
            raise UnsupportedModelError(
                f"the model does not say how many dimensions input '{port.name}' has: "
                f"give its shape with --shape {port.name}=..."
            )
        return check_shapes(port.name, [-1] * len(asked), asked, stem)
    declared = [dim if isinstance(dim, int) else -1 for dim in port.shape]
    names = [symbols[dim] if isinstance(dim, str) else None for dim in port.shape]
    return check_shapes(port.name, declared, asked, stem, names)


def _given_values(
    model: OnnxModel, shapes: Mapping[str, Sequence[int | str]], symbols: Mapping[str, str]
) -> dict[int | str, int | str]:
    """What the user put in place of the model's names of dimensions, by symbol."""
    given: dict[int | str, int | str] = {}
    for port in model.inputs:
        for axis, dim in enumerate(port.shape or ()):
            if not isinstance(dim, str):
                continue
            symbol, value = symbols[dim], shapes[port.name][axis]
            if value == symbol:
                continue
            if given.setdefault(symbol, value) != value:
                raise UsageError(
                    f"--shape gives the dimension '{dim}' two values, {given[symbol]} and {value} "
                    f"(the latter at dimension {axis} of input '{port.name}')"
                )
    return given
