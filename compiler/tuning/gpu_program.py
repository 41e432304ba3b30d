"""A kernel for GPUs in a form, as the calls that a model makes of it, with all memory that they need."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tvm
from tvm import ir, relax, tirx
from tvm.relax.expr_functor import PyExprMutator, mutator

from paddle_tvm.compiler.linking import find_linker
from paddle_tvm.compiler.passes.loose_scalars import isolate_loose_scalars
from paddle_tvm.compiler.passes.merge_functions import order_sizes
from paddle_tvm.compiler.profiling.fusion_trace import bindings_of
from paddle_tvm.compiler.tuning.kernel import TunableKernel
from paddle_tvm.compiler.tuning.kernel_group import is_tensor, main_call, reform
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.workload import Config, EmittedWorkload, Workload

Tensor = tuple[tuple[int, ...], str]
"""Shape and dtype."""


class GpuKernel(Protocol):
    """What is measured: ``GpuTunableKernel``, or what stands for it in tests."""

    @property
    def name(self) -> str: ...

    @property
    def workload(self) -> Workload: ...

    @property
    def weights(self) -> tuple[int, ...]: ...

    @property
    def model_bytes(self) -> int: ...

    def module(self, config: Config, target: Target) -> tvm.IRModule: ...

    def inputs(self, config: Config, seed: int) -> list[npt.NDArray[Any]]: ...

    def size(self, dim: Any) -> int: ...


class GpuTunableKernel(TunableKernel):
    """A kernel that a GPU runs, with what is fused with it; some forms of it are two functions."""

    def module(self, config: Config, target: Target) -> tvm.IRModule:
        """The kernel in a form: a Relax function, and the TIR functions that it calls.

        They are scheduled, and get the memory that they need as arguments.

        Raises
        ------
        tvm.error.TVMError
            The form cannot be built.
        """
        workload = self.workload
        if isinstance(workload, EmittedWorkload) and not workload.is_one_function(config):
            formed = _fused(_Replacer(self.parsed, workload, config).module())
        else:
            formed = relax.transform.FuseTIR()(reform(self.parsed, workload, config))
        return target.plan(target.schedule(formed))


@mutator
class _Replacer(PyExprMutator):  # type: ignore[misc]  # TVM has no types
    """Computes the workload of a group in another form, with the rest of the group after it."""

    def __init__(self, module: tvm.IRModule, workload: EmittedWorkload, config: Config) -> None:
        super().__init__(module)
        self._given = module
        self._workload = workload
        self._config = config
        self._replaced = main_call(module, workload)

    def module(self) -> tvm.IRModule:
        main = self._given.get_global_var("main")
        function = self.visit_expr(self._given[main].without_attr("Primitive"))
        self.builder_.update_func(main, function.with_attr("global_symbol", "main"))
        return self.builder_.get()

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        if not call.same_as(self._replaced):
            return super().visit_call_(call)
        function = self._given[call.args[0]]
        return self._workload.emit(self.builder_, function, super().visit_call_(call), self._config)


def _fused(module: tvm.IRModule) -> tvm.IRModule:
    """As the compiler fuses a whole model (``lowering.lower_in_stages``)."""
    return tvm.transform.Sequential(
        [
            relax.transform.DeadCodeElimination(),
            relax.transform.AnnotateTIROpPattern(),
            isolate_loose_scalars,
            relax.transform.FuseOps(),
            relax.transform.FuseTIR(),
            relax.transform.DeadCodeElimination(),
            order_sizes,
        ]
    )(module)


@dataclass(frozen=True)
class Program:
    """Calls of functions, one after the other.

    Attributes
    ----------
    tensors
        All that they read and write: the inputs, then results and memory for what is between.
    steps
        The function's name, and its arguments: the number of a tensor, or ``[n]`` for a size n.
    output
        The number of the tensor that is the kernel's result.
    inputs
        How many of the tensors are inputs.
    """

    tensors: Sequence[Tensor]
    steps: Sequence[tuple[str, Sequence[int | Sequence[int]]]]
    output: int
    inputs: int

    def to_json(self) -> dict[str, Any]:
        return {
            "tensors": self.tensors,
            "steps": self.steps,
            "output": self.output,
            "inputs": self.inputs,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Program:
        return Program(
            [(tuple(shape), dtype) for shape, dtype in value["tensors"]],
            [(name, arguments) for name, arguments in value["steps"]],
            value["output"],
            value["inputs"],
        )


def program_of(module: tvm.IRModule, size: Callable[[Any], int]) -> Program:
    """The calls of a module's Relax function.

    Parameters
    ----------
    module
        As ``GpuTunableKernel.module`` gives it.
    size
        The value of a dimension, which may have symbols in it.
    """
    (entry,) = (function for function in module.functions.values() if isinstance(function, relax.Function))
    tensors: list[Tensor] = []
    steps: list[tuple[str, Sequence[int | Sequence[int]]]] = []
    # What each variable stands for: a tensor, or several.
    known: dict[Any, list[int]] = {}

    def place(types: Sequence[Any]) -> list[int]:
        tensors.extend((tuple(size(dim) for dim in each.shape), str(each.dtype)) for each in types)
        return list(range(len(tensors) - len(types), len(tensors)))

    def found(value: Any) -> list[int]:
        if isinstance(value, ir.TupleType | relax.Tuple):
            return [number for field in value.fields for number in found(field)]
        if isinstance(value, relax.TupleGetItem):
            return [known[value.tuple_value][value.index]]
        return known[value]

    for parameter in entry.params:
        # Another one has sizes that no tensor has as a dimension.
        if is_tensor(parameter):
            known[parameter] = place([parameter.ty])
    inputs = len(tensors)
    for variable, value in bindings_of(entry).items():
        if not isinstance(value, relax.Call):
            known[variable] = found(value)
            continue
        if value.op.name != "relax.call_tir":
            raise ValueError(f"a kernel calls {value.op.name}, which is no function of its own")
        callee, arguments = value.args[0], value.args[1].fields
        (result,) = value.ty_args
        made = place(list(result.fields) if isinstance(result, ir.TupleType) else [result])
        known[variable] = made
        given: list[int | Sequence[int]] = []
        for argument in arguments:
            given += known[argument] if argument in known else [[size(argument)]]
        steps.append((callee.name_hint, [*given, *made]))
    (output,) = found(entry.body.body)
    return Program(tensors, steps, output, inputs)


def build_program(kernel: GpuKernel, config: Config, target: Target, library: Path) -> Program:
    """Write the library of a form; returns how it is called.

    Raises
    ------
    tvm.error.TVMError, PaddleTvmError
        The form cannot be built.
    """
    module = kernel.module(config, target)
    program = program_of(module, kernel.size)
    functions = {
        variable.name_hint: function.with_attr("global_symbol", variable.name_hint)
        for variable, function in module.functions.items()
        if isinstance(function, tirx.PrimFunc)
    }
    with target.generating():
        built = tvm.tirx.build(
            tvm.IRModule(functions), target=target.tvm_target, pipeline=target.tir_pipeline
        )
    built.export_library(str(library), cc=find_linker())
    return program


def tensor_bytes(tensor: Tensor) -> int:
    """What a tensor takes."""
    shape, dtype = tensor
    return math.prod(shape) * np.dtype(dtype).itemsize
