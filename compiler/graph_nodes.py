"""The picture of a program, before it is laid out: boxes of operations that follow each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from paddle_tvm.compiler.frontends.paddle.program import Operation, Program, Value

_FAMILIES: dict[str, tuple[str, ...]] = {
    "convolution": ("conv",),
    "matrix": ("matmul", "bmm", "mm", "rnn", "embedding", "einsum", "gemm", "lstm", "gru"),
    "normalisation": (
        "batch_norm", "layer_norm", "group_norm", "instance_norm", "batchnorm", "layernorm", "groupnorm",
        "instancenorm", "lrn",
    ),
    "activation": (
        "relu", "sigmoid", "tanh", "gelu", "silu", "swish", "hard", "leaky", "prelu", "softmax", "elu",
        "mish",
    ),
    "pooling": (
        "pool", "mean", "max", "min", "sum", "arg", "topk", "averagepool", "globalaverage", "globalmax",
        "reduce",
    ),
    "shape": (
        "reshape", "transpose", "flatten", "squeeze", "unsqueeze", "concat", "stack", "split", "slice",
        "expand", "tile", "shape", "cast", "gather", "interp", "nearest", "bilinear", "pad", "strided",
        "resize", "upsample", "identity",
    ),
    "arithmetic": (
        "add", "sub", "multiply", "div", "scale", "pow", "clip", "sqrt", "exp", "rsqrt",
        "quantize", "dequantize",
    ),
}  # fmt: skip
"""Beginnings of names, of Paddle's operators and, in small letters, of ONNX's."""


@dataclass
class Row:
    """One operation in a box."""

    name: str
    detail: str
    family: str
    supported: bool


@dataclass(eq=False)
class Box:
    """Operations of which each feeds only the next, or an input or output of the program."""

    rows: list[Row]
    kind: str = "operations"
    targets: list[tuple[Box, str]] = field(default_factory=list)
    """The boxes that read this one, with the shape that goes there."""


def build_boxes(program: Program, shapes: Mapping[Value, tuple[int, ...]], missing: set[str]) -> list[Box]:
    """Boxes in the program's order.

    What does not depend on an input (weights, constants and the arithmetic on them) is left out.
    """
    box_of: dict[Value, Box] = {}
    boxes: list[Box] = []
    lists: dict[Value, list[Value]] = {}
    readers = _count_readers(program)
    for port in program.inputs:
        box = Box([Row(port.name, f"{port.value.dtype} {_text(shapes, port.value)}", "port", True)], "input")
        boxes.append(box)
        box_of[port.value] = box
    for operation in program.operations:
        operands = [part for value in operation.inputs if value is not None for part in _parts(value, lists)]
        if operation.name == "builtin.combine":
            # A list is no operation: whoever reads it reads its parts.
            lists[operation.outputs[0]] = operands
            continue
        sources = list(dict.fromkeys(value for value in operands if value in box_of))
        if not sources:
            continue
        row = Row(
            operation.name.removeprefix("pd_op."),
            _detail(operation, shapes),
            operator_family(operation.name),
            operation.name not in missing,
        )
        source = box_of[sources[0]]
        joins = len(sources) == 1 and readers[sources[0]] == 1 and source.kind == "operations"
        # Heavy operations begin a box of their own, or a model that is one chain would be one box.
        if joins and not source.targets and row.family not in ("convolution", "matrix", "pooling"):
            source.rows.append(row)
            box = source
        else:
            box = Box([row])
            boxes.append(box)
            for value in sources:
                box_of[value].targets.append((box, _text(shapes, value)))
        for output in operation.outputs:
            box_of[output] = box
    for port in program.outputs:
        box = Box([Row(port.name, f"{port.value.dtype} {_text(shapes, port.value)}", "port", True)], "output")
        boxes.append(box)
        if port.value in box_of:
            box_of[port.value].targets.append((box, _text(shapes, port.value)))
    return boxes


def _parts(value: Value, lists: Mapping[Value, list[Value]]) -> list[Value]:
    return lists.get(value, [value])


def _count_readers(program: Program) -> Counter[Value]:
    """How many read a value, or another result of the same operation; being an output counts."""
    readers = Counter(
        value for operation in program.operations for value in set(operation.inputs) if value is not None
    )
    readers.update(port.value for port in program.outputs)
    for operation in program.operations:
        total = sum(readers[output] for output in operation.outputs)
        readers.update({output: total - readers[output] for output in operation.outputs})
    return readers


def operator_family(name: str) -> str:
    """Which kind of operator of Paddle or ONNX this is, for its colour."""
    short = name.lower().removeprefix("pd_op.").removeprefix("builtin.").removeprefix("depthwise_")
    if short == "mul":
        # Of ONNX, and the beginning of others' names.
        return "arithmetic"
    for family, stems in _FAMILIES.items():
        if short.startswith(stems):
            return family
    return "other"


def _detail(operation: Operation, shapes: Mapping[Value, tuple[int, ...]]) -> str:
    parts = []
    if "conv" in operation.name and len(operation.inputs) > 1 and operation.inputs[1] is not None:
        weight = operation.inputs[1].shape or ()
        parts.append("x".join(map(str, weight[2:])))
        if "strides" in operation.attrs and set(operation.attrs["strides"]) != {1}:
            parts.append("/" + "x".join(map(str, operation.attrs["strides"])))
    if operation.outputs:
        parts.append(_text(shapes, operation.outputs[0]))
    return " ".join(part for part in parts if part)


def _text(shapes: Mapping[Value, tuple[int, ...]], value: Value) -> str:
    shape = shapes.get(value, value.shape)
    if shape is None:
        return ""
    return "x".join("?" if dim == -1 else str(dim) for dim in shape) or "scalar"
