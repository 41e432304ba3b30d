"""Finds the first operation of a Paddle program whose compiled form gives other numbers than Paddle.

The program is cut after an operation, compiled up to there and compared; a binary search over the order of
the operations takes about ``log2(n)`` such cuts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax

from paddle_tvm.compiler.comparison import compare_output
from paddle_tvm.compiler.frontends.paddle.importer import import_program
from paddle_tvm.compiler.frontends.paddle.paddle_library import import_paddle, static_mode
from paddle_tvm.compiler.frontends.paddle.program import Operation, Port, Program, Value, load_program
from paddle_tvm.compiler.frontends.source import ModelSource
from paddle_tvm.compiler.linking import bring_libraries, find_linker, link_library
from paddle_tvm.compiler.lowering import build, external_code, lower_in_stages, optimise
from paddle_tvm.compiler.reference import load_saved
from paddle_tvm.compiler.sample_inputs import Arrays
from paddle_tvm.compiler.staging import scratch_directory
from paddle_tvm.runtime import launcher
from paddle_tvm.runtime.manifest import TargetSpec
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.registry import targets_of


@dataclass(frozen=True)
class Divergence:
    """The first operation that differs from Paddle, or None where each one agrees when it is cut out."""

    operation: str | None
    problem: str
    cuts: int

    def __str__(self) -> str:
        if self.operation is None:
            return self.problem
        return f"The first operator that diverges is {self.operation}: {self.problem}"


def find_divergence(
    source: ModelSource, arrays: Arrays, tolerance: float, compiled_for: TargetSpec, precision: str
) -> Divergence:
    """Bisect a program that gives wrong outputs on ``arrays``.

    Parameters
    ----------
    source
        A Paddle model.
    arrays
        Inputs by name, on which an output differs.
    tolerance
        As in ``verify_artifact``.
    compiled_for, precision
        What the code that gives the wrong outputs is for, and what it computes in.
    """
    program = load_program(source)
    probed = _computed_values(program)
    expected = _paddle_values(source, program, arrays, [value for _, value in probed])
    # Kernels of TensorRT are its own: what is compared are those for GPUs beside it.
    (target,) = targets_of(compiled_for.kind, [compiled_for.mcpu], compiled_for.devices, precision)
    bisection = _Bisection(program, arrays, tolerance, target)
    low, high = 0, len(probed)
    problem = ""
    # Invariant: everything before `low` agrees, and `high` differs or is the end.
    while low < high:
        middle = (low + high) // 2
        found = bisection.problem_at(probed[middle][1], expected[middle])
        if found is None:
            low = middle + 1
        else:
            high, problem = middle, found
    if low == len(probed):
        return Divergence(
            None,
            "Every operator agrees with Paddle when the program is cut behind it: what differs is the "
            "artifact itself, or how the whole program is optimised",
            bisection.cuts,
        )
    operation = probed[low][0]
    return Divergence(f"{operation}{_name_of_weight(program, operation)}", problem, bisection.cuts)


class _Bisection:
    def __init__(self, program: Program, arrays: Arrays, tolerance: float, target: Target) -> None:
        self.cuts = 0
        self._program = program
        self._arrays = arrays
        self._tolerance = tolerance
        self._target = target

    def problem_at(self, value: Value, expected: npt.NDArray[np.generic]) -> str | None:
        """How our form of one value differs; None where it agrees."""
        self.cuts += 1
        cut = replace(self._program, outputs=(Port("cut", value),))
        (actual,) = _run_cut(cut, self._arrays, self._target)
        return compare_output("cut", actual, expected, self._tolerance).problem


def _run_cut(program: Program, arrays: Arrays, target: Target) -> list[npt.NDArray[np.generic]]:
    needed = _needed_operations(program)
    program = replace(program, operations=needed)
    shapes = {port.name: tuple(arrays[port.name].shape) for port in program.inputs}
    imported = import_program(program, shapes)
    stages = lower_in_stages(optimise(imported.module), target)
    executable = build(stages.scheduled, target)
    external = external_code(stages, target)
    with scratch_directory("paddle-tvm-cut") as folder:
        if external is not None:
            library = folder / "cut.so"
            bring_libraries(external, folder, folder / "build")
            link_library(executable, library, folder / "build", find_linker(), external)
            # Stays open: others may have taken its threads.
            launcher.attach(str(library))
            executable = tvm.runtime.load_module(str(library))
            for symbol, generated in external.code.items():
                if generated.constants is not None:
                    constants = map(tvm.runtime.tensor, generated.constants)
                    executable.get_function(f"{symbol}_load", query_imports=True)(*constants)
        device = tvm.cuda() if target.devices else tvm.cpu()
        machine = relax.VirtualMachine(executable, [device, tvm.cpu()])
        fed = [tvm.runtime.tensor(np.ascontiguousarray(arrays[port.name]), device) for port in program.inputs]
        return [result.numpy() for result in machine["main"](*fed)]


def _needed_operations(program: Program) -> tuple[Operation, ...]:
    wanted = {port.value for port in program.outputs}
    kept: list[Operation] = []
    for operation in reversed(program.operations):
        if wanted.intersection(operation.outputs):
            kept.append(operation)
            wanted.update(value for value in operation.inputs if value is not None)
    return tuple(reversed(kept))


def _computed_values(program: Program) -> list[tuple[Operation, Value]]:
    """The first result of each operation that computes a tensor from the inputs and leads to an output."""
    from_input = {port.value for port in program.inputs}
    computed = []
    for operation in _needed_operations(program):
        if from_input.isdisjoint(value for value in operation.inputs if value is not None):
            continue
        from_input.update(operation.outputs)
        value = operation.outputs[0]
        if value.shape is not None and value.dtype is not None:
            computed.append((operation, value))
    return computed


def _paddle_values(
    source: ModelSource, program: Program, arrays: Arrays, values: list[Value]
) -> list[npt.NDArray[np.generic]]:
    """What Paddle computes for some values of the program."""
    paddle = import_paddle()
    number_of = {
        operation.outputs[0]: operation.number for operation in program.operations if operation.outputs
    }
    scope = paddle.static.Scope()
    with static_mode(), paddle.static.scope_guard(scope):
        executor = paddle.static.Executor(paddle.CPUPlace())
        saved, _, _ = load_saved(source, executor)
        opened, operations = _open_program(paddle, saved, legacy=source.kind == "pdmodel")
        fetches = [operations[number_of[value]].result(0) for value in values]
        return list(executor.run(opened, feed=arrays, fetch_list=fetches))


def _open_program(paddle: Any, saved: Any, legacy: bool) -> tuple[Any, list[Any]]:
    """The program in PIR without its own outputs, and its operations by number."""
    program = paddle.pir.translate_to_pir(saved.desc) if legacy else saved
    block = program.global_block()
    operations = list(block.ops)
    for operation in operations:
        if operation.name() == "pd_op.fetch":
            # Its column would clash with those of the values that we fetch.
            block.remove_op(operation)
        elif operation.name() == "pd_op.feed":
            # The executor of PIR programs feeds `data` alone.
            old = operation.result(0)
            with block:
                data = paddle.static.data(operation.attrs()["name"], old.shape, old.dtype)
                old.replace_all_uses_with(data)
                data.get_defining_op().move_before(operation)
            block.remove_op(operation)
    return program, operations


def _name_of_weight(program: Program, operation: Operation) -> str:
    """The parameter that an operation reads, which tells a user where in the model it is."""
    made_by = {value: other for other in program.operations for value in other.outputs}
    for value in operation.inputs:
        if value is not None and value in made_by and made_by[value].name == "builtin.parameter":
            return f" with parameter '{made_by[value].attrs['parameter_name']}'"
    return ""
