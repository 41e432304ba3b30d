"""Errors of runs that native code did not finish, in terms of the inputs.

The compiler writes what a check compares into the code, and TVM adds the sizes that it found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from paddle_tvm.runtime.errors import PaddleTvmError, UsageError
from paddle_tvm.runtime.manifest import Shape
from paddle_tvm.runtime.shapes import show

SIZES_REFUSED = "sizes refused: "
"""Begins what native code says of sizes that the model cannot take."""

# What ONNX Runtime says when a node of a subgraph fails; before the slash of its name stands the operator.
_NODE_FAILED = re.compile(
    r"while running (?P<type>\S+) node\. Name:'(?P<name>[^'/]*)[^']*' Status Message: (?P<reason>.*)", re.S
)
_NO_MEMORY = ("std::bad_alloc", "Failed to allocate memory")

_OWN, _WANTED = "a size inside the model", " is to be "
_COMPARED = re.compile(r"\((?P<got>-?\d+) vs\. (?P<expected>-?\d+)\)")
_AXIS = re.compile(r"shape\[(\d+)\]")


def size_check(own: Sequence[str] | None, wanted: Sequence[str]) -> str:
    """What a check says that fails: the sizes of a tensor, where known, and those that it is to have."""
    pairs = zip(own or [_OWN] * len(wanted), wanted, strict=True)
    return SIZES_REFUSED + "".join(f"{size}{_WANTED}{expected}; " for size, expected in pairs)


def failure(
    path: str, message: str, inputs: Mapping[str, Shape], shapes: Mapping[str, Sequence[int]]
) -> PaddleTvmError:
    """The error of a run.

    Parameters
    ----------
    path
        The artifact.
    message
        What native code says.
    inputs
        For each input the shape that the function takes, with symbols.
    shapes
        For each input the shape that it had.
    """
    given = ", ".join(f"{name} {show(shape)}" for name, shape in shapes.items())
    found, refused, reason = message.partition(SIZES_REFUSED)
    if refused:
        # A shape without dimensions cannot be fixed.
        option = " ".join(f"{name}={','.join(map(str, shape))}" for name, shape in shapes.items() if shape)
        return UsageError(
            f"{path}: the model cannot take {given}: {_explained(found, reason, inputs)}. Give sizes that "
            f"fit; where the model as it was saved takes these, compile it for them: --shape '{option}'"
        )
    if any(text in message for text in _NO_MEMORY):
        return UsageError(
            f"{path}: to run the model on {given} takes more memory than this process can have; give "
            "smaller sizes, or fewer at a time"
        )
    failed = _NODE_FAILED.search(message)
    if failed is not None:
        # Shapes were checked, and the session was made: values that the operator does not take are left.
        operator = failed["type"] + (f" ({failed['name']})" if " #" in failed["name"] else "")
        return UsageError(
            f"{path}: ONNX Runtime's {operator} refuses {given}: {failed['reason'].strip()}. Give input "
            "whose values it takes"
        )
    return PaddleTvmError(f"{path}: the model failed on {given}: {message}")


def _explained(found: str, reason: str, inputs: Mapping[str, Shape]) -> str:
    compared, axis = _COMPARED.search(found), _AXIS.search(reason)
    if compared is None or axis is None:
        return reason.strip()
    own, wanted = reason.split("; ")[int(axis[1])].split(_WANTED)
    got, expected = compared["got"], compared["expected"]
    if own.isdecimal():
        # A weight, to whose size those of the inputs have to come.
        own, wanted, got, expected = wanted, own, expected, got
    here = "" if wanted.isdecimal() else f", {expected} here"
    places = _places(f"{own} {wanted}", inputs)
    return f"expected {own} to be {wanted}{here}, got {got}" + (f" ({places})" if places else "")


def _places(text: str, inputs: Mapping[str, Shape]) -> str:
    """Where the symbols of a text stand in the inputs' shapes."""
    places: dict[str, str] = {}
    for name, shape in inputs.items():
        for axis, dimension in enumerate(shape):
            places.setdefault(str(dimension), f"{dimension} is dimension {axis} of {name!r}")
    symbols = dict.fromkeys(re.findall(r"[A-Za-z_]\w*", text))
    return ", ".join(places[symbol] for symbol in symbols if symbol in places)
