"""Loads a saved Paddle program and turns it into plain data that does not depend on Paddle.

Paddle reads both forms, PIR ``.json`` and, through its own translator, ``.pdmodel``; one operator
vocabulary (``pd_op.*``) comes out. The importer sees only the classes below.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from paddle_tvm.compiler.frontends.paddle.paddle_library import import_paddle, static_mode
from paddle_tvm.compiler.frontends.paddle.params import read_params
from paddle_tvm.compiler.frontends.source import ModelSource
from paddle_tvm.runtime.errors import UnsupportedModelError


@dataclass(frozen=True, eq=False)
class Value:
    """A result of an operation: a tensor, or a list of tensors where ``shape`` is None.

    ``shape`` has -1 for dimensions that the program does not know; ``dtype`` is a NumPy name. Both are
    what the program says, which is not always what comes out (FACTS: ``full`` typed ``-1x32``).
    """

    shape: tuple[int, ...] | None
    dtype: str | None


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation; an input is None where an optional operand is left out."""

    name: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    attrs: dict[str, Any]
    number: int

    def __str__(self) -> str:
        return f"{self.name} (operation {self.number})"


@dataclass(frozen=True)
class Port:
    """A named input or output of the program."""

    name: str
    value: Value


@dataclass(frozen=True)
class Program:
    """A whole inference program; ``inputs`` and ``outputs`` stand in Paddle Inference's order."""

    operations: tuple[Operation, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    params: dict[str, npt.NDArray[np.generic]] = field(repr=False)

    def count_operators(self) -> Counter[str]:
        """How often each operator occurs."""
        return Counter(operation.name for operation in self.operations)


def load_program(source: ModelSource) -> Program:
    """Load the program and the parameters of ``source``.

    Raises
    ------
    UnsupportedModelError
        A file is missing, truncated, or not what its name says.
    """
    with static_mode():
        if source.kind == "pir":
            pir, declared = _load_pir(source.program)
        else:
            pir, declared = _load_pdmodel(source.program)
        try:
            operations, inputs, outputs = _read_block(pir.global_block())
        except KeyError as error:
            raise UnsupportedModelError(
                f"{source.program} is damaged: an operation lacks {error}. Save the model again"
            ) from error
    if not outputs:
        raise UnsupportedModelError(f"{source.program} has no outputs: it is no inference program")
    return Program(operations, inputs, outputs, read_params(source.params, declared))


def _load_pir(path: Path) -> tuple[Any, dict[str, tuple[int, ...]]]:
    paddle = import_paddle()
    try:
        # Paddle's reader aborts the process on some truncated files: find out first.
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise UnsupportedModelError(
            f"{path} is truncated or damaged: it is not valid JSON ({error}). Save the model again"
        ) from error
    if not isinstance(content, dict) or "program" not in content or "base_code" not in content:
        raise UnsupportedModelError(
            f"{path} is no Paddle program: the entries 'base_code' and 'program' of a PIR file are missing"
        )
    program = paddle.static.Program()
    try:
        paddle.base.core.deserialize_pir_program(str(path), program)
    except Exception as error:
        raise UnsupportedModelError(
            f"Paddle {paddle.__version__} cannot read {path}: {_first_line(error)}"
        ) from error
    declared = {}
    for op in program.global_block().ops:
        if op.name() == "builtin.parameter":
            attrs = op.attrs()
            if all(attrs.get("persistable", [True])):
                declared[attrs["parameter_name"]] = tuple(op.result(0).shape)
    return program, declared


def _load_pdmodel(path: Path) -> tuple[Any, dict[str, tuple[int, ...]]]:
    paddle = import_paddle()
    from paddle.static.io import deserialize_program, is_persistable

    content = path.read_bytes()
    if not content:
        raise UnsupportedModelError(f"{path} is empty")
    try:
        with paddle.pir_utils.OldIrGuard():
            legacy = deserialize_program(content)
            legacy = paddle.base.framework.process_type_promotion(legacy)
            declared = {
                variable.name: tuple(variable.shape)
                for variable in legacy.list_vars()
                if is_persistable(variable)
            }
        program = paddle.pir.translate_to_pir(legacy.desc)
    except Exception as error:
        raise UnsupportedModelError(
            f"{path} is truncated, damaged or no Paddle program: Paddle {paddle.__version__} says "
            f"{_first_line(error)}"
        ) from error
    return program, declared


def _first_line(error: Exception) -> str:
    """The line of a Paddle error that says something; the others are C++ frames and banners."""
    lines = [line.strip() for line in str(error).splitlines()]
    for line in lines:
        if "Error:" in line or "(InvalidArgument)" in line:
            return line
    return next((line for line in lines if line and not line.startswith("-")), type(error).__name__)


def _read_block(block: Any) -> tuple[tuple[Operation, ...], tuple[Port, ...], tuple[Port, ...]]:
    values: dict[tuple[int, int], Value] = {}
    operations: list[Operation] = []
    fed: list[tuple[int, Port]] = []
    fetched: list[tuple[int, Port]] = []
    for number, op in enumerate(block.ops):
        name, attrs = op.name(), _read_attrs(op)
        operands = tuple(_operand(values, operand) for operand in op.operands_source())
        if name == "pd_op.fetch":
            assert operands[0] is not None
            fetched.append((attrs["col"], Port(attrs["name"], operands[0])))
            continue
        results = tuple(_read_type(result) for result in op.results())
        for index, result in enumerate(results):
            values[op.id(), index] = result
        if name in ("pd_op.data", "pd_op.feed"):
            # The operations of a .pdmodel stand in another order than the columns of its feed.
            fed.append((attrs.get("col", len(fed)), Port(attrs["name"], results[0])))
            continue
        if op.num_regions():
            attrs["regions"] = [[inner.name() for inner in region.ops] for region in op.blocks()]
        operations.append(Operation(name, operands, results, attrs, number))
    return tuple(operations), _by_column(fed), _distinct(_by_column(fetched))


def _by_column(ports: list[tuple[int, Port]]) -> tuple[Port, ...]:
    return tuple(port for _, port in sorted(ports, key=lambda item: item[0]))


def _distinct(ports: tuple[Port, ...]) -> tuple[Port, ...]:
    """Paddle may call two outputs the same; later ones get a number: ``x``, ``x_1``."""
    taken = {port.name for port in ports}
    distinct: dict[str, Port] = {}
    for port in ports:
        name, number = port.name, 0
        while name in distinct or (number and name in taken):
            number += 1
            name = f"{port.name}_{number}"
        distinct[name] = Port(name, port.value)
    return tuple(distinct.values())


def _operand(values: dict[tuple[int, int], Value], operand: Any) -> Value | None:
    if operand is None or not operand.initialized():
        return None
    return values[operand.get_defining_op().id(), operand.index()]


def _read_type(result: Any) -> Value:
    if not result.initialized() or not (result.is_dense_tensor_type()):
        return Value(None, None)
    return Value(tuple(int(dim) for dim in result.shape), dtype_name(result.dtype))


def _read_attrs(op: Any) -> dict[str, Any]:
    attrs = {}
    for key, value in op.attrs().items():
        if key in ("stop_gradient", "struct_name", "place", "op_callstack"):
            continue
        attrs[key] = dtype_name(value) if type(value).__name__ == "DataType" else value
    return attrs


def dtype_name(dtype: Any) -> str | None:
    """NumPy's name of a Paddle dtype; None for "as the input"."""
    name = str(dtype.name).lower()
    return None if name in ("undefined", "all_dtype") else name
