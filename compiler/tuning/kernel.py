"""A kernel whose form can be chosen, cut out of a model: it can be built, in any form, on its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
import tvm_ffi
from tvm import relax, tirx
from tvm.sym import Analyzer
from tvm_ffi.serialization import from_json_graph_str

from paddle_tvm.compiler.tuning.aligned import ALIGNMENT, AlignedCopies, aligned
from paddle_tvm.compiler.tuning.kernel_group import is_tensor, reform, weight_parameter
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.workload import Config, PackedWorkload, Shapes, Workload

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

    @cached_property
    def shapes(self) -> Shapes:
        """Shapes of its inputs and output that depend on ``sizes``, each once."""
        main = self.parsed["main"]
        types = [*(param.ty for param in main.params if is_tensor(param)), main.ret_ty]
        unknown = [ty.shape for ty in types if any(not isinstance(dim, tirx.IntImm) for dim in ty.shape)]
        return tuple(dict.fromkeys(tuple(self.size(dim) for dim in shape) for shape in unknown))

    def at_others(self, sets: Iterable[Mapping[str, int]]) -> tuple[TunableKernel, ...]:
        """The same kernel, measured at other sizes: those that give other shapes, none of them empty."""
        found = {self.shapes: self}
        for sizes in sets:
            other = replace(self, sizes={name: sizes[name] for name in self.sizes})
            if all(size > 0 for shape in other.shapes for size in shape):
                found.setdefault(other.shapes, other)
        return tuple(found.values())[1:]

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
        weight = weight_parameter(self.parsed, workload) if isinstance(workload, PackedWorkload) else None
        # Sizes that no tensor has as a dimension are one more parameter, the last.
        tensors = [parameter for parameter in self.parsed["main"].params if is_tensor(parameter)]
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
