"""A kernel whose form can be chosen, cut out of a model: it can be built, in any form, on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import tvm
import tvm_ffi
from tvm import relax, s_tir, tirx
from tvm.sym import Analyzer
from tvm_ffi.serialization import from_json_graph_str

from paddle_tvm.compiler.lowering import LoweredStages
from paddle_tvm.compiler.profiling.fusion_trace import bindings_of
from paddle_tvm.compiler.profiling.work import tensor_bytes
from paddle_tvm.compiler.tuning.aligned import ALIGNMENT, AlignedCopies, aligned
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.unchecked_schedule import UncheckedSchedule
from paddle_tvm.targets.workload import WORKLOAD, Config, PackedWorkload, Workload

_WEIGHT = 1
"""Of a kernel's operands the one that is packed at compile time."""
# Orders of the weight that are kept: both of Winograd, and four widths of tiles.
_MOST_PACKED = 6
# Copies of a weight have at most so many bytes together, and there are at most so many of them.
_MOST_BYTES, _MOST_COPIES = 128 << 20, 256
_weight_copies = AlignedCopies(_MOST_PACKED)


@dataclass(frozen=True)
class TunableKernel:
    """A kernel and what is fused with it.

    Attributes
    ----------
    name
        Its name in the model.
    workload
        What it computes, apart from what is fused with it.
    graph
        The Relax function ``main`` of the kernel and what is fused with it, and their TIR functions, as JSON.
    sizes
        Values for the symbols in its shapes, to measure with.
    weights
        The numbers of its inputs that are weights of the model.
    model_bytes
        What all weights of the model take: so much passes through the caches between two calls of a kernel.
    """

    name: str
    workload: Workload
    graph: str
    sizes: Mapping[str, int]
    weights: tuple[int, ...]
    model_bytes: int

    def primfunc(self, config: Config, target: Target) -> tirx.PrimFunc:
        """The kernel in a form, scheduled for a target.

        Its arguments are the inputs, the output, and the values of ``sizes``.

        Raises
        ------
        tvm.error.TVMError
            The form cannot be built.
        """
        fused = relax.transform.FuseTIR()(reform(self.parsed, self.workload, config))["main"]
        scheduled = target.schedule(tvm.IRModule({"main": fused.without_attr("global_symbol")}))["main"]
        return _sizes_last(scheduled, list(self.sizes)).with_attr("global_symbol", "main")

    def inputs(self, config: Config, seed: int) -> list[npt.NDArray[Any]]:
        """Random inputs, the same for every form but for the order of the weight."""
        if seed not in self._drawn:
            number, drawn = self._draw(seed)
            self._drawn[seed] = number, [aligned(array) for array in drawn]
        weight, arrays = self._drawn[seed]
        inputs = list(arrays)
        if weight is not None and isinstance(self.workload, PackedWorkload):
            order = (seed, self.workload.packed_shape(config))
            if order not in self._packed:
                if len(self._packed) == _MOST_PACKED:
                    del self._packed[next(iter(self._packed))]
                self._packed[order] = aligned(self.workload.pack(config, arrays[weight]))
            inputs[weight] = self._packed[order]
        return inputs

    def copies(self, config: Config, seed: int) -> dict[int, list[npt.NDArray[Any]]]:
        """Copies of the inputs that are weights, by their numbers, for calls in turns.

        In a model the weights of other kernels have passed through the caches before a kernel reads its own
        again. There are so many copies that as much passes through them.
        """
        inputs = self.inputs(config, seed)
        copies = {}
        for number in self.weights:
            array = inputs[number]
            count = copy_count(self.model_bytes, array.nbytes)
            key = (self.workload, number, seed, array.shape)
            # Copies are laid at multiples of a few bytes.
            room = min(_MOST_BYTES, self.model_bytes) + _MOST_COPIES * ALIGNMENT
            copies[number] = [array] if count <= 1 else _weight_copies.get(key, array, count, room)
        return copies

    def output(self) -> tuple[tuple[int, ...], str]:
        """Shape and dtype of the output, whatever the form."""
        return self._output

    # What follows is the same for all forms: a process that forks others to build them makes it once.

    @cached_property
    def parsed(self) -> tvm.IRModule:
        """``graph``."""
        # `tvm.ir.load_json` would first look for what older versions wrote, which takes longer than loading.
        return from_json_graph_str(self.graph)

    @cached_property
    def _output(self) -> tuple[tuple[int, ...], str]:
        result = self.parsed["main"].ret_ty
        return tuple(self.size(dim) for dim in result.shape), str(result.dtype)

    @cached_property
    def _drawn(self) -> dict[int, tuple[int | None, list[npt.NDArray[Any]]]]:
        """For each seed the number of the weight among the inputs, and the inputs, in the model's layout."""
        return {}

    @cached_property
    def _packed(self) -> dict[tuple[int, tuple[int, ...]], npt.NDArray[Any]]:
        """The weight in orders that forms read it in, by seed and shape."""
        return {}

    def _draw(self, seed: int) -> tuple[int | None, list[npt.NDArray[Any]]]:
        arrays = []
        packed = None
        workload = self.workload
        weight = _weight_parameter(self.parsed, workload) if isinstance(workload, PackedWorkload) else None
        # Sizes that no tensor has as a dimension are one more parameter, the last.
        tensors = [parameter for parameter in self.parsed["main"].params if _is_tensor(parameter)]
        for number, parameter in enumerate(tensors):
            generator = np.random.default_rng((seed, number))
            if isinstance(workload, PackedWorkload) and parameter.same_as(weight):
                shape = workload.weight_shape
                packed = number
                values = generator.standard_normal(shape, np.float32)
                # Sums over the window then have about the size of an input.
                arrays.append(values / np.float32(np.sqrt(np.prod(shape[1:]))))
                continue
            shape = tuple(self.size(dim) for dim in parameter.ty.shape)
            dtype = np.dtype(str(parameter.ty.dtype))
            if dtype.kind == "f":
                arrays.append(generator.standard_normal(shape, np.float32).astype(dtype))
            else:
                arrays.append(generator.integers(0, 2, shape).astype(dtype))
        return packed, arrays

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def size(self, dim: Any) -> int:
        """The value of a dimension of it."""
        if isinstance(dim, tirx.IntImm):
            return int(dim.value)
        known = tvm_ffi.structural_map(
            dim, (tirx.Var, lambda variable: tirx.IntImm("int64", self.sizes[variable.name]))
        )
        return int(Analyzer().simplify(known).value)


def copy_count(model_bytes: int, weight_bytes: int) -> int:
    """How many copies of a weight make as much pass through the caches as in a model with such weights."""
    total = min(_MOST_BYTES, model_bytes)
    return max(1, min(_MOST_COPIES, total // max(1, weight_bytes)))


def workload_of(function: tirx.PrimFunc) -> Workload | None:
    """The workload of a TIR function that is not scheduled yet; None where its form cannot be chosen."""
    found: list[str] = []

    def visit(block: s_tir.SBlock) -> None:
        if WORKLOAD in block.annotations:
            found.append(str(block.annotations[WORKLOAD]))

    tvm_ffi.structural_walk(function.body, (s_tir.SBlock, visit))
    return Workload.from_key(found[0]) if found else None


_Kernel = TypeVar("_Kernel", bound="TunableKernel")


def find_kernels(stages: LoweredStages, sizes: Mapping[str, int], kind: type[_Kernel]) -> dict[str, _Kernel]:
    """The kernels of a lowered module whose form can be chosen, by name.

    Parameters
    ----------
    stages
        The module as it is lowered.
    sizes
        Values for the symbols in shapes. Kernels with other symbols, which depend on data, are left out.
    kind
        What to make of each.
    """
    kernels = {}
    weights, model_bytes = _weights(stages.groups)
    for variable, function in stages.fused.functions.items():
        workload = workload_of(function) if isinstance(function, tirx.PrimFunc) else None
        if workload is None:
            continue
        module = _cut_out(stages.groups, variable.name_hint)
        symbols = {symbol.name for symbol in relax.analysis.free_symbolic_vars(module["main"])}
        symbols |= {symbol.name for symbol in relax.analysis.defined_symbolic_vars(module["main"])}
        if symbols <= set(sizes):
            own = {name: sizes[name] for name in sorted(symbols)}
            kernels[variable.name_hint] = kind(
                variable.name_hint,
                workload,
                tvm.ir.save_json(module),
                own,
                weights.get(variable.name_hint, ()),
                model_bytes,
            )
    return kernels


def _weights(module: tvm.IRModule) -> tuple[dict[str, tuple[int, ...]], int]:
    """Which arguments of each kernel are weights, and what all weights of a form of the model take."""
    numbers: dict[str, tuple[int, ...]] = {}
    totals = [0]
    for function in module.functions.values():
        if not isinstance(function, relax.Function) or "Primitive" in (function.attrs or {}):
            continue
        sizes: dict[Any, int] = {}
        for value in bindings_of(function).values():
            if not isinstance(value, relax.Call):
                continue
            # A kernel of one operator is called as it is, others as functions.
            callee, arguments = value.op, list(value.args)
            if isinstance(callee, tvm.ir.Op) and callee.name == "relax.call_tir":
                callee, arguments = value.args[0], list(value.args[1].fields)
            if isinstance(callee, tvm.ir.GlobalVar):
                constant = [isinstance(argument, tvm.ir.GenericConst) for argument in arguments]
                numbers[callee.name_hint] = tuple(place for place, is_one in enumerate(constant) if is_one)
            sizes |= {
                argument: int(tensor_bytes(argument.ty))
                for argument in arguments
                if isinstance(argument, tvm.ir.GenericConst)
            }
        totals.append(sum(sizes.values()))
    return numbers, max(totals)


def _cut_out(module: tvm.IRModule, name: str) -> tvm.IRModule:
    """A module of a group, as ``main``, and of the TIR functions that it calls."""
    function = module[name]
    builder = relax.BlockBuilder()
    if isinstance(function, tirx.PrimFunc):
        # Nothing is fused with it: a group of its own.
        *inputs, output = function.params
        # A size is an argument as it is.
        arguments = [
            relax.Var(f"input{number}", relax.TensorType(list(buffer.shape), str(buffer.dtype)))
            if isinstance(buffer.ty, tirx.BufferType)
            else buffer
            for number, buffer in enumerate(inputs)
        ]
        parameters = [argument for argument in arguments if _is_tensor(argument)]
        result = relax.TensorType(list(output.shape), str(output.dtype))
        sizes = [argument for argument in arguments if not _is_tensor(argument)]
        parameters += _undefined_sizes(parameters, [*sizes, *relax.analysis.tir_vars_in_type(result)])
        with builder.function("main", parameters, attrs={"Primitive": True}):
            with builder.dataflow():
                callee = builder.add_func(function, "kernel")
                made = builder.emit_output(relax.call_tir(callee, arguments, result))
            builder.emit_func_output(made)
        return builder.finalize()
    functions = {"main": function.with_attr("global_symbol", "main")}
    calls: list[relax.Call] = []
    relax.analysis.post_order_visit(
        function, lambda node: calls.append(node) if isinstance(node, relax.Call) else None
    )
    for call in calls:
        for callee in call.args:
            if isinstance(callee, tvm.ir.GlobalVar):
                functions[callee] = module[callee]
    return tvm.IRModule(functions)


def _undefined_sizes(inputs: Sequence[relax.Var], used: Sequence[tirx.Var]) -> list[relax.Var]:
    """What TVM's fusion adds to the parameters: one of the sizes that no input has as a dimension.

    ``used`` are those of the function beside those in the shapes of its inputs. Nothing where all are known.
    """
    types = tvm.ir.TupleType([parameter.ty for parameter in inputs])
    known = list(relax.analysis.definable_tir_vars_in_type(types))
    missing: list[tirx.Var] = []
    for size in [*relax.analysis.tir_vars_in_type(types), *used]:
        if not any(size.same_as(other) for other in [*known, *missing]):
            missing.append(size)
    return [relax.Var("sizes", relax.ShapeType(missing))] if missing else []


def main_call(module: tvm.IRModule, workload: Workload) -> relax.Call:
    """The call of the TIR function that computes the workload."""
    calls: list[relax.Call] = []

    def visit(node: Any) -> None:
        if isinstance(node, relax.Call) and node.op.name == "relax.call_tir":
            made = workload_of(module[node.args[0]])
            if made == workload:
                calls.append(node)

    relax.analysis.post_order_visit(module["main"], visit)
    return calls[0]


def _weight_parameter(module: tvm.IRModule, workload: PackedWorkload) -> relax.Var:
    """The parameter of a group that is packed at compile time."""
    return main_call(module, workload).args[1].fields[_WEIGHT]


def reform(module: tvm.IRModule, workload: Workload, config: Config) -> tvm.IRModule:
    """The module with its kernel in another form."""
    function = module["main"]
    replaced = main_call(module, workload)
    known: dict[relax.Var, relax.Expr] = {
        parameter: relax.Var(parameter.name, parameter.ty) for parameter in function.params
    }
    form = None
    if isinstance(workload, PackedWorkload):
        form = workload.compute(config)
        weight = _weight_parameter(module, workload)
        shape = list(workload.packed_shape(config))
        known[weight] = relax.Var(weight.name, relax.TensorType(shape, str(weight.ty.dtype)))

    def remap(expr: relax.Expr) -> relax.Expr:
        if isinstance(expr, relax.Var):
            # A size is a variable too, which stays what it is.
            return known[expr] if _is_tensor(expr) else expr
        if isinstance(expr, relax.Tuple):
            return relax.Tuple([remap(field) for field in expr.fields])
        if isinstance(expr, relax.TupleGetItem):
            return relax.TupleGetItem(remap(expr.tuple_value), expr.index)
        if isinstance(expr, tvm.ir.GlobalVar):
            callee = module[expr]
            own = replaced.args[0].same_as(expr) and form is None
            return builder.add_func(
                _annotated(callee, workload.notes(config)) if own else callee, expr.name_hint
            )
        if isinstance(expr, relax.Call):
            return relax.Call(expr.op, [remap(arg) for arg in expr.args], expr.attrs, expr.ty_args)
        return expr

    builder = relax.BlockBuilder()
    with builder.function("main", list(known.values()), attrs={"Primitive": True}):
        with builder.dataflow():
            for binding in function.body.blocks[0].bindings:
                value = binding.value
                if value.same_as(replaced) and form is not None:
                    # The form takes the sizes that it needs from its tensors' shapes.
                    fields = value.args[1].fields
                    operands = [remap(field) for field in fields if _is_tensor(field)]
                    value = builder.call_te(form, *operands, primfunc_name_hint="kernel")
                else:
                    value = remap(value)
                known[binding.var] = builder.emit(value)
            result = builder.emit_output(known[function.body.body])
        group = builder.emit_func_output(result)
    # TVM fuses what is called, and drops the rest.
    arguments = [relax.Var(parameter.name, parameter.ty) for parameter in builder.get()[group].params]
    with builder.function("run", arguments):
        with builder.dataflow():
            result = builder.emit_output(relax.Call(group, arguments))
        builder.emit_func_output(result)
    return builder.finalize()


def _sizes_last(function: tirx.PrimFunc, names: Sequence[str]) -> tirx.PrimFunc:
    """The function with all sizes as its last parameters, also those that it finds in shapes of tensors.

    Which ones it does not find there depends on the form, and their order on addresses.
    """
    tensors = [param for param in function.params if isinstance(param.ty, tirx.BufferType)]
    given = {param.name: param for param in function.params if not isinstance(param.ty, tirx.BufferType)}
    sizes = [given.pop(name) if name in given else tirx.Var(name, "int64") for name in names]
    if given:
        raise ValueError(f"sizes without a value: {', '.join(sorted(given))}")
    return tirx.PrimFunc([*tensors, *sizes], function.body, function.ret_type, function.attrs)


def _is_tensor(expr: relax.Expr) -> bool:
    return isinstance(expr.ty, relax.TensorType)


def _annotated(function: tirx.PrimFunc, notes: Mapping[str, Any]) -> tirx.PrimFunc:
    """The function with other annotations on the block that computes the workload."""
    schedule = UncheckedSchedule(tvm.IRModule({"main": function.without_attr("global_symbol")}))
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        present = schedule.get(block).annotations
        if WORKLOAD in present:
            for name, value in notes.items():
                if name in present:
                    schedule.unannotate(block, name)
                schedule.annotate(block, name, value)
    return schedule.mod["main"].with_attrs(function.attrs)
