"""What an accelerator must answer: which parts of a graph it takes, the code for them, why the rest stays.

``docs/adding-a-target.md`` shows how to write one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
import tvm
from tvm import ir, relax, tirx
from tvm.relax.dpl import DFPattern

from paddle_tvm.targets.cpu_names import AMX_FEATURES
from paddle_tvm.targets.workload import Config, GraphWorkload

_CALL_TIR = ir.Op.get("relax.call_tir")
_BESIDE_AMX = " beside kernels on AMX"

RESAMPLING = "paddle_tvm.resampling"
"""Attribute of TIR functions that resize images: ``nearest`` or ``linear``, pixels being where their middles
are."""


@dataclass(frozen=True)
class Offloading(GraphWorkload):
    """Whether an accelerator computes a subgraph, or our own kernels do.

    Attributes
    ----------
    graph
        The model.
    accelerator
        What it is measured as (``measured_name``).
    subgraph
        What the subgraph computes.
    operators
        How many operators it has.
    """

    operator: ClassVar[str] = "offloading"

    accelerator: str
    subgraph: str
    operators: int

    def default(self) -> Config:
        return {"taken": 1}

    def candidates(self) -> Sequence[Config]:
        return [{"taken": 1}, {"taken": 0}]


@dataclass(frozen=True)
class JointOffloading(GraphWorkload):
    """Whether an accelerator computes several subgraphs, or our own kernels compute all of them.

    It is there to be tried: what it finds is kept as the choices of its subgraphs, and no compilation asks
    for it.

    Attributes
    ----------
    graph, accelerator
        Of all the subgraphs, as in ``Offloading``.
    subgraphs
        What each subgraph computes, and how many operators it has.
    """

    operator: ClassVar[str] = "joint_offloading"

    accelerator: str
    subgraphs: tuple[tuple[str, int], ...]

    @staticmethod
    def of(members: Sequence[Offloading]) -> JointOffloading:
        """The choice for subgraphs of one model and accelerator, at least one, the same in any order."""
        first = members[0]
        subgraphs = sorted((one.subgraph, one.operators) for one in members)
        return JointOffloading(first.graph, first.accelerator, tuple(subgraphs))

    def stands_for(self, config: Config) -> Mapping[GraphWorkload, Config]:
        return {Offloading(self.graph, self.accelerator, *subgraph): config for subgraph in self.subgraphs}

    def default(self) -> Config:
        return {"taken": 1}

    def candidates(self) -> Sequence[Config]:
        return [{"taken": 1}, {"taken": 0}]


def _takes_all(parts: Mapping[str, relax.Expr]) -> str | None:
    return None


@dataclass(frozen=True)
class Pattern:
    """A shape of graph that an accelerator may take; it only tags what it matches.

    Attributes
    ----------
    name
        What the accelerator calls it.
    pattern
        Operators, as ``tvm.relax.dpl`` describes them. Its root is what the match computes.
    parts
        Patterns inside of it that ``refuse`` wants to look at, by name.
    refuse
        Why a match stays behind, for people: the rest of a sentence that begins with the operator's name.
        None: it is taken. It is given what ``parts`` matched, and the root as ``root``; where that is a call
        of a TIR function (``relax.call_tir``), the function as ``function``.
    """

    name: str
    pattern: DFPattern
    parts: Mapping[str, DFPattern] = field(default_factory=dict)
    refuse: Callable[[Mapping[str, relax.Expr]], str | None] = _takes_all


@dataclass(frozen=True)
class Step:
    """A match of a pattern in a subgraph.

    Attributes
    ----------
    pattern
        The pattern's name.
    function
        The Relax function that it has become; its parameters stand for ``inputs``. Weights are constants.
    inputs
        Inputs of the subgraph, or results of steps before this one.
    result
        What it computes.
    fields
        Where that is a tuple: the variables of the parts that are read, by their places.
    kernel
        Where it is a call of a TIR function (``relax.call_tir``): the function.
    source
        The operator of the model that its result is of, such as ``gather #12``; empty where none is known, or
        where several places of the model share the subgraph.
    """

    pattern: str
    function: relax.Function
    inputs: tuple[relax.Var, ...]
    result: relax.Var
    fields: Mapping[int, relax.Var] = field(default_factory=dict)
    kernel: tirx.PrimFunc | None = None
    source: str = ""

    def all_calls(self) -> list[relax.Call]:
        """The calls in it, first to last."""
        return [value for value in _bindings(self.function).values() if isinstance(value, relax.Call)]

    def calls(self, operator: str) -> list[relax.Call]:
        """The calls in it of a Relax operator, such as ``relax.nn.conv2d``, first to last."""
        return [call for call in self.all_calls() if isinstance(call.op, ir.Op) and call.op.name == operator]


@dataclass(frozen=True)
class Subgraph:
    """A part of the graph that an accelerator takes.

    Attributes
    ----------
    symbol
        The name that its code must have.
    inputs
        The tensors that it reads. Sizes that operators are given are no inputs: results have them.
    steps
        What it does, each after those whose results it reads.
    results
        What others read of it, in the order in which its code gets them to write.
    """

    symbol: str
    inputs: tuple[relax.Var, ...]
    steps: tuple[Step, ...]
    results: tuple[relax.Var, ...]


def subgraph_of(symbol: str, function: relax.Function, module: tvm.IRModule) -> Subgraph:
    """The subgraph that ``MergeCompositeFunctions`` has made a function of, in a module."""
    bindings = _bindings(function)
    same: dict[relax.Var, relax.Var] = {}
    fields: dict[relax.Var, dict[int, relax.Var]] = {}
    steps = []
    for variable, value in bindings.items():
        if isinstance(value, relax.Var):
            same[variable] = same.get(value, value)
        elif isinstance(value, relax.TupleGetItem):
            parts = fields.setdefault(same.get(value.tuple_value, value.tuple_value), {})
            same[variable] = parts.setdefault(int(value.index), variable)
        elif isinstance(value, relax.Call):
            local = bindings[value.op]
            pattern = str(local.attrs["Composite"]).partition(".")[2]
            inputs = tuple(same.get(var, var) for var in value.args)
            # Its parts are found later.
            parts = fields.setdefault(variable, {})
            steps.append(Step(pattern, local, inputs, variable, parts, _kernel(local, module)))
    result = bindings.get(function.body.body, function.body.body)
    results = tuple(result.fields) if isinstance(result, relax.Tuple) else (function.body.body,)
    if isinstance(result, relax.Call) and isinstance(result.ty, relax.TupleType):
        # The one step that there is gives out all that it computes.
        (whole,) = results
        results = tuple(
            fields[whole].setdefault(index, relax.Var(f"{whole.name}_{index}", ty))
            for index, ty in enumerate(whole.ty.fields)
        )
    inputs = tuple(var for var in function.params if isinstance(var.ty, relax.TensorType))
    return Subgraph(symbol, inputs, tuple(steps), tuple(same.get(var, var) for var in results))


def _kernel(function: relax.Function, module: tvm.IRModule) -> tirx.PrimFunc | None:
    """The TIR function that a match calls last."""
    called = [value.args[0] for value in _bindings(function).values() if calls_kernel(value)]
    return module[called[-1]] if called else None


def calls_kernel(expr: Any) -> bool:
    """Whether an expression is a call of a TIR function."""
    return isinstance(expr, relax.Call) and expr.op == _CALL_TIR


def _bindings(function: relax.Function) -> dict[relax.Var, Any]:
    return {binding.var: binding.value for block in function.body.blocks for binding in block.bindings}


@dataclass(frozen=True)
class Generated:
    """The code of a subgraph.

    Attributes
    ----------
    source
        C, or C++ with C linkage, that defines ``int __tvm_ffi_SYMBOL(void *, const TVMFFIAny *arguments,
        int32_t count, TVMFFIAny *result)``, of tvm/ffi/c_api.h. The arguments are tensors (``DLTensor *``):
        the subgraph's inputs, then ``weights``, then the results, which are there to be written.
    weights
        Arrays that it takes besides its inputs: weights in the order that it wants, or a model of its own as
        bytes. They go into the artifact's weights, which all processes share.
    constants
        Arrays for ``__tvm_ffi_SYMBOL_load``, a function of the same kind that the source then defines, too:
        it is called when the artifact is loaded, for each predictor's number of threads, before any run. They
        may be gone when it returns. None: there is no such function.
    arithmetic
        What its products are computed in, such as ``bfloat16`` or ``int8``, where that is not what our own
        kernels for the same target compute in, whose peak says nothing of it then.
    """

    source: str
    weights: Sequence[npt.NDArray[np.generic]] = ()
    constants: Sequence[npt.NDArray[np.generic]] | None = None
    arithmetic: str | None = None


@dataclass(frozen=True)
class RuntimeHalf:
    """What the code of all subgraphs needs, in the artifact once.

    Attributes
    ----------
    language
        Of the sources.
    options
        More options of the compiler for them.
    libraries
        Shared libraries to bring along, in the artifact's ``lib``, where the linker of the machine that
        runs it finds them; the name of each file is its SONAME.
    sources
        Files of code that all subgraphs share.
    bring
        Puts shared libraries that the code opens by itself into a folder, which becomes the artifact's
        ``lib``.
    """

    language: Literal["c", "c++"] = "c"
    options: Sequence[str] = ()
    libraries: Sequence[Path] = ()
    sources: Sequence[Path] = ()
    bring: Callable[[Path], None] | None = None


class Accelerator(Protocol):
    """Something beside the CPU's own kernels that computes parts of a graph."""

    @property
    def name(self) -> str:
        """What it is called: lower-case letters, digits, ``_``. ``--target`` takes it."""

    @property
    def runtime(self) -> RuntimeHalf:
        """What its code needs to run.

        Raises
        ------
        UsageError
            Something of it is missing on this machine.
        """

    def patterns(self) -> Sequence[Pattern]:
        """What it may take; where several fit, the first."""

    def decline(self, subgraph: Subgraph) -> str | None:
        """Why a subgraph is not worth taking, for people as in ``Pattern``; None: it is taken.

        Patterns that touch become one subgraph; its ``symbol`` is not settled yet.
        """

    def generate(self, subgraph: Subgraph) -> Generated:
        """The code of a subgraph."""

    def reason(self, operator: str, call: Any) -> str | None:
        """Why an operator stays behind that no pattern matched; None: because none does."""


def measured_name(accelerator: Accelerator, features: Collection[str] = ()) -> str:
    """What measurements of an accelerator are kept under: its ``measured_as``, if it has one, else its name.

    One that is faster or slower by how it was made, such as in another precision, has several. What is
    measured is whether our own kernels are faster, which are others where the CPU's ``features`` have AMX.
    """
    name = str(getattr(accelerator, "measured_as", accelerator.name))
    return name + _BESIDE_AMX if AMX_FEATURES.issubset(features) else name


def shown_name(measured: str) -> str:
    """A name that measurements are kept under, as people know it."""
    return measured.removesuffix(_BESIDE_AMX)
